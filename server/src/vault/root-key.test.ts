import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { checkCanary, deriveKey, loadRootKey, RootKeyError, sealCanary } from './root-key.ts'

const folder = mkdtempSync(join(tmpdir(), 'berth-root-key-'))
after(() => rmSync(folder, { recursive: true }))

test('a new installation gets a key file of its own, readable by its owner only, and keeps it', async () => {
  const file = join(folder, 'new', 'root.key')
  const made = await loadRootKey({ text: null, file, createIfMissing: true })
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const again = await loadRootKey({ text: null, file, createIfMissing: false })
  assert.deepEqual(again, made)
})

test('of processes that make the first key at the same time all get the one that is in the file', async () => {
  const file = join(folder, 'together', 'root.key')
  const source = { text: null, file, createIfMissing: true }
  const keys = await Promise.all(Array.from({ length: 8 }, () => loadRootKey(source)))
  const kept = await loadRootKey({ ...source, createIfMissing: false })
  for (const key of keys) assert.deepEqual(key, kept)
  assert.deepEqual(readdirSync(join(folder, 'together')), ['root.key'])
})

test('a missing key of an existing installation is an error, never a new key', async () => {
  const file = join(folder, 'lost', 'root.key')
  await assert.rejects(
    loadRootKey({ text: null, file, createIfMissing: false }),
    /missing, but this installation has data/,
  )
  assert.equal(existsSync(file), false)
})

test('a damaged key file is refused', async () => {
  const file = join(folder, 'damaged.key')
  writeFileSync(file, 'AAAA')
  await assert.rejects(loadRootKey({ text: null, file, createIfMissing: true }), RootKeyError)
  assert.equal(readFileSync(file, 'utf8'), 'AAAA')
})

test('the canary confirms its own key and no other', async () => {
  const first = await loadRootKey({
    text: Buffer.alloc(32, 1).toString('base64'),
    file: '',
    createIfMissing: false,
  })
  const second = await loadRootKey({
    text: Buffer.alloc(32, 2).toString('base64'),
    file: '',
    createIfMissing: false,
  })
  const canary = sealCanary(first)
  checkCanary(first, canary)
  assert.throws(() => checkCanary(second, canary), /does not match this installation/)
  assert.throws(() => checkCanary(first, `AAAA${canary.slice(4)}`), RootKeyError)
})

test('keys of different purposes differ', async () => {
  const root = await loadRootKey({
    text: Buffer.alloc(32, 1).toString('base64'),
    file: '',
    createIfMissing: false,
  })
  assert.notDeepEqual(deriveKey(root, 'pepper/v1'), deriveKey(root, 'pepper/v2'))
  assert.deepEqual(deriveKey(root, 'pepper/v1'), deriveKey(root, 'pepper/v1'))
})

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { VaultError } from './aead.ts'
import { keyVersionOf, MAX_SECRET_BYTES, openSecret, sealSecret } from './envelope.ts'
import { newProjectKey, rewrapProjectKey, unwrapProjectKey, type WrappedProjectKey } from './project-key.ts'
import type { RootKey } from './root-key.ts'
import { nameRootKey, type RootKeys } from './root-keys.ts'
import { createVault, type ProjectKeyStore } from './vault.ts'

const SECRET = 'correct horse battery staple'
const CONTEXT = { projectId: 'acme', record: 'registry/one', field: 'password', host: 'ghcr.io' }

function rootKeys(): RootKeys {
  return { current: nameRootKey(randomBytes(32) as Uint8Array as RootKey), previous: null }
}

/** Project keys in memory, by the rules of the port. */
function memoryKeys(activeRootId: () => string): ProjectKeyStore & { readonly rows: WrappedProjectKey[] } {
  const rows: WrappedProjectKey[] = []
  return {
    rows,
    loadNewest: async (id) =>
      rows.filter((row) => row.projectId === id).toSorted((a, b) => b.version - a.version)[0] ?? null,
    load: async (id, version) => rows.find((row) => row.projectId === id && row.version === version) ?? null,
    loadActiveRootId: async () => activeRootId(),
    insert: async (key) => {
      if (key.rootId !== activeRootId()) return 'root_changed'
      if (rows.some((row) => row.projectId === key.projectId && row.version === key.version)) return 'exists'
      rows.push(key)
      return 'inserted'
    },
  }
}

function opened() {
  const roots = rootKeys()
  const keys = memoryKeys(() => roots.current.id)
  return { roots, keys, vault: createVault({ roots, keys }) }
}

test('a sealed secret opens again, and never looks the same twice', async () => {
  const { vault, keys } = opened()
  const first = await vault.seal(CONTEXT, SECRET)
  const second = await vault.seal(CONTEXT, SECRET)
  assert.notEqual(first, second)
  assert.equal(first.split('.', 2).join('.'), 's1.1')
  assert.equal(Buffer.from(await vault.open(CONTEXT, first)).toString(), SECRET)
  assert.equal(keys.rows.length, 1)
  const empty = await vault.seal(CONTEXT, '')
  assert.equal((await vault.open(CONTEXT, empty)).byteLength, 0)
})

test('it opens in its own place only', async () => {
  const { vault } = opened()
  const sealed = await vault.seal(CONTEXT, SECRET)
  await vault.seal({ ...CONTEXT, projectId: 'other' }, 'so that the other project has a key')
  for (const change of [
    { projectId: 'other' },
    { record: 'registry/two' },
    { field: 'token' },
    { host: 'evil.example' },
    { host: 'ghcr.io:443' },
    // Parts that are moved over a border are another place.
    { record: 'registry/on', field: 'epassword' },
  ]) {
    await assert.rejects(vault.open({ ...CONTEXT, ...change }, sealed), VaultError, JSON.stringify(change))
  }
})

test('no byte of it can be changed, left out or added', async () => {
  const { vault } = opened()
  const sealed = await vault.seal(CONTEXT, SECRET)
  for (let i = 0; i < sealed.length; i++) {
    for (const other of ['A', 'B', '0', '1', '-', '.', '=', ' ']) {
      if (sealed[i] === other) continue
      const changed = sealed.slice(0, i) + other + sealed.slice(i + 1)
      await assert.rejects(vault.open(CONTEXT, changed), VaultError, `${i} ${other}`)
    }
    const shorter = sealed.slice(0, i) + sealed.slice(i + 1)
    await assert.rejects(vault.open(CONTEXT, shorter), VaultError, `without ${i}`)
    await assert.rejects(vault.open(CONTEXT, sealed.slice(0, i)), VaultError, `cut at ${i}`)
  }
  for (const changed of [
    `${sealed}A`,
    `${sealed}=`,
    ` ${sealed}`,
    `${sealed}\n`,
    sealed.replace('s1.', 's2.'),
  ]) {
    await assert.rejects(vault.open(CONTEXT, changed), VaultError)
  }
})

test('parts of two secrets do not make a third', async () => {
  const { vault } = opened()
  const first = (await vault.seal(CONTEXT, SECRET)).split('.')
  const second = (await vault.seal(CONTEXT, 'another')).split('.')
  const mixed = [first[0], first[1], first[2], second[3]].join('.')
  await assert.rejects(vault.open(CONTEXT, mixed), VaultError)
})

test("a project's key opens under its own root key, project and version only", () => {
  const roots = rootKeys()
  const vaultKey = newProjectKey('acme', 1, roots.current)
  unwrapProjectKey(vaultKey, roots)
  assert.throws(() => unwrapProjectKey(vaultKey, rootKeys()), /was not given/)
  const other = rootKeys().current
  const renamed = { current: { id: roots.current.id, key: other.key }, previous: null }
  assert.throws(() => unwrapProjectKey(vaultKey, renamed), VaultError)
  for (const change of [{ projectId: 'other' }, { version: 2 }, { wrapped: `${vaultKey.wrapped}A` }]) {
    assert.throws(() => unwrapProjectKey({ ...vaultKey, ...change }, roots), VaultError)
  }
})

test('the same secrets open after the root key has changed', async () => {
  const { vault, keys, roots } = opened()
  const sealed = await vault.seal(CONTEXT, SECRET)
  const changed: RootKeys = { current: rootKeys().current, previous: roots.current }
  const during = createVault({ roots: changed, keys })
  assert.equal(Buffer.from(await during.open(CONTEXT, sealed)).toString(), SECRET)
  keys.rows[0] = rewrapProjectKey(keys.rows[0] ?? assert.fail(), changed, changed.current)
  const after = createVault({ roots: { ...changed, previous: null }, keys })
  assert.equal(Buffer.from(await after.open(CONTEXT, sealed)).toString(), SECRET)
  await assert.rejects(vault.open(CONTEXT, sealed), /was not given/)
})

test('a project key that is gone takes its secrets with it', async () => {
  const { vault, keys } = opened()
  const sealed = await vault.seal(CONTEXT, SECRET)
  keys.rows.length = 0
  await assert.rejects(vault.open(CONTEXT, sealed), /destroyed/)
})

test('secrets have a bounded size', () => {
  const key = { version: 1, key: randomBytes(32) }
  const largest = Buffer.alloc(MAX_SECRET_BYTES, 1)
  const sealed = sealSecret(key, CONTEXT, largest)
  assert.equal(keyVersionOf(sealed), 1)
  assert.deepEqual(openSecret(key.key, CONTEXT, sealed), largest)
  assert.throws(() => sealSecret(key, CONTEXT, Buffer.alloc(MAX_SECRET_BYTES + 1)), VaultError)
  assert.throws(() => keyVersionOf('s1.1.'.padEnd(100_000, 'A')), VaultError)
})

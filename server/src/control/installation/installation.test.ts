import assert from 'node:assert/strict'
import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import type { ControlSchema } from '../../metastore/control-schema.ts'
import type { Database } from '../../metastore/database.ts'
import { initializeInstallation, loadInstallation } from '../../metastore/queries/installation.ts'
import { adoptRootKey } from '../../metastore/queries/rekey.ts'
import { openSqliteDatabase } from '../../metastore/sqlite/database.ts'
import { type SqliteWriter, startSqliteWriter } from '../../metastore/sqlite/writer.ts'
import { deriveKey, parseRootKey, RootKeyError, sealCanary } from '../../vault/root-key.ts'
import { nameRootKey, rootKeyFacts } from '../../vault/root-keys.ts'
import { type Installation, openInstallation } from './service.ts'

const folder = mkdtempSync(join(tmpdir(), 'berth-installation-'))
const TOKEN = 'the-operator-token-of-this-test'
const origin = { actor: 'test', requestId: 'test', nowMs: 1 }
let writer: SqliteWriter
let db: Database<ControlSchema>
let databases = 0

before(() => {
  writer = startSqliteWriter()
})
beforeEach(async () => {
  await db?.close()
  databases += 1
  db = await openSqliteDatabase('control', { path: join(folder, `${databases}.db`), writer })
})
after(async () => {
  await db.close()
  await writer.close()
  rmSync(folder, { recursive: true })
})

function newRootKey(): string {
  return randomBytes(32).toString('base64')
}

function open(text: string, previousText: string | null = null): Promise<Installation> {
  return openInstallation({ db, rootKey: { text, file: '/nowhere', previousText }, operatorToken: null })
}

/** As `berth vault rekey` does it. */
async function adopt(installation: Installation, fromText: string): Promise<void> {
  const from = nameRootKey(parseRootKey(fromText, 'test'))
  const facts = rootKeyFacts(installation.rootKeys.current, installation.installationKey)
  assert.deepEqual(await db.run(adoptRootKey, { fromRootId: from.id, facts, origin }), { adopted: true })
}

test('a new installation keeps its keys over a change of root keys', async () => {
  const [first, second] = [newRootKey(), newRootKey()]
  const founded = await open(first)
  const token = founded.firstStart?.operatorToken ?? ''
  const both = await open(second, first)
  assert.deepEqual(both.installationKey, founded.installationKey)
  assert.equal(both.operatorAuth.isOperatorToken(token), true)
  assert.deepEqual((await open(first)).installationKey, founded.installationKey)
  await adopt(both, first)
  const later = await open(second)
  assert.deepEqual(later.installationKey, founded.installationKey)
  assert.equal(later.operatorAuth.isOperatorToken(token), true)
  assert.equal(later.firstStart, null)
  await assert.rejects(open(first), RootKeyError)
  // Which of two is the new one does not matter to a process that only reads.
  assert.deepEqual((await open(first, second)).installationKey, founded.installationKey)
})

test('an installation from before installation keys keeps what it derived from its root key', async () => {
  const [first, second] = [newRootKey(), newRootKey()]
  const root = Buffer.from(first, 'base64')
  // As the version before derived them, written down here on its own.
  const before = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', root, Buffer.alloc(0), `berth/${purpose}`, 32))
  const hmac = createHmac('sha256', before('operator-token/v1')).update(TOKEN).digest()
  await db.run(initializeInstallation, {
    facts: {
      id: 'old',
      created_at: '1',
      root_key_canary: sealCanary(parseRootKey(first, 'test')),
      operator_token_hmac: hmac.toString('base64'),
    },
  })
  const expectOld = (installation: Installation) => {
    assert.equal(installation.id, 'old')
    assert.equal(installation.operatorAuth.isOperatorToken(TOKEN), true)
    assert.deepEqual(Buffer.from(deriveKey(installation.installationKey, 'pepper/v1')), before('pepper/v1'))
    assert.deepEqual(Buffer.from(installation.installationKey), root)
  }
  expectOld(await open(first))
  assert.equal((await loadInstallation(db.reader)).has('installation_key'), false)
  const both = await open(second, first)
  expectOld(both)
  await adopt(both, first)
  expectOld(await open(second))
  const stored = JSON.stringify([...(await loadInstallation(db.reader))])
  for (const encoding of ['base64', 'base64url', 'hex', 'latin1'] as const) {
    assert.equal(stored.includes(root.toString(encoding).replace(/=+$/, '')), false, encoding)
  }
})

test('a wrong root key stops the start, and says what to do', async () => {
  await open(newRootKey())
  await assert.rejects(open(newRootKey()), /does not match this installation: .* Set BERTH_ROOT_KEY/)
  await assert.rejects(open(newRootKey(), newRootKey()), /neither does BERTH_ROOT_KEY_PREVIOUS/)
  await assert.rejects(open(newRootKey(), 'AAAA'), /BERTH_ROOT_KEY_PREVIOUS does not hold a root key/)
})

test('of several that start at once all have the same keys', async () => {
  const text = newRootKey()
  const opened = await Promise.all(Array.from({ length: 5 }, () => open(text)))
  for (const { id, installationKey } of opened) {
    assert.deepEqual([id, installationKey], [opened[0]?.id, opened[0]?.installationKey])
  }
  assert.equal(opened.filter(({ firstStart }) => firstStart !== null).length, 1)
})

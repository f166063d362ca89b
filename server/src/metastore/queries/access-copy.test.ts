import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { openSqliteStack, type TestStack } from '../../../../test/support/access/stack.ts'
import type { Database } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'
import {
  type AccessKeyRules,
  applyAccessChanges,
  loadAccessKey,
  loadAppliedAccessSeq,
  recordKeyUses,
  rewindAccessCopy,
} from './access-copy.ts'
import { listReplicas, removeReplicas, renewReplica } from './access-replica.ts'

let stack: TestStack
let db: Database<RegionSchema>

before(async () => {
  stack = await openSqliteStack()
  db = await stack.openRegion()
})
after(() => stack.close())
beforeEach(async () => {
  await db.run(rewindAccessCopy, { latestSeq: -1 })
})

function rules(id: string, revokedAt: number | null = null): AccessKeyRules {
  return {
    id,
    project_id: 'p',
    kind: 'k',
    name: 'test',
    pepper_version: 1,
    secret_version: 1,
    secret_hmac: new Uint8Array(32),
    previous_hmac: null,
    previous_expires_at: null,
    actions: '["pull"]',
    repositories: '["**"]',
    regions: '[]',
    cidrs: '[]',
    expires_at: null,
    revoked_at: revokedAt,
  }
}

function changes(fromSeq: number, toSeq: number, keys: AccessKeyRules[], missingKeyIds: string[] = []) {
  return {
    fromSeq,
    toSeq,
    projects: [],
    keys,
    missingKeyIds,
    trustRules: [],
    missingTrustRuleIds: [],
    registries: [],
    missingRegistryIds: [],
  }
}

describe('applyAccessChanges', () => {
  it('moves the cursor with the rows', async () => {
    assert.deepEqual(await db.run(applyAccessChanges, changes(0, 3, [rules('a')])), { appliedSeq: 3 })
    assert.equal(await loadAppliedAccessSeq(db.reader), 3)
    assert.equal((await loadAccessKey(db.reader, 'a'))?.revoked_at, null)
  })

  it('does nothing from another place, so what was read earlier never replaces what is newer', async () => {
    await db.run(applyAccessChanges, changes(0, 2, [rules('a', 5)]))
    assert.deepEqual(await db.run(applyAccessChanges, changes(0, 1, [rules('a')])), { appliedSeq: 2 })
    assert.deepEqual(await db.run(applyAccessChanges, changes(3, 4, [rules('a')])), { appliedSeq: 2 })
    assert.equal((await loadAccessKey(db.reader, 'a'))?.revoked_at, 5)
  })

  it('keeps the last use of a key, and removes keys that are not there any more', async () => {
    await db.run(applyAccessChanges, changes(0, 1, [rules('a'), rules('b')]))
    await db.run(recordKeyUses, { uses: [{ keyId: 'a', usedAt: 60_000 }] })
    await db.run(recordKeyUses, { uses: [{ keyId: 'a', usedAt: 30_000 }] })
    await db.run(applyAccessChanges, changes(1, 2, [rules('a', 9)], ['b']))
    const row = await loadAccessKey(db.reader, 'a')
    assert.equal(row?.last_used_at, 60_000)
    assert.equal(row?.revoked_at, 9)
    assert.equal(await loadAccessKey(db.reader, 'b'), null)
  })
})

describe('renewReplica', () => {
  const replica = { id: 'r', version: 'test', startedAt: 1, nowMs: 2 }

  it('refuses a process that is behind, and leaves its row as it was', async () => {
    assert.equal(await db.run(renewReplica, { ...replica, appliedSeq: 0, isNew: true }), 'renewed')
    await db.run(applyAccessChanges, changes(0, 1, []))
    assert.equal(await db.run(renewReplica, { ...replica, appliedSeq: 0, nowMs: 9, isNew: false }), 'behind')
    assert.deepEqual(
      (await listReplicas(db.reader)).map(({ applied_seq, renewed_at }) => [applied_seq, renewed_at]),
      [[0, 2]],
    )
    assert.equal(await db.run(renewReplica, { ...replica, appliedSeq: 1, nowMs: 9, isNew: false }), 'renewed')
    assert.deepEqual(
      (await listReplicas(db.reader)).map(({ applied_seq, renewed_at }) => [applied_seq, renewed_at]),
      [[1, 9]],
    )
  })

  it('tells a process whose row was taken away', async () => {
    await db.run(renewReplica, { ...replica, appliedSeq: 0, isNew: true })
    await db.run(removeReplicas, { renewedBefore: 2 })
    assert.equal((await listReplicas(db.reader)).length, 1)
    await db.run(removeReplicas, { renewedBefore: 3 })
    assert.equal(await db.run(renewReplica, { ...replica, appliedSeq: 0, isNew: false }), 'forgotten')
    assert.equal((await listReplicas(db.reader)).length, 0)
  })
})

describe('rewindAccessCopy', () => {
  it('forgets keys and processes when the control plane is older than the region, else nothing', async () => {
    await db.run(applyAccessChanges, changes(0, 4, [rules('a')]))
    await db.run(renewReplica, { id: 'r', version: 't', appliedSeq: 4, startedAt: 1, nowMs: 1, isNew: true })
    assert.deepEqual(await db.run(rewindAccessCopy, { latestSeq: 4 }), { rewound: false })
    assert.notEqual(await loadAccessKey(db.reader, 'a'), null)
    assert.deepEqual(await db.run(rewindAccessCopy, { latestSeq: 3 }), { rewound: true })
    assert.equal(await loadAccessKey(db.reader, 'a'), null)
    assert.equal(await loadAppliedAccessSeq(db.reader), 0)
    assert.deepEqual(await listReplicas(db.reader), [])
  })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { holdImage } from '../metastore/queries/image-hold.ts'
import { loadRetentionRun } from '../metastore/queries/retention-run.ts'
import { beginRetentionRun } from '../metastore/queries/retention-run.ts'
import { expireTrash } from '../metastore/queries/trash.ts'
import { loadUsage } from '../metastore/queries/usage.ts'
import { relieveFullTrash } from './full-trash.ts'
import { applyDueRetention } from './retention.ts'
import { openTestRegion, type TestRegion } from './test-region.ts'

const DAY_MS = 24 * 3_600_000
const PROJECT = 'test-project'
const log = pino({ enabled: false })
const signal = new AbortController().signal

function relieve(region: TestRegion) {
  const collector = { runCycle: async () => region.cycle() }
  return relieveFullTrash({ regionId: 'test', db: region.db, collector, log }, signal)
}

const usage = (region: TestRegion) => loadUsage(region.db.reader, PROJECT)

async function repositoryId(region: TestRegion): Promise<number> {
  const row = await region.db.reader.selectFrom('repository').select('id').executeTakeFirstOrThrow()
  return row.id
}

test('deleting gives quota back at once, and the purge gives back the trash', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  const manifest = await region.storeManifest([blob])
  assert.deepEqual([(await usage(region))?.usedBytes, (await usage(region))?.trashedBytes], [150, 0])
  await region.trashManifest(manifest)
  assert.deepEqual([(await usage(region))?.usedBytes, (await usage(region))?.trashedBytes], [0, 150])
  await region.untrashManifest(manifest)
  assert.deepEqual([(await usage(region))?.usedBytes, (await usage(region))?.trashedBytes], [150, 0])
  await region.trashManifest(manifest)
  region.advance(7 * DAY_MS + 1)
  await region.cycle()
  assert.deepEqual([(await usage(region))?.usedBytes, (await usage(region))?.trashedBytes], [0, 100])
  region.advance(7 * DAY_MS + 1)
  await region.cycle()
  assert.deepEqual([(await usage(region))?.usedBytes, (await usage(region))?.trashedBytes], [0, 0])
  assert.equal(await region.countRows('gc_task'), 0)
})

test('the oldest of a trash that is too full goes early, and no more than is too much', async (t) => {
  const region = await openTestRegion(t)
  region.sql('update access_project set quota_bytes = 400 where id = ?', PROJECT)
  const manifests = []
  for (let i = 0; i < 5; i++) {
    const blob = await region.storeBlob({ leasedUntil: region.nowMs })
    const manifest = await region.storeManifest([blob])
    await region.trashManifest(manifest)
    manifests.push(manifest)
    region.advance(1)
  }
  const full = (await usage(region))?.trashedBytes ?? 0
  assert.equal(full, 750, 'below twice the quota')
  await relieve(region)
  await relieve(region)
  await relieve(region)
  const relieved = (await usage(region))?.trashedBytes ?? 0
  assert.ok(relieved <= 600, `150 % of the quota: ${relieved}`)
  await relieve(region)
  assert.equal((await usage(region))?.trashedBytes, relieved, 'nothing goes early without need')
  assert.equal((await usage(region))?.usedBytes, 0)
})

test('a trash that is emptied keeps what is in use', async (t) => {
  const region = await openTestRegion(t)
  const blobs = [
    await region.storeBlob({ leasedUntil: region.nowMs }),
    await region.storeBlob({ leasedUntil: region.nowMs }),
  ]
  const [gone, held] = await Promise.all(blobs.map((blob) => region.storeManifest([blob])))
  const hold = { repositoryId: await repositoryId(region), digest: held ?? '', reason: 'release 1', nowMs: 1 }
  assert.equal(await region.db.run(holdImage, hold), 'held')
  // Held before it came into the trash: as after a restored backup.
  region.sql('delete from tag')
  region.sql('update manifest set deleted_at = 1, purge_at = 2 where digest = ?', held ?? '')
  await region.trashManifest(gone ?? '')
  const expired = await region.db.run(expireTrash, { projectId: PROJECT, nowMs: region.nowMs, bytes: 'all' })
  assert.deepEqual(expired, { blobs: 0, manifests: 1, isMore: false })
  region.sql(
    `insert into gc_task (kind, target, project_id, repository_id, digest, due_at, reason)
     values ('purge_manifest', 'x', ?, ?, ?, 0, 'test')`,
    PROJECT,
    hold.repositoryId,
    held ?? '',
  )
  const cycle = await region.cycle()
  assert.equal(cycle.purgedManifests, 1)
  assert.equal(await region.countRows('manifest'), 1)
})

test('rules are applied once a day, by one process, and begun anew when that one died', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs + DAY_MS })
  await region.storeManifest([blob])
  const policy = {
    rules: [
      {
        name: 'Week',
        repositories: ['**'],
        tags: ['*'],
        keepLast: null,
        keepPushedWithinDays: 7,
        keepPulledWithinDays: null,
      },
    ],
    untagged: [],
  }
  region.sql('update access_project set retention = ? where id = ?', JSON.stringify(policy), PROJECT)
  const apply = () => applyDueRetention({ regionId: 'test', db: region.db, trashMs: 7 * DAY_MS, log }, signal)
  const last = () => loadRetentionRun(region.db.reader, PROJECT)
  await apply()
  assert.deepEqual([(await last())?.outcome, (await last())?.removed_tags], ['done', 0])
  const startedAt = (await last())?.started_at
  region.advance(DAY_MS - 1)
  await apply()
  assert.equal((await last())?.started_at, startedAt, 'not yet')
  region.advance(7 * DAY_MS)
  const begin = { projectId: PROJECT, owner: 'other', nowMs: region.nowMs, startedBefore: region.nowMs }
  assert.equal(await region.db.run(beginRetentionRun, begin), true)
  region.advance(2 * DAY_MS)
  region.sql('update retention_run set seen_at = ?', region.nowMs - 1000)
  await apply()
  assert.equal((await last())?.owner, 'other', 'it still runs')
  region.advance(120_000)
  await apply()
  assert.deepEqual([(await last())?.outcome, (await last())?.removed_tags], ['done', 1])
  assert.equal((await last())?.removed_manifests, 1)
})

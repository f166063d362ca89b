import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestRegion } from './test-region.ts'

const DAY_MS = 24 * 3_600_000

test('a blob that no manifest refers to goes to the trash after its lease, and its bytes a trash period later', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs + DAY_MS })
  assert.equal((await region.cycle()).trashedBlobs, 0)
  assert.ok(await region.isReadable(blob), 'the lease runs')

  region.advance(DAY_MS + 1)
  assert.equal((await region.cycle()).trashedBlobs, 1)
  assert.equal(await region.isReadable(blob), false)
  assert.ok(await region.hasBytes(blob), 'the trash keeps the bytes')
  assert.equal(await region.usedBytes(), 0)

  region.advance(7 * DAY_MS + 1)
  assert.equal((await region.cycle()).purgedBlobs, 1)
  assert.equal(await region.hasBytes(blob), false)
  assert.equal(await region.countRows('blob'), 0)
  assert.equal(await region.countRows('gc_task'), 0)
})

test('what a manifest refers to stays, whatever its lease', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  await region.storeManifest([blob])
  region.advance(365 * DAY_MS)
  await region.cycle()
  assert.ok(await region.isReadable(blob))
})

test('a deleted manifest keeps its blobs until it is purged', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  const manifest = await region.storeManifest([blob])
  await region.trashManifest(manifest)
  await region.cycle()
  assert.ok(await region.isReadable(blob), 'the manifest can still be undeleted')

  region.advance(7 * DAY_MS + 1)
  const result = await region.cycle()
  assert.equal(result.purgedManifests, 1)
  assert.equal(result.trashedBlobs, 1)
  assert.equal(await region.isReadable(blob), false)
})

test('an undeleted manifest is not purged', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  const manifest = await region.storeManifest([blob])
  await region.trashManifest(manifest)
  await region.untrashManifest(manifest)
  region.advance(8 * DAY_MS)
  assert.equal((await region.cycle()).purgedManifests, 0)
  assert.ok(await region.isReadable(blob))
})

test('a blob that two repositories have goes only when both lost it', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  await region.mount(blob, 'other', { leasedUntil: region.nowMs + DAY_MS })
  region.advance(1)
  await region.cycle()
  assert.ok(await region.isReadable(blob, 'other'))
  region.advance(DAY_MS)
  assert.equal((await region.cycle()).trashedBlobs, 1)
})

test('a renewed lease postpones the look', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs + 1000 })
  region.advance(1001)
  await region.renewLease(blob, region.nowMs + 5000)
  await region.cycle()
  assert.ok(await region.isReadable(blob))
  region.advance(5001)
  await region.cycle()
  assert.equal(await region.isReadable(blob), false)
})

test('a cycle that would take too much of a region stops itself, unless a person insists', async (t) => {
  const region = await openTestRegion(t)
  for (let index = 0; index < 200; index += 1) await region.storeBlob({ leasedUntil: region.nowMs })
  region.advance(1)
  const stopped = await region.cycle()
  assert.equal(stopped.outcome, 'stopped')
  assert.equal(stopped.trashedBlobs, 50, '25 % of 200')
  assert.match(stopped.detail ?? '', /--force/)

  const next = await region.cycle()
  assert.equal(next.outcome, 'stopped', 'the next cycle does not take the same share again')
  assert.equal(next.trashedBlobs, 0)
  const forced = await region.cycle({ force: true })
  assert.equal(forced.outcome, 'done')
  assert.equal(forced.trashedBlobs, 150)
})

test('the dry run names what would go and why, and takes nothing', async (t) => {
  const region = await openTestRegion(t)
  const loose = await region.storeBlob({ leasedUntil: region.nowMs })
  const held = await region.storeBlob({ leasedUntil: region.nowMs })
  await region.storeManifest([held])
  region.advance(1)
  const preview = await region.preview()
  assert.deepEqual(
    preview.candidates.map(({ digest, kind }) => ({ digest, kind })),
    [{ digest: loose.digest, kind: 'membership' }],
  )
  assert.match(preview.candidates[0]?.reason ?? '', /no manifest of the repository refers to it/)
  assert.ok(await region.isReadable(loose))
})

test('all data of a deleted project goes, and nothing of another project', async (t) => {
  const region = await openTestRegion(t)
  const mine = await region.storeBlob({ leasedUntil: region.nowMs + DAY_MS })
  await region.storeManifest([mine])
  const other = await region.storeBlob({ leasedUntil: region.nowMs + DAY_MS, project: 'other-project' })
  await region.deleteProject()
  await region.cycle()
  await region.cycle()
  assert.equal(await region.hasBytes(mine), false)
  assert.equal(await region.countRows('manifest'), 0)
  assert.equal(await region.countRows('blob'), 1)
  assert.ok(await region.hasBytes(other))
})

test('when the bytes cannot be deleted the row stays, and the next cycle deletes them', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  region.advance(1)
  await region.cycle()
  region.advance(8 * DAY_MS)
  region.failNextDelete()
  await assert.rejects(region.cycle(), /disk error of the test/)
  assert.equal(await region.countRows('blob'), 1)
  assert.equal((await region.lastRun())?.outcome, 'failed')
  assert.equal((await region.cycle()).purgedBlobs, 1)
  assert.equal(await region.hasBytes(blob), false)
})

test('two cycles at once: one runs', async (t) => {
  const region = await openTestRegion(t)
  for (let index = 0; index < 20; index += 1) await region.storeBlob({ leasedUntil: region.nowMs })
  region.advance(1)
  const results = await Promise.all([region.tryCycle(), region.tryCycle()])
  assert.equal(results.filter((result) => result === null).length, 1)
})

test('a cycle that was killed with its process does not hold up the next one', async (t) => {
  const region = await openTestRegion(t)
  region.sql(
    `insert into gc_run (owner, started_at, seen_at, examined, trashed_blobs, trashed_bytes, purged_blobs, purged_bytes, purged_manifests, outcome)
     values ('killed', ?, ?, 0, 0, 0, 0, 0, 0, 'running')`,
    region.nowMs,
    region.nowMs,
  )
  await region.storeBlob({ leasedUntil: region.nowMs })
  region.advance(1)
  assert.equal((await region.cycle()).trashedBlobs, 1)
})

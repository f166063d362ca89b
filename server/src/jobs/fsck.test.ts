import assert from 'node:assert/strict'
import { readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type FsckOptions, runFsck } from './fsck.ts'
import { openTestRegion, type TestBlob, type TestRegion } from './test-region.ts'

function check(region: TestRegion, options: Partial<FsckOptions> = {}) {
  return runFsck({
    db: region.db,
    blobs: region.blobs,
    verifyDigests: true,
    repair: false,
    orphanAgeMs: 0,
    onProgress: () => {},
    signal: new AbortController().signal,
    ...options,
  })
}

function fileOf(region: TestRegion, blob: TestBlob): string {
  return join(region.folder, blob.storageKey)
}

test('a sound region has no problems', async (t) => {
  const region = await openTestRegion(t)
  await region.storeManifest([await region.storeBlob({ leasedUntil: region.nowMs })])
  const report = await check(region)
  assert.equal(report.blobs, 1)
  assert.equal(report.bytes, 100)
  assert.deepEqual(report.problems, [])
})

test('missing, short and changed bytes are found', async (t) => {
  const region = await openTestRegion(t)
  const missing = await region.storeBlob({ leasedUntil: region.nowMs })
  const short = await region.storeBlob({ leasedUntil: region.nowMs })
  const changed = await region.storeBlob({ leasedUntil: region.nowMs })
  await rm(fileOf(region, missing))
  await truncate(fileOf(region, short), 50)
  await writeFile(fileOf(region, changed), Buffer.alloc(100))
  const { problems } = await check(region)
  const kinds = new Map(problems.map(({ subject, kind }) => [subject, kind]))
  assert.equal(kinds.get(`blob ${missing.digest}`), 'missing_bytes')
  assert.equal(kinds.get(`blob ${short.digest}`), 'wrong_size')
  assert.equal(kinds.get(`blob ${changed.digest}`), 'wrong_digest')
  assert.equal(problems.length, 3)
})

test('without reading digests, changed bytes of the right size pass', async (t) => {
  const region = await openTestRegion(t)
  const changed = await region.storeBlob({ leasedUntil: region.nowMs })
  await writeFile(fileOf(region, changed), Buffer.alloc(100))
  assert.deepEqual((await check(region, { verifyDigests: false })).problems, [])
})

test('a broken closure, a dangling tag and a changed manifest are found', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  const kept = await region.storeManifest([blob])
  const lost = await region.storeManifest([])
  region.sql(`delete from repository_blob where digest = ?`, blob.digest)
  region.sql(`update manifest set deleted_at = 1 where digest = ?`, lost)
  region.sql(`update manifest set content = x'00' where digest = ?`, kept)
  const { problems } = await check(region)
  const kinds = problems.map(({ kind }) => kind).sort()
  assert.deepEqual(kinds, ['broken_reference', 'dangling_tag', 'unqueued_blob', 'wrong_manifest_digest'])
})

test('orphans are reported, and moved to the quarantine on request, never deleted', async (t) => {
  const region = await openTestRegion(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  region.sql(`delete from repository_blob where digest = ?`, blob.digest)
  region.sql(`delete from blob where digest = ?`, blob.digest)
  region.advance(Date.now() - region.nowMs)

  assert.deepEqual(
    (await check(region, { orphanAgeMs: 3_600_000 })).problems,
    [],
    'young bytes are left alone',
  )
  const found = await check(region, { orphanAgeMs: -3_600_000 })
  assert.deepEqual(
    found.problems.map(({ kind, repaired }) => ({ kind, repaired })),
    [{ kind: 'orphan_bytes', repaired: null }],
  )
  assert.ok(await region.hasBytes(blob))

  const repaired = await check(region, { orphanAgeMs: -3_600_000, repair: true })
  assert.equal(repaired.problems[0]?.repaired, 'moved to the quarantine')
  assert.equal(await region.hasBytes(blob), false)
  assert.equal((await readdir(join(region.folder, 'quarantine'))).length, 1)
  assert.deepEqual((await check(region, { orphanAgeMs: -3_600_000 })).problems, [])
})

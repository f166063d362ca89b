import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import { openTestRegion, type TestRegion } from '../../jobs/test-region.ts'
import { pushManifest } from './manifest.ts'
import { listUntagged, removeRetainedTag, removeUntagged } from './retention.ts'

const DAY_MS = 24 * 3_600_000
const PROJECT = 'test-project'
const REPOSITORY = 1
const CONTENT = Buffer.from('{"an":"image"}')
const DIGEST = digestOf('sha256', CONTENT)
const RULES = { retention: null, immutableTags: '[]' }

async function push(region: TestRegion, tags: readonly string[]): Promise<void> {
  const result = await region.db.run(pushManifest, {
    guard: null,
    projectId: PROJECT,
    actor: 'operator',
    requestId: 'test',
    nowMs: region.nowMs,
    path: 'app',
    digest: DIGEST,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    kind: 'image',
    artifactType: null,
    subjectDigest: null,
    annotations: null,
    content: CONTENT,
    blobs: [],
    optionalBlobs: [],
    children: [],
    allowSparse: false,
    tags,
    immutable: [],
  })
  assert.equal(result.ok, true)
}

const removal = (region: TestRegion) => ({
  projectId: PROJECT,
  repositoryId: REPOSITORY,
  path: 'app',
  digest: DIGEST,
  rule: 'Week',
  reason: 'test',
  requestId: 'test',
  nowMs: region.nowMs,
  trashMs: DAY_MS,
  rules: RULES,
})

async function untaggedSince(region: TestRegion): Promise<number | undefined> {
  const page = { afterDigest: '', limit: 10 }
  return (await listUntagged(region.db.reader, REPOSITORY, page))[0]?.since
}

test('the time of a manifest without a tag counts from its last push, and from its return', async (t) => {
  const region = await openTestRegion(t)
  await push(region, [])
  const decidedOn = await untaggedSince(region)
  assert.equal(decidedOn, region.nowMs)
  region.advance(30 * DAY_MS)
  await push(region, [])
  assert.equal(await untaggedSince(region), region.nowMs, 'pushed again')
  const stale = { ...removal(region), since: decidedOn ?? 0 }
  assert.deepEqual(await region.db.run(removeUntagged, stale), { ok: false, reason: 'changed' })

  await region.trashManifest(DIGEST)
  region.advance(DAY_MS)
  await push(region, [])
  assert.equal(await untaggedSince(region), region.nowMs, 'pushed while it was in the trash')
  await region.trashManifest(DIGEST)
  region.advance(DAY_MS)
  await region.untrashManifest(DIGEST)
  assert.equal(await untaggedSince(region), region.nowMs, 'restored')
  const current = { ...removal(region), since: region.nowMs }
  assert.deepEqual(await region.db.run(removeUntagged, current), { ok: true, image: 'trashed', manifests: 1 })
})

test('rules that were replaced remove nothing any more', async (t) => {
  const region = await openTestRegion(t)
  const set = (column: string, value: string | number | null) =>
    region.sql(
      `update access_project set ${column} = ${value === null ? 'null' : '?'} where id = ?`,
      ...(value === null ? [] : [value]),
      PROJECT,
    )
  await push(region, ['v1'])
  const { version } = await region.db.reader.selectFrom('tag').select('version').executeTakeFirstOrThrow()
  const tag = { ...removal(region), tag: 'v1', version }
  const manifest = { ...removal(region), since: region.nowMs }
  const old: readonly [string, string | number | null, string | number][] = [
    ['retention', null, '{"rules":[],"untagged":[]}'],
    ['immutable_tags', '[]', '[{"repositories":["**"],"tags":["v*"]}]'],
    ['deleted_at', null, 1],
  ]
  for (const [column, before, after] of old) {
    set(column, after)
    for (const result of [
      await region.db.run(removeRetainedTag, tag),
      await region.db.run(removeUntagged, manifest),
    ])
      assert.deepEqual(result, { ok: false, reason: 'rules_changed' }, column)
    set(column, before)
  }
  const removed = await region.db.run(removeRetainedTag, tag)
  assert.deepEqual(removed, { ok: true, image: 'trashed', manifests: 1 })
})

import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type TestContext, test } from 'node:test'
import { openTestRegion, type TestRegion } from '../../jobs/test-region.ts'
import { attachedTagPrefix } from '../attached-tag.ts'
import { loadFreedBytes } from './freed-bytes.ts'
import { listParts, loadNeed } from './trash-manifests.ts'
import { expireTrash } from './trash.ts'

const PROJECT = 'test-project'
const REPOSITORY = 1
/** More than fit into one look at an image's tags. */
const MANY_TAGS = 1_200

const hex = (n: number) => n.toString(16).padStart(64, '0')
const digestOfNumber = (n: number) => `sha256:${hex(n)}`
const numbersTo = (count: number) =>
  `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})`
const DIGEST_OF_I = `'sha256:' || printf('%064x', i)`

/** A region with so many live manifests without tags and edges, numbered from 1. */
async function openRegionWith(t: TestContext, manifests: number): Promise<TestRegion> {
  const region = await openTestRegion(t)
  await region.storeBlob({ leasedUntil: region.nowMs })
  region.sql(
    `${numbersTo(manifests)} insert into manifest
       (repository_id, digest, media_type, kind, size_bytes, created_at, content)
     select ?, ${DIGEST_OF_I}, 'index', 'index', 10, 1, x'00' from n`,
    REPOSITORY,
  )
  return region
}

function addEdge(region: TestRegion, parent: number, child: number): void {
  region.sql(
    `insert into manifest_reference (repository_id, manifest_digest, target_digest, target_kind)
     values (?, ?, ?, 'manifest')`,
    REPOSITORY,
    digestOfNumber(parent),
    digestOfNumber(child),
  )
}

function addTags(region: TestRegion, count: number, prefix: string, digest: string): void {
  region.sql(
    `${numbersTo(count)} insert into tag (repository_id, name, digest, version, updated_at)
     select ?, ? || i, ?, 1, 1 from n`,
    REPOSITORY,
    prefix,
    digest,
  )
}

function hold(region: TestRegion, digest: string): void {
  region.sql(
    `insert into image_hold (repository_id, digest, reason, created_at) values (?, ?, 'release 1', 1)`,
    REPOSITORY,
    digest,
  )
}

/** The parts of manifest 1. */
async function partsOfFirst(region: TestRegion): Promise<readonly string[]> {
  return (await listParts(region.db.reader, REPOSITORY, [digestOfNumber(1)])).digests
}

test('what is held, or listed by an index that stays, is no part, however many tags it has', async (t) => {
  const region = await openRegionWith(t, 4)
  const [first, child] = [digestOfNumber(1), digestOfNumber(2)]
  addEdge(region, 1, 2)
  const attached = `${attachedTagPrefix(first)}.`
  addTags(region, 900, attached, child)
  assert.deepEqual(await partsOfFirst(region), [child], 'all its tags belong to what goes')
  addTags(region, MANY_TAGS, `${attached}more`, child)
  hold(region, child)
  assert.deepEqual(await partsOfFirst(region), [], 'it is held')
  region.sql('delete from image_hold')
  addEdge(region, 3, 2)
  assert.deepEqual(await partsOfFirst(region), [], 'another index lists it')
  region.sql(`delete from tag where name like ?`, `${attached}more%`)
  assert.deepEqual(await partsOfFirst(region), [], 'another index lists it, and it has fewer tags')
  region.sql('delete from manifest_reference where manifest_digest = ?', digestOfNumber(3))
  assert.deepEqual(await partsOfFirst(region), [child])
  hold(region, child)
  assert.deepEqual(await partsOfFirst(region), [], 'it is held, and has fewer tags')
})

test('a need is found behind any number of tags that do not count', async (t) => {
  const region = await openRegionWith(t, 3)
  const [parent, child] = [digestOfNumber(1), digestOfNumber(2)]
  addTags(region, MANY_TAGS, 'v', child)
  const exceptTags = new Set(Array.from({ length: MANY_TAGS }, (_, i) => `v${i + 1}`))
  const need = () => loadNeed(region.db.reader, REPOSITORY, child, { exceptTags })
  assert.equal(await need(), null)
  addEdge(region, 1, 2)
  assert.equal(await need(), `manifest ${parent}`)
  hold(region, child)
  assert.equal(await need(), 'hold release 1')
  addTags(region, 1, 'z', child)
  assert.equal(await need(), 'tag z1')
})

test('the search for parts is linear, however they hang together', async (t) => {
  const count = 150
  const region = await openRegionWith(t, count)
  // The first lists all others, and each of those the one before it: at first only the last can go.
  region.sql(
    `${numbersTo(count)} insert into manifest_reference (repository_id, manifest_digest, target_digest, target_kind)
     select ?, '${digestOfNumber(1)}', ${DIGEST_OF_I}, 'manifest' from n where i > 1
     union all
     select ?, ${DIGEST_OF_I}, 'sha256:' || printf('%064x', i - 1), 'manifest' from n where i > 2`,
    REPOSITORY,
    REPOSITORY,
  )
  let statements = 0
  const counting = region.db.reader.withPlugin({
    transformQuery: ({ node }) => {
      statements += 1
      return node
    },
    transformResult: async ({ result }) => result,
  })
  let pauses = 0
  const pause = async () => {
    pauses += 1
  }
  const { digests, isComplete } = await listParts(counting, REPOSITORY, [digestOfNumber(1)], { pause })
  assert.deepEqual([digests.length, isComplete], [count - 1, true])
  assert.ok(statements <= 4 * count, `${statements} statements for ${count} manifests`)
  assert.ok(pauses >= 2, `the event loop had ${pauses} turns`)
})

test('more parts than one deletion takes: it takes some, says so, and takes the same again', async (t) => {
  const region = await openRegionWith(t, 1_500)
  region.sql(
    `${numbersTo(1_500)} insert into manifest_reference (repository_id, manifest_digest, target_digest, target_kind)
     select ?, '${digestOfNumber(1)}', ${DIGEST_OF_I}, 'manifest' from n where i > 1`,
    REPOSITORY,
  )
  const parts = await listParts(region.db.reader, REPOSITORY, [digestOfNumber(1)])
  assert.deepEqual([parts.digests.length, parts.isComplete], [1_000, false])
  assert.deepEqual(await listParts(region.db.reader, REPOSITORY, [digestOfNumber(1)]), parts)
})

test('the event loop takes turns while freed bytes are counted', async (t) => {
  const region = await openRegionWith(t, 450)
  const digests = Array.from({ length: 450 }, (_, i) => digestOfNumber(i + 1))
  let turns = 0
  let isDone = false
  const others = (async () => {
    while (!isDone) {
      await nextTurn()
      turns += 1
    }
  })()
  const freed = await loadFreedBytes(region.db.reader, [{ repositoryId: REPOSITORY, digests }])
  const during = turns
  isDone = true
  await others
  assert.equal(freed, 4_500)
  assert.ok(during >= 2, `${during} turns`)
})

test('for a byte of room few manifests go, and all of them when the trash is emptied', async (t) => {
  const region = await openRegionWith(t, 50)
  region.sql('update manifest set deleted_at = 1, purge_at = 2')
  region.sql(
    `${numbersTo(50)} insert into gc_task (kind, target, project_id, repository_id, digest, due_at, reason)
     select 'purge_manifest', i, ?, ?, ${DIGEST_OF_I}, ? + i, 'test' from n`,
    PROJECT,
    REPOSITORY,
    region.nowMs,
  )
  const expire = (bytes: number | 'all') =>
    region.db.run(expireTrash, { projectId: PROJECT, nowMs: region.nowMs, bytes })
  assert.deepEqual(await expire(1), { blobs: 0, manifests: 20, isMore: true })
  assert.deepEqual(await expire('all'), { blobs: 0, manifests: 30, isMore: false })
})

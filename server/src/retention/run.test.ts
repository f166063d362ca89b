import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import { openTestRegion, type TestRegion } from '../jobs/test-region.ts'
import { pushManifest } from '../metastore/queries/manifest.ts'
import { forecastRetention } from './run.ts'

const PROJECT = 'test-project'
const TRASH_MS = 24 * 3_600_000
const POLICY = { rules: [], untagged: [{ repositories: ['**'], afterDays: 1 }] }

async function pushUntagged(region: TestRegion, path: string, name: string): Promise<void> {
  const content = Buffer.from(`{"an":"image","of":"${path}","called":"${name}"}`)
  const result = await region.db.run(pushManifest, {
    guard: null,
    projectId: PROJECT,
    actor: 'operator',
    requestId: 'test',
    nowMs: region.nowMs,
    path,
    digest: digestOf('sha256', content),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    kind: 'image',
    artifactType: null,
    subjectDigest: null,
    annotations: null,
    content,
    blobs: [],
    optionalBlobs: [],
    children: [],
    allowSparse: false,
    tags: [],
    immutable: [],
  })
  assert.equal(result.ok, true)
}

test('a forecast ends where a run does, however many repositories there are', async (t) => {
  const region = await openTestRegion(t)
  for (const path of ['a', 'b', 'c']) {
    for (const name of ['one', 'two']) await pushUntagged(region, path, name)
  }
  region.sql('update access_project set retention = ? where id = ?', JSON.stringify(POLICY), PROJECT)
  region.advance(2 * 24 * 3_600_000)
  const where = { db: region.db, trashMs: TRASH_MS }
  const { signal } = new AbortController()
  const all = await forecastRetention(where, PROJECT, signal, 6)
  assert.deepEqual([all.removedManifests, all.isPartial], [6, false])
  const some = await forecastRetention(where, PROJECT, signal, 3)
  assert.deepEqual([some.removedManifests, some.isPartial], [3, true])
})

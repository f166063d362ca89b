import assert from 'node:assert/strict'
import { sql } from 'kysely'
import { assertContent } from './content-steps.ts'
import { BLOBS, bytesOfPool, MANIFESTS, type PoolManifest } from './content.ts'
import type { RepositoryModel } from './registry-model.ts'
import { assertAnswer, observe, type ProjectState, type World } from './world.ts'

const HISTORY_PAGE = 500

/** The tags of a repository, with the closure and the history of each. */
export async function checkTags(world: World, project: ProjectState, path: string): Promise<void> {
  const repository = project.model.repositories.get(path)
  const name = `${project.model.namespace}/${path}`
  const list = await observe(world, project, 'GET', `/v2/${name}/tags/list`)
  if (repository === undefined) {
    assertAnswer(list, { status: 404, code: 'NAME_UNKNOWN' }, 'tags of a repository that is not there')
    return
  }
  const { tags } = JSON.parse(list.body.toString('utf8')) as { tags: string[] }
  assert.deepEqual(tags, [...repository.tags.keys()].sort(), `tags of ${path}`)
  const verified = new Set<string>()
  for (const tag of repository.tags.keys()) {
    const manifest = repository.resolve(tag)
    assert.ok(manifest, 'in the model every tag has its manifest')
    await checkClosure(world, project, path, tag, manifest, verified)
  }
  for (const [tag, changes] of repository.history) await checkHistory(world, project, path, tag, changes)
}

/** Invariant 1: what a visible tag needs can all be read, exactly. */
async function checkClosure(
  world: World,
  project: ProjectState,
  path: string,
  reference: string,
  manifest: PoolManifest,
  verified: Set<string>,
): Promise<void> {
  const base = `/v2/${project.model.namespace}/${path}`
  const answer = await observe(world, project, 'GET', `${base}/manifests/${reference}`)
  assertAnswer(answer, { status: 200 }, `manifest ${reference} of a visible tag`)
  assertContent(answer.headers, { ...manifest, bytes: manifest.content }, answer.body)
  for (const digest of manifest.blobs) {
    if (verified.has(digest)) continue
    verified.add(digest)
    const blob = BLOBS.find((one) => one.digest === digest)
    assert.ok(blob)
    const read = await observe(world, project, 'GET', `${base}/blobs/${digest}`)
    assertAnswer(read, { status: 200 }, `blob ${digest} of a visible tag`)
    assertContent(
      read.headers,
      { digest, mediaType: 'application/octet-stream', bytes: bytesOfPool(blob) },
      read.body,
    )
  }
  for (const digest of manifest.children) {
    if (verified.has(digest)) continue
    verified.add(digest)
    const child = MANIFESTS.find((one) => one.digest === digest)
    assert.ok(child)
    await checkClosure(world, project, path, digest, child, verified)
  }
}

/** Invariant 3: each acknowledged change once, in order, without a gap. */
async function checkHistory(
  { server }: World,
  { model }: ProjectState,
  path: string,
  tag: string,
  changes: readonly (string | null)[],
): Promise<void> {
  const { items } = await server.console.call('tags.history', {
    params: { project: model.id, repository: path, tag },
    query: { limit: HISTORY_PAGE },
  })
  const history = items.toReversed()
  assert.deepEqual(
    history.map(({ version }) => version),
    changes.map((_, index) => index + 1),
    `versions of ${path}:${tag}`,
  )
  assert.deepEqual(
    history.map(({ digest }) => digest),
    changes,
    `history of ${path}:${tag}`,
  )
}

/** Invariant 4: exactly what the model has is there; garbage collection took no more, and left no garbage. */
export async function checkContent(world: World, project: ProjectState, path: string): Promise<void> {
  const repository = project.model.repositories.get(path)
  if (repository === undefined) return
  const base = `/v2/${project.model.namespace}/${path}`
  for (const { digest, sizeBytes } of BLOBS) {
    const answer = await observe(world, project, 'HEAD', `${base}/blobs/${digest}`)
    const isThere = repository.members.has(digest)
    assert.equal(
      answer.status,
      isThere ? 200 : 404,
      `${path}: blob ${digest} (${stateOf(repository, digest)})`,
    )
    if (isThere) assert.equal(answer.headers['content-length'], String(sizeBytes))
  }
  for (const { digest } of MANIFESTS) {
    const answer = await observe(world, project, 'HEAD', `${base}/manifests/${digest}`)
    const isLive: boolean = repository.live(digest) !== null
    assert.equal(answer.status, isLive ? 200 : 404, `${path}: manifest ${digest}`)
  }
}

function stateOf(repository: RepositoryModel, digest: string): string {
  const leasedUntilMs = repository.members.get(digest)
  const lease = leasedUntilMs === undefined ? 'not here' : `leased until ${leasedUntilMs}`
  return repository.isReferredTo(digest) ? `${lease}, referred to` : lease
}

/** The use that is counted along is what a recount finds, and what the model says; so are the reservations. */
export async function checkUsage({ server }: World, { model }: ProjectState): Promise<void> {
  const { rows } = await sql<Record<string, number | null>>`
    select
      (select used_bytes from project_usage where project_id = ${model.id}) as counted,
      (select trashed_bytes from project_usage where project_id = ${model.id}) as counted_trash,
      (select coalesce(sum(size_bytes), 0) from blob where project_id = ${model.id} and state = 'live'
        and id not in (select blob_id from idle_blob)) as blobs,
      (select coalesce(sum(size_bytes), 0) from blob where project_id = ${model.id} and (state = 'trashed'
        or id in (select blob_id from idle_blob))) as trashed_blobs,
      (select coalesce(sum(manifest.size_bytes), 0) from manifest
        join repository on repository.id = manifest.repository_id
        where repository.project_id = ${model.id} and manifest.deleted_at is not null) as trashed_manifests,
      (select coalesce(sum(manifest.size_bytes), 0) from manifest
        join repository on repository.id = manifest.repository_id
        where repository.project_id = ${model.id} and manifest.deleted_at is null) as manifests
  `.execute(server.db.reader)
  const row = rows[0] ?? {}
  const counted = Number(row['counted'] ?? 0)
  const recounted = Number(row['blobs']) + Number(row['manifests'])
  assert.equal(counted, recounted, 'the use that is counted along, and a recount')
  assert.equal(counted, model.usedBytes(), 'the use, and what the model has')
  const recountedTrash = Number(row['trashed_blobs']) + Number(row['trashed_manifests'])
  assert.equal(
    Number(row['counted_trash'] ?? 0),
    recountedTrash,
    'the trash that is counted along, and a recount',
  )
  const usage = await server.console.call('usage.project', { params: { project: model.id } })
  const [region] = usage.regions
  assert.equal(region?.usedBytes, counted)
  const reserved = model.uploads.reduce((sum, upload) => sum + upload.reservedBytes, 0)
  assert.equal(region?.reservedBytes, reserved, 'bytes that running uploads reserve')
}

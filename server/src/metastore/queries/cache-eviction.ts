import { type Kysely, sql } from 'kysely'
import { defineCommand } from '../database.ts'
import { lockBlob, lockRepository } from '../dialect.ts'
import type { RegionSchema, RepositoryRow } from '../region-schema.ts'
import { enqueueGcTask } from './gc-task.ts'
import { loadHoldIn } from './image-hold.ts'
import { insertRegionAudit } from './region-audit.ts'
import { trashManifests } from './trash-manifests.ts'

/*
 * How copies from connected registries leave: what nobody has pulled for long, and what is left of a registry that is
 * not connected any more. Nothing of it waits in the trash: it can be fetched again, or must not be.
 */

const ACTOR = 'pull-through'
const REQUEST_ID = 'eviction'

/** `cached_from` of a repository whose registry is connected as it was. See `cacheIdOf`. */
const IS_CURRENT = sql`exists (
  select 1 from access_registry registry where registry.project_id = repository.project_id
    and registry.id || ' ' || registry.slug || ' ' || registry.provider || ' ' || registry.host = repository.cached_from)`

export interface UnusedManifest {
  readonly projectId: string
  readonly repositoryId: number
  readonly path: string
  readonly digest: string
}

/**
 * Copies that were fetched before `usedBefore` and that nobody has pulled since, neither by digest nor by a tag. What is
 * held stays, and what an index lists waits until that goes.
 */
export async function listUnusedCopies(
  db: Kysely<RegionSchema>,
  usedBefore: number,
  limit: number,
): Promise<UnusedManifest[]> {
  const { rows } = await sql<UnusedManifest>`
    select repository.project_id as "projectId", repository.id as "repositoryId", repository.path as "path",
      manifest.digest as "digest"
    from repository
    join manifest on manifest.repository_id = repository.id
    where ${isUnused(usedBefore)}
    order by repository.id, manifest.digest
    limit ${limit}`.execute(db)
  return rows.map((row) => ({ ...row, repositoryId: Number(row.repositoryId) }))
}

/** Of a manifest joined to its repository. */
function isUnused(usedBefore: number) {
  return sql`repository.cached_from is not null and manifest.deleted_at is null
      and manifest.created_at < ${usedBefore}
      and not exists (
        select 1 from last_pull where last_pull.repository_id = repository.id
          and last_pull.reference = manifest.digest and last_pull.pulled_at >= ${usedBefore})
      and not exists (
        select 1 from tag
        left join cached_tag on cached_tag.repository_id = tag.repository_id and cached_tag.name = tag.name
        left join last_pull on last_pull.repository_id = tag.repository_id and last_pull.reference = tag.name
        where tag.repository_id = repository.id and tag.digest = manifest.digest
          and (cached_tag.checked_at >= ${usedBefore} or last_pull.pulled_at >= ${usedBefore}))
      and not exists (
        select 1 from image_hold where image_hold.repository_id = repository.id
          and image_hold.digest = manifest.digest)
      and not exists (
        select 1 from manifest_reference edge
        join manifest parent on parent.repository_id = edge.repository_id and parent.digest = edge.manifest_digest
          and parent.deleted_at is null
        where edge.repository_id = repository.id and edge.target_digest = manifest.digest
          and edge.target_kind = 'manifest')`
}

export interface EvictCopyArgs extends UnusedManifest {
  readonly usedBefore: number
  readonly nowMs: number
}

/**
 * Lets go of a copy, unless it is in use by now. Its blobs follow by garbage collection. Answers whether it was there and
 * free to go.
 */
export const evictCopy = defineCommand(
  'cache.evict',
  async (
    tx: Kysely<RegionSchema>,
    { projectId, repositoryId, path, digest, usedBefore, nowMs }: EvictCopyArgs,
  ): Promise<boolean> => {
    await lockRepository(tx, repositoryId)
    // Since it was listed somebody may have pulled it, held it, or pulled an index that lists it.
    const { rows } = await sql`
      select 1 from repository join manifest on manifest.repository_id = repository.id
      where repository.id = ${repositoryId} and manifest.digest = ${digest} and ${isUnused(usedBefore)}`.execute(
      tx,
    )
    if (rows.length === 0) return false
    const target = { projectId, repositoryId, nowMs, purgeAt: nowMs, actor: ACTOR }
    const { tags, count } = await trashManifests(tx, { ...target, digests: [digest] })
    await forgetComparedTags(tx, repositoryId)
    if (count === 0) return false
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor: ACTOR,
      action: 'manifest.evict',
      target: `${path}@${digest}`,
      detail: { tags, reason: 'unused' },
      requestId: REQUEST_ID,
    })
    return true
  },
)

/** Repositories with copies from registries that are not connected like that any more, by id. */
export async function listStaleCopies(
  db: Kysely<RegionSchema>,
  limit: number,
  afterId = 0,
): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from repository where id > ${afterId} and cached_from is not null and not ${IS_CURRENT}
    order by id limit ${limit}`.execute(db)
  return rows.map(({ id }) => Number(id))
}

/** Blobs that one transaction takes out of a repository. */
const CLEARED_BLOBS = 500

/**
 * Clears a repository of its copies, some blobs at a time. When nothing is left it is an empty repository of the
 * project's own, whose path anybody may use again. `more`: call again. `held`: what is held is left, with what it lists
 * and needs; nobody is shown it, and it goes when the hold ends.
 */
export const clearCopies = defineCommand(
  'cache.clear',
  async (
    tx: Kysely<RegionSchema>,
    { repositoryId, nowMs }: { readonly repositoryId: number; readonly nowMs: number },
  ): Promise<'more' | 'held' | 'done'> => {
    const repository = await lockRepository(tx, repositoryId)
    if (repository === null || !(await isStale(tx, repositoryId))) return 'done'
    const { project_id: projectId } = repository
    const target = { projectId, repositoryId, nowMs, purgeAt: nowMs, actor: ACTOR }
    const isHeld = (await loadHoldIn(tx, repositoryId)) !== null
    const digests = isHeld ? await listNotHeld(tx, repositoryId) : 'all'
    await trashManifests(tx, { ...target, digests })
    await forgetComparedTags(tx, repositoryId)
    if (await removeSomeBlobs(tx, repository, nowMs)) return 'more'
    await purgeEdgesAndManifests(tx, repositoryId, projectId)
    if (isHeld) return digests.length < HELD_STEP ? 'held' : 'more'
    await tx.updateTable('repository').set({ cached_from: null }).where('id', '=', repositoryId).execute()
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor: ACTOR,
      action: 'repository.evict',
      target: repository.path,
      detail: { reason: 'disconnected' },
      requestId: REQUEST_ID,
    })
    return 'done'
  },
)

/** Manifests that one transaction takes out of a repository where others are held. */
const HELD_STEP = 1_000

/** Live manifests that are not held, and that nothing held lists. */
async function listNotHeld(tx: Kysely<RegionSchema>, repositoryId: number): Promise<string[]> {
  const { rows } = await sql<{ digest: string }>`
    with recursive kept (digest) as (
      select digest from image_hold where repository_id = ${repositoryId}
      union
      select edge.target_digest from manifest_reference edge join kept on kept.digest = edge.manifest_digest
        where edge.repository_id = ${repositoryId} and edge.target_kind = 'manifest')
    select digest from manifest
    where repository_id = ${repositoryId} and deleted_at is null and digest not in (select digest from kept)
    order by digest limit ${HELD_STEP}`.execute(tx)
  return rows.map(({ digest }) => digest)
}

async function isStale(tx: Kysely<RegionSchema>, repositoryId: number): Promise<boolean> {
  const { rows } = await sql`
    select 1 from repository where id = ${repositoryId} and cached_from is not null and not ${IS_CURRENT}`.execute(
    tx,
  )
  return rows.length > 0
}

async function removeSomeBlobs(
  tx: Kysely<RegionSchema>,
  { id: repositoryId, project_id: projectId, path }: RepositoryRow,
  nowMs: number,
): Promise<boolean> {
  const members = await tx
    .selectFrom('repository_blob')
    .select(['digest', 'blob_id'])
    .where('repository_id', '=', repositoryId)
    .where(
      sql<boolean>`not exists (
        select 1 from manifest_reference edge
        join manifest on manifest.repository_id = edge.repository_id and manifest.digest = edge.manifest_digest
        where edge.repository_id = ${repositoryId} and edge.target_kind = 'blob'
          and edge.target_digest = repository_blob.digest and manifest.deleted_at is null)`,
    )
    .orderBy('blob_id')
    .limit(CLEARED_BLOBS)
    .execute()
  for (const { digest, blob_id: blobId } of members) {
    await tx
      .deleteFrom('repository_blob')
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .execute()
    // As for a deleted blob: a look at it in another transaction would take this task away with its own.
    await lockBlob(tx, blobId)
    await enqueueGcTask(
      tx,
      { kind: 'blob', projectId, blobId },
      { dueAt: nowMs, reason: `cleared from ${path}` },
    )
  }
  return members.length > 0
}

/** Those in the trash are gone at once, so that no undelete shows what is not connected any more. */
async function purgeEdgesAndManifests(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  projectId: string,
): Promise<void> {
  await sql`
    delete from manifest_reference where repository_id = ${repositoryId} and not exists (
      select 1 from manifest where manifest.repository_id = manifest_reference.repository_id
        and manifest.digest = manifest_reference.manifest_digest and manifest.deleted_at is null)`.execute(tx)
  const purged = await tx
    .deleteFrom('manifest')
    .where('repository_id', '=', repositoryId)
    .where('deleted_at', 'is not', null)
    .returning('size_bytes')
    .execute()
  const bytes = purged.reduce((sum, row) => sum + row.size_bytes, 0)
  await tx
    .updateTable('project_usage')
    .set((eb) => ({ trashed_bytes: eb('trashed_bytes', '-', bytes) }))
    .where('project_id', '=', projectId)
    .execute()
  for (const table of ['untagged_manifest', 'trashed_tag', 'last_pull'] as const) {
    await tx.deleteFrom(table).where('repository_id', '=', repositoryId).execute()
  }
}

/** Tags that are gone were compared with nothing. */
async function forgetComparedTags(tx: Kysely<RegionSchema>, repositoryId: number): Promise<void> {
  await sql`
    delete from cached_tag where repository_id = ${repositoryId} and not exists (
      select 1 from tag where tag.repository_id = cached_tag.repository_id and tag.name = cached_tag.name)`.execute(
    tx,
  )
}

/** Gives slugs free below which no stale copy is left. */
export const forgetRetiredSlugs = defineCommand(
  'cache.forget_retired',
  async (tx: Kysely<RegionSchema>, _args: null): Promise<number> => {
    const { rows } = await sql`
      delete from retired_slug where not exists (
        select 1 from repository where repository.project_id = retired_slug.project_id
          and repository.cached_from is not null and not ${IS_CURRENT}
          and substr(repository.path, 1, length(retired_slug.slug) + 1) = retired_slug.slug || '/')
      returning slug`.execute(tx)
    return rows.length
  },
)

export const cacheEvictionCommands = [evictCopy, clearCopies, forgetRetiredSlugs]

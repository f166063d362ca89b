import { type Kysely, sql } from 'kysely'
import { defineCommand } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'
import { insertRegionAudit } from './region-audit.ts'
import type { WriteContext } from './write-context.ts'

/** A manifest in the trash. */
export interface TrashedManifest {
  readonly digest: string
  readonly media_type: string
  readonly kind: 'image' | 'index'
  readonly artifact_type: string | null
  readonly subject_digest: string | null
  readonly size_bytes: number
  readonly deleted_at: number
  readonly purge_at: number
}

/** Manifests of a repository that are in the trash, by digest. */
export async function listTrash(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  page: { readonly afterDigest: string; readonly limit: number },
): Promise<TrashedManifest[]> {
  const { rows } = await sql<TrashedManifest>`
    select digest, media_type, kind, artifact_type, subject_digest, size_bytes, deleted_at, purge_at
    from manifest
    where repository_id = ${repositoryId} and deleted_at is not null and digest > ${page.afterDigest}
    order by digest limit ${page.limit}`.execute(reader)
  return rows
}

/** Things of the trash that one command lets go. */
const EXPIRED_PER_COMMAND = 500
/** Manifests that go for room: how much that makes is not known before, so few go, and then it is looked at again. */
const MANIFESTS_FOR_ROOM = 20

export interface ExpireTrashArgs {
  readonly projectId: string
  readonly nowMs: number
  /** Stops when so many bytes were let go; what a manifest's blobs free is seen only when it is purged. */
  readonly bytes: number | 'all'
}

export interface ExpiredTrash {
  readonly blobs: number
  readonly manifests: number
  /** There may be more. */
  readonly isMore: boolean
}

/**
 * Ends the time in the trash of a project's oldest things now: blobs first, which nobody can restore any more, then
 * manifests. The next cycle of garbage collection removes them.
 */
export const expireTrash = defineCommand<RegionSchema, ExpireTrashArgs, ExpiredTrash>(
  'trash.expire',
  async (tx, { projectId, nowMs, bytes }) => {
    const blobs = await listWaiting(tx, 'purge_blob', projectId, nowMs, EXPIRED_PER_COMMAND)
    const chosen = chooseOldest(blobs, bytes)
    await sql`update blob set purge_at = ${nowMs}
      where state = 'trashed' and id in (${listOf(chosen.map(({ blob_id }) => blob_id ?? 0))})`.execute(tx)
    const left = bytes === 'all' ? 'all' : bytes - chosen.reduce((sum, { size_bytes }) => sum + size_bytes, 0)
    const wantsMore = left === 'all' || left > 0
    const most = bytes === 'all' ? EXPIRED_PER_COMMAND : MANIFESTS_FOR_ROOM
    const manifests = wantsMore ? await listWaiting(tx, 'purge_manifest', projectId, nowMs, most) : []
    for (const { repository_id, digest } of manifests) {
      await sql`update manifest set purge_at = ${nowMs} where repository_id = ${repository_id}
        and digest = ${digest} and deleted_at is not null`.execute(tx)
    }
    const tasks = [...chosen, ...manifests].map(({ id }) => id)
    await sql`update gc_task set due_at = ${nowMs} where id in (${listOf(tasks)})`.execute(tx)
    const isMore = blobs.length === EXPIRED_PER_COMMAND || manifests.length === most
    return { blobs: chosen.length, manifests: manifests.length, isMore }
  },
)

interface Waiting {
  readonly id: number
  readonly blob_id: number | null
  readonly repository_id: number | null
  readonly digest: string | null
  readonly size_bytes: number
}

/** The kinds are part of the text, so that the index of the trash is used. */
async function listWaiting(
  tx: Kysely<RegionSchema>,
  kind: 'purge_blob' | 'purge_manifest',
  projectId: string,
  nowMs: number,
  limit: number,
): Promise<Waiting[]> {
  const { rows } = await sql<Waiting>`
    select gc_task.id, gc_task.blob_id, gc_task.repository_id, gc_task.digest,
      coalesce(blob.size_bytes, 0) as size_bytes
    from gc_task left join blob on blob.id = gc_task.blob_id
    where gc_task.kind = ${sql.lit(kind)} and gc_task.project_id = ${projectId} and gc_task.due_at > ${nowMs}
    order by gc_task.due_at limit ${limit}`.execute(tx)
  return rows.map((row) => ({ ...row, size_bytes: Number(row.size_bytes) }))
}

function chooseOldest(waiting: readonly Waiting[], bytes: number | 'all'): readonly Waiting[] {
  if (bytes === 'all') return waiting
  let sum = 0
  const count = waiting.findIndex(({ size_bytes }) => {
    sum += size_bytes
    return sum >= bytes
  })
  return count === -1 ? waiting : waiting.slice(0, count + 1)
}

// An empty list is not SQL; no id is -1.
function listOf(ids: readonly number[]) {
  return sql.join(ids.length === 0 ? [-1] : [...ids])
}

/** Writes the audit event of a person who empties a project's trash. */
export const recordPurge = defineCommand<
  RegionSchema,
  Omit<WriteContext, 'guard'> & { readonly trashedBytes: number },
  null
>('trash.recordPurge', async (tx, { projectId, actor, requestId, nowMs, trashedBytes }) => {
  await insertRegionAudit(tx, {
    projectId,
    at: nowMs,
    actor,
    action: 'trash.purge',
    target: 'trash',
    detail: { trashedBytes },
    requestId,
  })
  return null
})

/** A project whose trash is too much. */
export interface FullTrash {
  readonly projectId: string
  readonly excessBytes: number
  /** Something of it is due already. */
  readonly isBeingRemoved: boolean
}

/** Projects whose use and trash together are above so many percent of their quota. */
export async function listFullTrash(
  reader: Kysely<RegionSchema>,
  percent: number,
  nowMs: number,
): Promise<FullTrash[]> {
  const { rows } = await sql<{ id: string; excess: number; due: number | null }>`
    select access_project.id, used_bytes + trashed_bytes - quota_bytes * ${percent} / 100 as excess,
      (select gc_task.id from gc_task where (kind = 'purge_blob' or kind = 'purge_manifest')
        and gc_task.project_id = access_project.id and due_at <= ${nowMs} limit 1) as due
    from project_usage join access_project on access_project.id = project_usage.project_id
    where quota_bytes is not null and deleted_at is null and trashed_bytes > 0
      and (used_bytes + trashed_bytes) * 100 > quota_bytes * ${percent}`.execute(reader)
  return rows.map((row) => ({
    projectId: row.id,
    excessBytes: Math.ceil(Number(row.excess)),
    isBeingRemoved: row.due !== null,
  }))
}

export const trashCommands = [expireTrash, recordPurge]

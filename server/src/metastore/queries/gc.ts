import { sql, type Kysely } from 'kysely'
import { defineCommand } from '../database.ts'
import { lockBlob, lockRepository } from '../dialect.ts'
import type { GcTaskRow, RegionSchema } from '../region-schema.ts'
import { deleteGcTask, enqueueGcTask } from './gc-task.ts'
import { forgetIdleBlob } from './idle-blob.ts'
import { loadHold } from './image-hold.ts'
import type { UsageChange } from './usage.ts'

/*
 * Garbage collection's transactions. Each looks at one queued target under the same row locks as pushes and mounts
 * (repository before blob), decides again from the rows themselves, and either removes one thing or drops the task.
 * None of them touches the blob store: bytes go after the commit that made them unreachable.
 */

/** What one look at a target did, with the reason, for the log. */
export type GcOutcome =
  | { readonly did: 'kept'; readonly why: string }
  | { readonly did: 'postponed'; readonly why: string; readonly dueAt: number }
  | { readonly did: 'unlinked'; readonly why: string; readonly digest: string }
  | {
      readonly did: 'trashed'
      readonly why: string
      readonly digest: string
      readonly sizeBytes: number
      readonly purgeAt: number
    }
  | {
      readonly did: 'purged'
      readonly why: string
      readonly digest: string
      readonly sizeBytes: number
      readonly what: 'blob' | 'manifest'
    }
  | { readonly did: 'advanced'; readonly why: string; readonly rows: number }

export interface GcTimes {
  readonly nowMs: number
  /** How long a condemned blob stays in the trash. */
  readonly trashMs: number
}

/** Due tasks in order of their time, at most `limit`. */
export async function listDueGcTasks(
  db: Kysely<RegionSchema>,
  nowMs: number,
  limit: number,
  { exceptBlobs = false } = {},
): Promise<GcTaskRow[]> {
  const due = db.selectFrom('gc_task').selectAll().where('due_at', '<=', nowMs)
  return (exceptBlobs ? due.where('kind', '!=', 'blob') : due)
    .orderBy('due_at')
    .orderBy('id')
    .limit(limit)
    .execute()
}

/** Queued tasks by kind, and how many of them are due. */
export async function countGcTasks(
  db: Kysely<RegionSchema>,
  nowMs: number,
): Promise<{ kind: string; queued: number; due: number }[]> {
  const rows = await db
    .selectFrom('gc_task')
    .select([
      'kind',
      sql<number>`count(*)`.as('queued'),
      sql<number>`sum(case when due_at <= ${nowMs} then 1 else 0 end)`.as('due'),
    ])
    .groupBy('kind')
    .execute()
  return rows.map((row) => ({ kind: row.kind, queued: Number(row.queued), due: Number(row.due) }))
}

/** Live blobs and their bytes, and the trash: what the share limit is measured against. */
export async function loadBlobTotals(
  db: Kysely<RegionSchema>,
): Promise<{ live: number; liveBytes: number; trashed: number; trashedBytes: number }> {
  const rows = await db
    .selectFrom('blob')
    .select([
      'state',
      sql<number>`count(*)`.as('count'),
      sql<number>`coalesce(sum(size_bytes), 0)`.as('bytes'),
    ])
    .groupBy('state')
    .execute()
  const of = (state: string) => rows.find((row) => row.state === state)
  return {
    live: Number(of('live')?.count ?? 0),
    liveBytes: Number(of('live')?.bytes ?? 0),
    trashed: Number(of('trashed')?.count ?? 0),
    trashedBytes: Number(of('trashed')?.bytes ?? 0),
  }
}

/** Says why a membership would be kept, or null when nothing holds it. Used by the dry run and the command alike. */
export async function membershipHeldBy(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
): Promise<string | null> {
  const reference = await db
    .selectFrom('manifest_reference')
    .select('manifest_digest')
    .where('repository_id', '=', repositoryId)
    .where('target_digest', '=', digest)
    .where('target_kind', '=', 'blob')
    .limit(1)
    .executeTakeFirst()
  return reference === undefined ? null : `referenced by manifest ${reference.manifest_digest}`
}

/** A repository's blob that no manifest refers to and whose lease has ended is unlinked from the repository. */
export const collectMembership = defineCommand(
  'gc.collectMembership',
  async (tx: Kysely<RegionSchema>, args: { task: GcTaskRow; times: GcTimes }): Promise<GcOutcome> => {
    const { task, times } = args
    const repositoryId = task.repository_id ?? 0
    const digest = task.digest ?? ''
    await lockRepository(tx, repositoryId)
    const membership = await tx
      .selectFrom('repository_blob')
      .selectAll()
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .executeTakeFirst()
    if (membership === undefined) return dropTask(tx, task, 'the repository does not have it any more')
    if (membership.leased_until > times.nowMs)
      return postpone(tx, task, membership.leased_until, 'its lease has not ended')
    const held = await membershipHeldBy(tx, repositoryId, digest)
    if (held !== null) return dropTask(tx, task, held)

    // Locked before the blob is queued, so that a look at the same blob in another transaction does not lose the task.
    await lockBlob(tx, membership.blob_id)
    await tx
      .deleteFrom('repository_blob')
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .execute()
    await enqueueGcTask(
      tx,
      { kind: 'blob', projectId: task.project_id, blobId: membership.blob_id },
      { dueAt: times.nowMs, reason: 'unlinked from its repository' },
    )
    await deleteGcTask(tx, task)
    return {
      did: 'unlinked',
      digest,
      why: `no manifest of the repository refers to it and its lease ended (${task.reason})`,
    }
  },
)

/** A blob that no repository has any more goes to the trash. */
export const collectBlob = defineCommand(
  'gc.collectBlob',
  async (tx: Kysely<RegionSchema>, args: { task: GcTaskRow; times: GcTimes }): Promise<GcOutcome> => {
    const { task, times } = args
    const blobId = task.blob_id ?? 0
    const blob = await lockBlob(tx, blobId)
    if (blob === null || blob.state !== 'live') return dropTask(tx, task, 'it is not live any more')
    const membership = await tx
      .selectFrom('repository_blob')
      .select('repository_id')
      .where('blob_id', '=', blobId)
      .limit(1)
      .executeTakeFirst()
    if (membership !== undefined) return dropTask(tx, task, `repository ${membership.repository_id} has it`)

    const purgeAt = times.nowMs + times.trashMs
    await tx
      .updateTable('blob')
      .set({ state: 'trashed', trashed_at: times.nowMs, purge_at: purgeAt })
      .where('id', '=', blobId)
      .execute()
    // What is idle counts as trash already.
    if (!(await forgetIdleBlob(tx, blobId)))
      await giveBack(tx, task.project_id, { usedBytes: blob.size_bytes, trashedBytes: -blob.size_bytes })
    await enqueueGcTask(
      tx,
      { kind: 'purge_blob', projectId: task.project_id, blobId },
      { dueAt: purgeAt, reason: 'its time in the trash has ended' },
    )
    await deleteGcTask(tx, task)
    return {
      did: 'trashed',
      digest: blob.digest,
      sizeBytes: blob.size_bytes,
      purgeAt,
      why: `no repository of the project has it (${task.reason})`,
    }
  },
)

/**
 * The trashed blob of a purge task that is really due, with where its bytes are; null when there is nothing to purge
 * (then the task is dropped). A trashed blob never comes back to life: a new push of the same content is a new row with
 * a key of its own, so its bytes can be deleted after this without a lock.
 */
export const beginBlobPurge = defineCommand(
  'gc.beginBlobPurge',
  async (
    tx: Kysely<RegionSchema>,
    args: { task: GcTaskRow; nowMs: number },
  ): Promise<{ storageKey: string | null; digest: string; sizeBytes: number } | null> => {
    const blob = await lockBlob(tx, args.task.blob_id ?? 0)
    if (blob === null || blob.state !== 'trashed' || (blob.purge_at ?? 0) > args.nowMs) {
      await deleteGcTask(tx, args.task)
      return null
    }
    return { storageKey: blob.storage_key, digest: blob.digest, sizeBytes: blob.size_bytes }
  },
)

/** Forgets a trashed blob after its bytes are gone. */
export const finishBlobPurge = defineCommand(
  'gc.finishBlobPurge',
  async (tx: Kysely<RegionSchema>, { task }: { task: GcTaskRow }): Promise<void> => {
    const removed = await tx
      .deleteFrom('blob')
      .where('id', '=', task.blob_id ?? 0)
      .where('state', '=', 'trashed')
      .returning('size_bytes')
      .executeTakeFirst()
    if (removed !== undefined)
      await giveBack(tx, task.project_id, { usedBytes: 0, trashedBytes: removed.size_bytes })
    await deleteGcTask(tx, task)
  },
)

/** A deleted manifest whose time in the trash has ended goes for good; its blobs are looked at next. */
export const purgeManifest = defineCommand(
  'gc.purgeManifest',
  async (tx: Kysely<RegionSchema>, args: { task: GcTaskRow; times: GcTimes }): Promise<GcOutcome> => {
    const { task, times } = args
    const repositoryId = task.repository_id ?? 0
    const digest = task.digest ?? ''
    await lockRepository(tx, repositoryId)
    const manifest = await tx
      .selectFrom('manifest')
      .select(['deleted_at', 'purge_at', 'size_bytes'])
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .executeTakeFirst()
    if (manifest === undefined || manifest.deleted_at === null)
      return dropTask(tx, task, 'it is not in the trash any more')
    if ((manifest.purge_at ?? 0) > times.nowMs)
      return postpone(tx, task, manifest.purge_at ?? 0, 'it was deleted again later')
    const heldBy = await loadHold(tx, repositoryId, digest)
    if (heldBy !== null) return postpone(tx, task, times.nowMs + times.trashMs, `held: ${heldBy}`)

    const targets = await tx
      .deleteFrom('manifest_reference')
      .where('repository_id', '=', repositoryId)
      .where('manifest_digest', '=', digest)
      .returning(['target_digest', 'target_kind'])
      .execute()
    await tx
      .deleteFrom('manifest')
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .execute()
    await forgetManifestNotes(tx, repositoryId, digest)
    await giveBack(tx, task.project_id, { usedBytes: 0, trashedBytes: manifest.size_bytes })
    for (const target of targets) {
      if (target.target_kind !== 'blob') continue
      await enqueueGcTask(
        tx,
        { kind: 'membership', projectId: task.project_id, repositoryId, digest: target.target_digest },
        { dueAt: times.nowMs, reason: `manifest ${digest} was purged` },
      )
    }
    await deleteGcTask(tx, task)
    return {
      did: 'purged',
      what: 'manifest',
      digest,
      sizeBytes: manifest.size_bytes,
      why: 'it was deleted and its time in the trash has ended',
    }
  },
)

/** What was noted about a manifest that is gone for good. */
async function forgetManifestNotes(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
): Promise<void> {
  for (const table of ['untagged_manifest', 'trashed_tag'] as const) {
    await tx
      .deleteFrom(table)
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .execute()
  }
  await tx
    .deleteFrom('last_pull')
    .where('repository_id', '=', repositoryId)
    .where('reference', '=', digest)
    .execute()
}

/** Takes bytes off a project's use; a deleted project may have no row any more, and gets none. */
async function giveBack(tx: Kysely<RegionSchema>, projectId: string, bytes: UsageChange): Promise<void> {
  await tx
    .updateTable('project_usage')
    .set((eb) => ({
      used_bytes: eb('used_bytes', '-', bytes.usedBytes),
      trashed_bytes: eb('trashed_bytes', '-', bytes.trashedBytes),
    }))
    .where('project_id', '=', projectId)
    .execute()
}

async function dropTask(tx: Kysely<RegionSchema>, task: GcTaskRow, why: string): Promise<GcOutcome> {
  await deleteGcTask(tx, task)
  return { did: 'kept', why }
}

async function postpone(
  tx: Kysely<RegionSchema>,
  task: GcTaskRow,
  dueAt: number,
  why: string,
): Promise<GcOutcome> {
  await tx.updateTable('gc_task').set({ due_at: dueAt }).where('id', '=', task.id).execute()
  return { did: 'postponed', dueAt, why }
}

export const gcCommands = [collectMembership, collectBlob, beginBlobPurge, finishBlobPurge, purgeManifest]

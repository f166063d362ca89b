import { type Kysely, sql } from 'kysely'
import { defineCommand, Rollback } from '../database.ts'
import { dialectOf, lockBlob, lockForUpdate, lockRepository } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { enqueueGcTask } from './gc-task.ts'
import { prepareQuery } from './prepared-query.ts'
import { insertRegionAudit } from './region-audit.ts'
import { ensureOwnRepository, lockRepositoryAt } from './repository.ts'
import { type ProjectUsage, type QuotaRefusal, settleUsage } from './usage.ts'
import { mayStillWrite, type WriteContext } from './write-context.ts'

/** A blob as a repository shows it. Exactly one of `storageKey` and `content` is set. */
export interface FoundBlob {
  readonly blobId: number
  readonly repositoryId: number
  readonly sizeBytes: number
  readonly storageKey: string | null
  readonly content: Uint8Array | null
  /** Milliseconds since the epoch. */
  readonly leasedUntil: number
}

interface BlobKey {
  readonly projectId: string
  /** The repository's path below the namespace. */
  readonly path: string
  readonly digest: string
}

// One statement, one view: the repository, its membership, and the bytes behind it.
const selectBlob = prepareQuery<RegionSchema, BlobKey>()((db, p) =>
  db
    .selectFrom('repository')
    .leftJoin('repository_blob', (join) =>
      join
        .onRef('repository_blob.repository_id', '=', 'repository.id')
        .on('repository_blob.digest', '=', p('digest')),
    )
    .leftJoin('blob', (join) =>
      join.onRef('blob.id', '=', 'repository_blob.blob_id').on('blob.state', '=', 'live'),
    )
    .select([
      'repository.id as repositoryId',
      'blob.id as blobId',
      'blob.size_bytes as sizeBytes',
      'blob.storage_key as storageKey',
      'blob.content as content',
      'repository_blob.leased_until as leasedUntil',
    ])
    .where('repository.project_id', '=', p('projectId'))
    .where('repository.path', '=', p('path')),
)

/** Looks a blob up through its repository's own membership. */
export async function loadBlob(
  db: Kysely<RegionSchema>,
  key: BlobKey,
): Promise<FoundBlob | 'no_repository' | 'no_blob'> {
  const row = await selectBlob.first(db, key)
  if (row === undefined) return 'no_repository'
  const { blobId, sizeBytes, leasedUntil } = row
  if (blobId === null || sizeBytes === null || leasedUntil === null) return 'no_blob'
  return {
    blobId,
    sizeBytes,
    leasedUntil,
    repositoryId: row.repositoryId,
    storageKey: row.storageKey,
    content: row.content,
  }
}

/** Paths of a project's repositories that have a blob, in byte order, at most `limit`. For a mount without `from`. */
export async function listPathsWithBlob(
  db: Kysely<RegionSchema>,
  key: { projectId: string; digest: string },
  limit: number,
): Promise<string[]> {
  const rows = await db
    .selectFrom('blob')
    .innerJoin('repository_blob', 'repository_blob.blob_id', 'blob.id')
    .innerJoin('repository', 'repository.id', 'repository_blob.repository_id')
    .select('repository.path')
    .where('blob.project_id', '=', key.projectId)
    .where('blob.digest', '=', key.digest)
    .where('blob.state', '=', 'live')
    .orderBy('repository.path')
    .limit(limit)
    .execute()
  return rows.map((row) => row.path)
}

const lockLiveBlob = prepareQuery<RegionSchema, { projectId: string; digest: string }>()((db, p) =>
  lockForUpdate(
    db
      .selectFrom('blob')
      .select('id')
      .where('project_id', '=', p('projectId'))
      .where('digest', '=', p('digest'))
      .where('state', '=', 'live'),
    dialectOf(db),
  ),
)

const insertBlob = prepareQuery<
  RegionSchema,
  {
    projectId: string
    digest: string
    sizeBytes: number
    storageKey: string | null
    content: Uint8Array | null
    nowMs: number
  }
>()((db, p) =>
  db
    .insertInto('blob')
    .values({
      project_id: p('projectId'),
      digest: p('digest'),
      size_bytes: p('sizeBytes'),
      storage_key: p('storageKey'),
      content: p('content'),
      state: 'live',
      created_at: p('nowMs'),
      trashed_at: null,
      purge_at: null,
    })
    // Where two pushes of the same new content meet on PostgreSQL, the second waits here and then uses the first's row.
    .onConflict((conflict) =>
      conflict.columns(['project_id', 'digest']).where('state', '=', sql.lit('live')).doNothing(),
    )
    .returning('id'),
)

const upsertMembership = prepareQuery<
  RegionSchema,
  { repositoryId: number; digest: string; blobId: number; nowMs: number; leasedUntil: number }
>()((db, p) =>
  db
    .insertInto('repository_blob')
    .values({
      repository_id: p('repositoryId'),
      digest: p('digest'),
      blob_id: p('blobId'),
      created_at: p('nowMs'),
      leased_until: p('leasedUntil'),
    })
    .onConflict((conflict) =>
      conflict.columns(['repository_id', 'digest']).doUpdateSet((eb) => ({
        blob_id: eb.ref('excluded.blob_id'),
        leased_until: eb
          .case()
          .when('excluded.leased_until', '>', eb.ref('repository_blob.leased_until'))
          .then(eb.ref('excluded.leased_until'))
          .else(eb.ref('repository_blob.leased_until'))
          .end(),
      })),
    ),
)

/** Content that is checked, and durable where it is. */
export interface BlobContent {
  readonly projectId: string
  readonly digest: string
  readonly sizeBytes: number
  /** Where the bytes are durable already, or null when they come in `content`. */
  readonly storageKey: string | null
  readonly content: Uint8Array | null
  /** Milliseconds since the epoch. */
  readonly nowMs: number
}

export interface CommitBlobArgs extends WriteContext, BlobContent {
  readonly path: string
  readonly projectId: string
  readonly nowMs: number
  readonly leaseMs: number
}

export type CommitBlobResult =
  | {
      readonly ok: true
      /** The project had the content before: the copy under `storageKey` is not used, the caller removes it. */
      readonly known: boolean
      readonly usage: ProjectUsage
    }
  | { readonly ok: false; readonly reason: 'revoked' | 'project_deleted' | 'reserved' }
  | QuotaRefusal

/**
 * Makes uploaded content a blob of a repository: the blob's row unless the project has one, membership with a lease,
 * usage, a look by garbage collection when the lease ends, audit.
 */
export const commitBlob = defineCommand(
  'blob.commit',
  async (tx: Kysely<RegionSchema>, args: CommitBlobArgs): Promise<CommitBlobResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, digest, nowMs } = args
    const repositoryId = await ensureOwnRepository(tx, projectId, path, nowMs)
    const { blobId, known } = await liveBlobFor(tx, args)
    await joinRepository(tx, args, repositoryId, blobId, 'pushed')
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor: args.actor,
      action: 'blob.push',
      target: `${path}@${digest}`,
      detail: { sizeBytes: args.sizeBytes },
      requestId: args.requestId,
    })
    const usedBytes = known ? 0 : args.sizeBytes
    const settled = await settleUsage(tx, projectId, { usedBytes, trashedBytes: 0 })
    if (!settled.ok) throw new Rollback(settled)
    return { ok: true, known, usage: settled.usage }
  },
)

/** The project's live blob with this content, locked; made when there is none. */
export async function liveBlobFor(
  tx: Kysely<RegionSchema>,
  args: BlobContent,
): Promise<{ blobId: number; known: boolean }> {
  const live = await lockLiveBlob.first(tx, args)
  if (live !== undefined) return { blobId: live.id, known: true }
  const inserted = await insertBlob.first(tx, args)
  if (inserted !== undefined) return { blobId: inserted.id, known: false }
  const other = await lockLiveBlob.first(tx, args)
  if (other === undefined) throw new Error('a blob disappeared while it was pushed again')
  return { blobId: other.id, known: true }
}

/** Puts a live, locked blob into a repository for at least the lease. */
export async function joinRepository(
  tx: Kysely<RegionSchema>,
  args: { projectId: string; digest: string; leaseMs: number; nowMs: number },
  repositoryId: number,
  blobId: number,
  reason: string,
): Promise<void> {
  const { projectId, digest, nowMs } = args
  const leasedUntil = nowMs + args.leaseMs
  await upsertMembership.run(tx, { repositoryId, digest, blobId, nowMs, leasedUntil })
  await enqueueGcTask(
    tx,
    { kind: 'membership', projectId, repositoryId, digest },
    { dueAt: leasedUntil, reason },
  )
}

export interface MountBlobArgs extends WriteContext {
  readonly path: string
  /** Of the same project; the caller has checked that it may be pulled. */
  readonly sourcePath: string
  readonly digest: string
  readonly leaseMs: number
}

export type MountBlobResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'revoked' | 'not_found' | 'reserved' }

/** Gives a repository a blob that another repository of the same project has. */
export const mountBlob = defineCommand(
  'blob.mount',
  async (tx: Kysely<RegionSchema>, args: MountBlobArgs): Promise<MountBlobResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, sourcePath, digest, nowMs } = args
    const source = await loadBlob(tx, { projectId, path: sourcePath, digest })
    if (typeof source === 'string') return { ok: false, reason: 'not_found' }
    const repositoryId = await ensureOwnRepository(tx, projectId, path, nowMs)
    // Locked and still live: from here on garbage collection cannot take it.
    const live = await lockLiveBlob.first(tx, args)
    if (live === undefined) throw new Rollback({ ok: false, reason: 'not_found' })
    await joinRepository(tx, args, repositoryId, live.id, 'mounted')
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor: args.actor,
      action: 'blob.mount',
      target: `${path}@${digest}`,
      detail: { from: sourcePath },
      requestId: args.requestId,
    })
    return { ok: true }
  },
)

/** The caller's promise that a blob can be referenced for a while: raises the lease, never lowers it. */
export const extendBlobLease = defineCommand(
  'blob.extendLease',
  async (
    tx: Kysely<RegionSchema>,
    args: { projectId: string; repositoryId: number; digest: string; leasedUntil: number },
  ): Promise<'extended' | 'not_found'> => {
    await lockRepository(tx, args.repositoryId)
    const changed = await tx
      .updateTable('repository_blob')
      .set((eb) => ({
        leased_until: eb
          .case()
          .when('leased_until', '<', args.leasedUntil)
          .then(args.leasedUntil)
          .else(eb.ref('leased_until'))
          .end(),
      }))
      .where('repository_id', '=', args.repositoryId)
      .where('digest', '=', args.digest)
      .returning('blob_id')
      .executeTakeFirst()
    if (changed === undefined) return 'not_found'
    await enqueueGcTask(
      tx,
      { kind: 'membership', projectId: args.projectId, repositoryId: args.repositoryId, digest: args.digest },
      { dueAt: args.leasedUntil, reason: 'its lease was extended' },
    )
    return 'extended'
  },
)

export interface DeleteBlobArgs extends WriteContext {
  readonly path: string
  readonly digest: string
}

export type DeleteBlobResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'revoked' | 'no_repository' | 'no_blob' }
  | { readonly ok: false; readonly reason: 'referenced'; readonly manifestDigest: string }

const selectLiveReferrer = prepareQuery<
  RegionSchema,
  { repositoryId: number; digest: string; kind: 'blob' | 'manifest' }
>()((db, p) =>
  db
    .selectFrom('manifest_reference')
    .innerJoin('manifest', (join) =>
      join
        .onRef('manifest.repository_id', '=', 'manifest_reference.repository_id')
        .onRef('manifest.digest', '=', 'manifest_reference.manifest_digest'),
    )
    .select('manifest.digest')
    .where('manifest_reference.repository_id', '=', p('repositoryId'))
    .where('manifest_reference.target_digest', '=', p('digest'))
    .where('manifest_reference.target_kind', '=', p('kind'))
    .where('manifest.deleted_at', 'is', null)
    .limit(1),
)

/** A manifest of the repository, not in the trash, that refers to the content; null when there is none. */
export async function loadLiveReferrer(
  db: Kysely<RegionSchema>,
  target: { repositoryId: number; digest: string; kind: 'blob' | 'manifest' },
): Promise<string | null> {
  return (await selectLiveReferrer.first(db, target))?.digest ?? null
}

/** Takes a blob out of a repository, unless a manifest there needs it. */
export const deleteBlob = defineCommand(
  'blob.delete',
  async (tx: Kysely<RegionSchema>, args: DeleteBlobArgs): Promise<DeleteBlobResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, digest, nowMs } = args
    const repositoryId = await lockRepositoryAt(tx, projectId, path)
    if (repositoryId === null) return { ok: false, reason: 'no_repository' }
    const manifestDigest = await loadLiveReferrer(tx, { repositoryId, digest, kind: 'blob' })
    if (manifestDigest !== null) return { ok: false, reason: 'referenced', manifestDigest }
    const removed = await tx
      .deleteFrom('repository_blob')
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .returning('blob_id')
      .executeTakeFirst()
    if (removed === undefined) return { ok: false, reason: 'no_blob' }
    // A look at the same blob in another transaction still sees the membership, and would take this task away with it.
    await lockBlob(tx, removed.blob_id)
    await enqueueGcTask(
      tx,
      { kind: 'blob', projectId, blobId: removed.blob_id },
      { dueAt: nowMs, reason: `deleted from ${path}` },
    )
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor: args.actor,
      action: 'blob.delete',
      target: `${path}@${digest}`,
      detail: {},
      requestId: args.requestId,
    })
    return { ok: true }
  },
)

export const blobCommands = [commitBlob, mountBlob, extendBlobLease, deleteBlob]

import { type Kysely, sql } from 'kysely'
import { defineCommand } from '../database.ts'
import { lockRepository } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { insertRegionAudit } from './region-audit.ts'
import { changeUsage } from './usage.ts'
import type { WriteContext } from './write-context.ts'

export interface DeleteRepositoryArgs extends Omit<WriteContext, 'guard'> {
  readonly repositoryId: number
  /** The repository's path, for the audit event. */
  readonly path: string
  readonly trashMs: number
}

export type DeleteRepositoryResult =
  | {
      readonly ok: true
      readonly deletedTags: number
      readonly trashedManifests: number
      readonly purgeAt: number
    }
  | { readonly ok: false; readonly reason: 'no_repository' }

/**
 * Puts every manifest of a repository into the trash and removes every tag, as deleting them one by one would. The
 * row itself stays for the tags' histories. Statements work on sets: ten thousand tags are one transaction.
 */
export const deleteRepository = defineCommand<RegionSchema, DeleteRepositoryArgs, DeleteRepositoryResult>(
  'repository.delete',
  async (tx, args) => {
    const { repositoryId, projectId, nowMs, actor } = args
    if ((await lockRepository(tx, repositoryId)) === null) return { ok: false, reason: 'no_repository' }
    const purgeAt = nowMs + args.trashMs
    const deletedTags = await removeAllTags(tx, { repositoryId, nowMs, actor })
    const trashed = await trashAllManifests(tx, { repositoryId, projectId, nowMs, purgeAt })
    await changeUsage(tx, projectId, -trashed.bytes)
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'repository.delete',
      target: args.path,
      detail: { deletedTags, trashedManifests: trashed.count },
      requestId: args.requestId,
    })
    return { ok: true, deletedTags, trashedManifests: trashed.count, purgeAt }
  },
)

async function removeAllTags(
  tx: Kysely<RegionSchema>,
  { repositoryId, nowMs, actor }: { repositoryId: number; nowMs: number; actor: string },
): Promise<number> {
  await sql`
    insert into tag_history (repository_id, tag, version, digest, at, actor)
    select repository_id, name, version + 1, null, cast(${nowMs} as bigint), cast(${actor} as text)
    from tag where repository_id = ${repositoryId}`.execute(tx)
  const removed = await tx.deleteFrom('tag').where('repository_id', '=', repositoryId).executeTakeFirst()
  return Number(removed.numDeletedRows)
}

async function trashAllManifests(
  tx: Kysely<RegionSchema>,
  where: { repositoryId: number; projectId: string; nowMs: number; purgeAt: number },
): Promise<{ count: number; bytes: number }> {
  const { repositoryId, projectId, nowMs, purgeAt } = where
  // The queue has one row for each target, named as `enqueueGcTask` names it; the earlier time holds.
  await sql`
    insert into gc_task (kind, target, project_id, repository_id, digest, blob_id, due_at, reason)
    select 'purge_manifest', 'purge_manifest/' || repository_id || '/' || digest, cast(${projectId} as text),
      repository_id, digest, null, cast(${purgeAt} as bigint), 'its time in the trash has ended'
    from manifest where repository_id = ${repositoryId} and deleted_at is null
    on conflict (target) do nothing`.execute(tx)
  const { rows } = await sql<{ size_bytes: number }>`
    update manifest set deleted_at = ${nowMs}, purge_at = ${purgeAt}
    where repository_id = ${repositoryId} and deleted_at is null
    returning size_bytes`.execute(tx)
  return { count: rows.length, bytes: rows.reduce((sum, row) => sum + Number(row.size_bytes), 0) }
}

export const deleteRepositoryCommands = [deleteRepository]

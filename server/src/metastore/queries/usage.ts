import type { Kysely } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'
import { prepareQuery } from './prepared-query.ts'

/** What a project uses of what it may. */
export interface ProjectUsage {
  readonly usedBytes: number
  /** What is deleted and still on the disk: it comes back when it is purged. */
  readonly trashedBytes: number
  /** Null: unlimited. */
  readonly quotaBytes: number | null
}

/** A project's bytes together with its trash may be this many times its quota. */
export const TOTAL_PER_QUOTA = 2

const selectUsage = prepareQuery<RegionSchema, { projectId: string }>()((db, p) =>
  db
    .selectFrom('access_project')
    .leftJoin('project_usage', 'project_usage.project_id', 'access_project.id')
    .select([
      'access_project.quota_bytes',
      'access_project.deleted_at',
      'project_usage.used_bytes',
      'project_usage.trashed_bytes',
    ])
    .where('access_project.id', '=', p('projectId')),
)

const addUsage = prepareQuery<RegionSchema, { projectId: string; usedBytes: number; trashedBytes: number }>()(
  (db, p) =>
    db
      .insertInto('project_usage')
      .values({ project_id: p('projectId'), used_bytes: p('usedBytes'), trashed_bytes: p('trashedBytes') })
      .onConflict((conflict) =>
        conflict.column('project_id').doUpdateSet((eb) => ({
          used_bytes: eb('project_usage.used_bytes', '+', p('usedBytes')),
          trashed_bytes: eb('project_usage.trashed_bytes', '+', p('trashedBytes')),
        })),
      ),
)

/** A project's quota and use, or null when the project is unknown here or deleted. */
export async function loadUsage(db: Kysely<RegionSchema>, projectId: string): Promise<ProjectUsage | null> {
  const row = await selectUsage.first(db, { projectId })
  if (row === undefined || row.deleted_at !== null) return null
  return {
    usedBytes: row.used_bytes ?? 0,
    trashedBytes: row.trashed_bytes ?? 0,
    quotaBytes: row.quota_bytes,
  }
}

/** By how much a change of the project's content changes its bytes. */
export interface UsageChange {
  readonly usedBytes: number
  readonly trashedBytes: number
}

/**
 * Changes a project's use, inside the transaction that makes it true. On PostgreSQL the row is locked from here until
 * the commit, whatever the change.
 */
export async function changeUsage(
  tx: Kysely<RegionSchema>,
  projectId: string,
  { usedBytes, trashedBytes }: UsageChange,
): Promise<void> {
  await addUsage.run(tx, { projectId, usedBytes, trashedBytes })
}

/**
 * `over_quota`: the project would use more than its quota. `trash_full`: it would not, but with its trash it would
 * take more than `TOTAL_PER_QUOTA` times that, so that deleting and pushing in turn does not fill the disk.
 */
export type QuotaRefusal = {
  readonly ok: false
  readonly reason: 'over_quota' | 'trash_full'
  /** As it was before the change. */
  readonly usage: ProjectUsage
}

export type Settled =
  | { readonly ok: true; readonly usage: ProjectUsage }
  | { readonly ok: false; readonly reason: 'project_deleted' }
  | QuotaRefusal

/**
 * Says whether the quota allows what this transaction has changed. To be asked after `changeUsage`, so that on
 * PostgreSQL concurrent pushes of one project see each other; the caller rolls back when `ok` is false.
 */
export async function checkQuota(
  tx: Kysely<RegionSchema>,
  projectId: string,
  changed: UsageChange,
): Promise<Settled> {
  const usage = await loadUsage(tx, projectId)
  if (usage === null) return { ok: false, reason: 'project_deleted' }
  const { usedBytes, trashedBytes, quotaBytes } = usage
  if (quotaBytes === null || changed.usedBytes <= 0) return { ok: true, usage }
  const before = {
    quotaBytes,
    usedBytes: usedBytes - changed.usedBytes,
    trashedBytes: trashedBytes - changed.trashedBytes,
  }
  if (usedBytes > quotaBytes) return { ok: false, reason: 'over_quota', usage: before }
  const grows = changed.usedBytes + changed.trashedBytes > 0
  if (grows && usedBytes + trashedBytes > quotaBytes * TOTAL_PER_QUOTA)
    return { ok: false, reason: 'trash_full', usage: before }
  return { ok: true, usage }
}

/** Changes a project's use unless its quota forbids it; the caller rolls back when `ok` is false. */
export async function settleUsage(
  tx: Kysely<RegionSchema>,
  projectId: string,
  change: UsageChange,
): Promise<Settled> {
  if (change.usedBytes !== 0 || change.trashedBytes !== 0) await changeUsage(tx, projectId, change)
  return checkQuota(tx, projectId, change)
}

import type { Kysely } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'
import { prepareQuery } from './prepared-query.ts'

/** What a project uses of what it may. */
export interface ProjectUsage {
  readonly usedBytes: number
  /** Null: unlimited. */
  readonly quotaBytes: number | null
}

const selectUsage = prepareQuery<RegionSchema, { projectId: string }>()((db, p) =>
  db
    .selectFrom('access_project')
    .leftJoin('project_usage', 'project_usage.project_id', 'access_project.id')
    .select(['access_project.quota_bytes', 'access_project.deleted_at', 'project_usage.used_bytes'])
    .where('access_project.id', '=', p('projectId')),
)

const addUsage = prepareQuery<RegionSchema, { projectId: string; deltaBytes: number }>()((db, p) =>
  db
    .insertInto('project_usage')
    .values({ project_id: p('projectId'), used_bytes: p('deltaBytes') })
    .onConflict((conflict) =>
      conflict
        .column('project_id')
        .doUpdateSet((eb) => ({ used_bytes: eb('project_usage.used_bytes', '+', p('deltaBytes')) })),
    ),
)

/** A project's quota and use, or null when the project is unknown here or deleted. */
export async function loadUsage(db: Kysely<RegionSchema>, projectId: string): Promise<ProjectUsage | null> {
  const row = await selectUsage.first(db, { projectId })
  if (row === undefined || row.deleted_at !== null) return null
  return { usedBytes: row.used_bytes ?? 0, quotaBytes: row.quota_bytes }
}

/** Changes a project's use by `deltaBytes`, inside the transaction that makes it true. */
export async function changeUsage(
  tx: Kysely<RegionSchema>,
  projectId: string,
  deltaBytes: number,
): Promise<void> {
  if (deltaBytes !== 0) await addUsage.run(tx, { projectId, deltaBytes })
}

export type Settled =
  | { readonly ok: true; readonly usage: ProjectUsage }
  | { readonly ok: false; readonly reason: 'project_deleted' }
  | { readonly ok: false; readonly reason: 'over_quota'; readonly usage: ProjectUsage }

/**
 * Adds `deltaBytes` to a project's use unless its quota forbids it. The row is changed before it is looked at, so that
 * on PostgreSQL concurrent pushes of one project see each other; the caller rolls back when `ok` is false.
 */
export async function settleUsage(
  tx: Kysely<RegionSchema>,
  projectId: string,
  deltaBytes: number,
): Promise<Settled> {
  await changeUsage(tx, projectId, deltaBytes)
  const usage = await loadUsage(tx, projectId)
  if (usage === null) return { ok: false, reason: 'project_deleted' }
  if (deltaBytes > 0 && usage.quotaBytes !== null && usage.usedBytes > usage.quotaBytes) {
    return {
      ok: false,
      reason: 'over_quota',
      usage: { ...usage, usedBytes: usage.usedBytes - deltaBytes },
    }
  }
  return { ok: true, usage }
}

import type { Kysely } from 'kysely'
import { defineCommand } from '../database.ts'
import type { RegionSchema, RetentionRunRow } from '../region-schema.ts'

/** A run that says nothing for this long is taken for dead, and another may begin. */
const RUN_DEAD_AFTER_MS = 60_000

/** How often a run says that it goes on. */
export const RETENTION_RUN_RENEW_MS = 10_000

/** A project's newest run here, or null. */
export async function loadRetentionRun(
  reader: Kysely<RegionSchema>,
  projectId: string,
): Promise<RetentionRunRow | null> {
  const query = reader.selectFrom('retention_run').selectAll().where('project_id', '=', projectId)
  return (await query.executeTakeFirst()) ?? null
}

/** Projects with retention rules whose newest run began before `startedBefore`, by id, at most `limit`. */
export async function listRetentionDue(
  reader: Kysely<RegionSchema>,
  startedBefore: number,
  limit: number,
): Promise<string[]> {
  const rows = await reader
    .selectFrom('access_project')
    .leftJoin('retention_run', 'retention_run.project_id', 'access_project.id')
    .select('access_project.id')
    .where('access_project.deleted_at', 'is', null)
    .where('access_project.retention', 'is not', null)
    .where((where) =>
      where.or([
        where('retention_run.started_at', 'is', null),
        where('retention_run.started_at', '<', startedBefore),
      ]),
    )
    .orderBy('access_project.id')
    .limit(limit)
    .execute()
  return rows.map((row) => row.id)
}

export interface BeginRetentionRunArgs {
  readonly projectId: string
  readonly owner: string
  readonly nowMs: number
  /** Only if the newest run began before that. */
  readonly startedBefore: number
}

/** Begins a run. False: another process has one under way, or one began lately. */
export const beginRetentionRun = defineCommand<RegionSchema, BeginRetentionRunArgs, boolean>(
  'retention.beginRun',
  async (tx, { projectId, owner, nowMs, startedBefore }) => {
    const fresh = {
      owner,
      started_at: nowMs,
      seen_at: nowMs,
      finished_at: null,
      outcome: 'running',
      removed_tags: 0,
      removed_manifests: 0,
      detail: null,
    }
    // The row's own lock decides between two processes that begin at the same moment.
    const row = await tx
      .insertInto('retention_run')
      .values({ project_id: projectId, ...fresh })
      .onConflict((conflict) =>
        conflict
          .column('project_id')
          .doUpdateSet(fresh)
          .where('retention_run.started_at', '<', startedBefore)
          .where((where) =>
            where.or([
              where('retention_run.outcome', '!=', 'running'),
              where('retention_run.seen_at', '<', nowMs - RUN_DEAD_AFTER_MS),
            ]),
          ),
      )
      .returning('project_id')
      .executeTakeFirst()
    return row !== undefined
  },
)

/** Says that a run goes on. False: it was taken for dead, and another process has begun one. */
export const renewRetentionRun = defineCommand<
  RegionSchema,
  { readonly projectId: string; readonly owner: string; readonly nowMs: number },
  boolean
>('retention.renewRun', async (tx, { projectId, owner, nowMs }) => {
  const changed = await tx
    .updateTable('retention_run')
    .set({ seen_at: nowMs })
    .where('project_id', '=', projectId)
    .where('owner', '=', owner)
    .executeTakeFirst()
  return changed.numUpdatedRows > 0n
})

export interface RetentionResult {
  readonly outcome: 'done' | 'failed'
  readonly removedTags: number
  readonly removedManifests: number
  readonly detail: string | null
}

/** Ends a run. */
export const finishRetentionRun = defineCommand<
  RegionSchema,
  {
    readonly projectId: string
    readonly owner: string
    readonly nowMs: number
    readonly result: RetentionResult
  },
  null
>('retention.finishRun', async (tx, { projectId, owner, nowMs, result }) => {
  await tx
    .updateTable('retention_run')
    .set({
      finished_at: nowMs,
      seen_at: nowMs,
      outcome: result.outcome,
      removed_tags: result.removedTags,
      removed_manifests: result.removedManifests,
      detail: result.detail,
    })
    .where('project_id', '=', projectId)
    .where('owner', '=', owner)
    .execute()
  return null
})

export const retentionRunCommands = [beginRetentionRun, renewRetentionRun, finishRetentionRun]

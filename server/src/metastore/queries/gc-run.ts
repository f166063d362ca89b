import type { Kysely } from 'kysely'
import { defineCommand } from '../database.ts'
import type { GcRunRow, RegionSchema } from '../region-schema.ts'

/** The newest runs first. */
export async function listGcRuns(db: Kysely<RegionSchema>, limit: number): Promise<GcRunRow[]> {
  return db.selectFrom('gc_run').selectAll().orderBy('id', 'desc').limit(limit).execute()
}

/** Whether the newest finished run stopped itself; failed runs and the one under way say nothing of that. */
export async function didLastGcRunStop(db: Kysely<RegionSchema>): Promise<boolean> {
  const last = await db
    .selectFrom('gc_run')
    .select('outcome')
    .where('outcome', 'in', ['done', 'stopped'])
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return last?.outcome === 'stopped'
}

/** A run that says nothing for this long is taken for dead, and another may begin. */
const RUN_DEAD_AFTER_MS = 60_000

/** How often a run says that it goes on. */
export const GC_RUN_RENEW_MS = 10_000

export interface BeginGcRunArgs {
  /** Of the calling process, which runs one cycle at a time: what it began before is over. */
  readonly owner: string
  /** No other process has the database, so that every earlier run is over. */
  readonly isAlone: boolean
  readonly nowMs: number
}

/** Begins a run; null when another process has one under way. */
export const beginGcRun = defineCommand(
  'gc.beginRun',
  async (tx: Kysely<RegionSchema>, { owner, isAlone, nowMs }: BeginGcRunArgs): Promise<number | null> => {
    // One counter row serialises processes that begin at the same moment.
    await tx.updateTable('access_cursor').set({ id: 1 }).where('id', '=', 1).execute()
    const running = await tx
      .selectFrom('gc_run')
      .select('id')
      .where('outcome', '=', 'running')
      .where('owner', '!=', owner)
      .where('seen_at', '>', nowMs - RUN_DEAD_AFTER_MS)
      .limit(1)
      .executeTakeFirst()
    if (running !== undefined && !isAlone) return null
    await tx
      .updateTable('gc_run')
      .set({ outcome: 'failed', detail: 'its end was not recorded', finished_at: nowMs })
      .where('outcome', '=', 'running')
      .execute()
    const row = await tx
      .insertInto('gc_run')
      .values({
        owner,
        started_at: nowMs,
        seen_at: nowMs,
        finished_at: null,
        examined: 0,
        trashed_blobs: 0,
        trashed_bytes: 0,
        purged_blobs: 0,
        purged_bytes: 0,
        purged_manifests: 0,
        outcome: 'running',
        detail: null,
      })
      .returning('id')
      .executeTakeFirstOrThrow()
    return row.id
  },
)

/** Says that a run goes on. */
export const renewGcRun = defineCommand(
  'gc.renewRun',
  async (tx: Kysely<RegionSchema>, { runId, nowMs }: { runId: number; nowMs: number }): Promise<void> => {
    await tx.updateTable('gc_run').set({ seen_at: nowMs }).where('id', '=', runId).execute()
  },
)

export interface GcRunResult {
  readonly examined: number
  readonly trashedBlobs: number
  readonly trashedBytes: number
  readonly purgedBlobs: number
  readonly purgedBytes: number
  readonly purgedManifests: number
  readonly outcome: 'done' | 'stopped' | 'failed'
  readonly detail: string | null
}

/** How many finished runs are kept for `berth gc status`. */
const RUNS_KEPT = 100

/** Ends a run. A run that did nothing leaves no row behind. */
export const finishGcRun = defineCommand(
  'gc.finishRun',
  async (
    tx: Kysely<RegionSchema>,
    args: { runId: number; nowMs: number; result: GcRunResult },
  ): Promise<void> => {
    const { runId, nowMs, result } = args
    await tx
      .updateTable('gc_run')
      .set({
        finished_at: nowMs,
        examined: result.examined,
        trashed_blobs: result.trashedBlobs,
        trashed_bytes: result.trashedBytes,
        purged_blobs: result.purgedBlobs,
        purged_bytes: result.purgedBytes,
        purged_manifests: result.purgedManifests,
        outcome: result.outcome,
        detail: result.detail,
      })
      .where('id', '=', runId)
      .execute()
    await tx
      .deleteFrom('gc_run')
      .where('id', '<=', runId - RUNS_KEPT)
      .execute()
  },
)

export const gcRunCommands = [beginGcRun, renewGcRun, finishGcRun]

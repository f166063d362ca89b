import type { Kysely } from 'kysely'
import { defineCommand } from '../database.ts'
import type { GcRunRow, RegionSchema } from '../region-schema.ts'

/** The newest runs first. */
export async function listGcRuns(db: Kysely<RegionSchema>, limit: number): Promise<GcRunRow[]> {
  return db.selectFrom('gc_run').selectAll().orderBy('id', 'desc').limit(limit).execute()
}

/** A run that says nothing for this long is taken for dead, and another may begin. */
const RUN_DEAD_AFTER_MS = 10 * 60_000

export interface BeginGcRunArgs {
  readonly nowMs: number
  /** Runs that are known to be over without having said so: an earlier one of the caller, or all. */
  readonly over: 'all' | number | null
}

/** Begins a run; null when another process has one under way. */
export const beginGcRun = defineCommand(
  'gc.beginRun',
  async (tx: Kysely<RegionSchema>, { nowMs, over }: BeginGcRunArgs): Promise<number | null> => {
    // One counter row serialises processes that begin at the same moment.
    await tx.updateTable('access_cursor').set({ id: 1 }).where('id', '=', 1).execute()
    const running = await tx
      .selectFrom('gc_run')
      .select('id')
      .where('outcome', '=', 'running')
      .where('started_at', '>', nowMs - RUN_DEAD_AFTER_MS)
      .$if(typeof over === 'number', (query) => query.where('id', '!=', over as number))
      .limit(1)
      .executeTakeFirst()
    if (running !== undefined && over !== 'all') return null
    await tx
      .updateTable('gc_run')
      .set({ outcome: 'failed', detail: 'the process ended', finished_at: nowMs })
      .where('outcome', '=', 'running')
      .execute()
    const row = await tx
      .insertInto('gc_run')
      .values({
        started_at: nowMs,
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

export const gcRunCommands = [beginGcRun, finishGcRun]

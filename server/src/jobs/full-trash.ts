import type { Database } from '../metastore/database.ts'
import { expireTrash, listFullTrash } from '../metastore/queries/trash.ts'
import { TOTAL_PER_QUOTA } from '../metastore/queries/usage.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { Logger } from '../telemetry/log.ts'
import type { GarbageCollector } from './gc.ts'

export interface FullTrashOptions {
  readonly regionId: string
  readonly db: Database<RegionSchema>
  readonly collector: Pick<GarbageCollector, 'runCycle'>
  readonly log: Logger
}

/**
 * From here on the oldest of a project's trash goes before its time, so that who pushes and deletes in turn meets the
 * limit only when garbage collection cannot keep up. Halfway between the quota and where pushes are refused.
 */
export const RELIEVE_AT_PERCENT = 50 * (1 + TOTAL_PER_QUOTA)

/** Makes room where a project's trash comes near its limit: ends the time of its oldest things, and collects them. */
export async function relieveFullTrash(
  { regionId, db, collector, log }: FullTrashOptions,
  signal: AbortSignal,
): Promise<void> {
  const nowMs = await db.nowMs()
  const full = await listFullTrash(db.reader, RELIEVE_AT_PERCENT, nowMs)
  if (full.length === 0) return
  for (const { projectId, excessBytes, isBeingRemoved } of full) {
    if (signal.aborted) return
    // What was let go before is not counted twice: first it has to be gone.
    if (isBeingRemoved) continue
    const expired = await db.run(expireTrash, { projectId, nowMs, bytes: excessBytes })
    log.info(
      { region: regionId, project: projectId, excessBytes, ...expired },
      'the oldest of a full trash goes early',
    )
  }
  await collector.runCycle({ force: false, signal })
}

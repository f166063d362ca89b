import { randomUUID } from 'node:crypto'
import type { Database } from '../metastore/database.ts'
import { listRetentionDue } from '../metastore/queries/retention-run.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import { runRetention } from '../retention/run.ts'
import type { Logger } from '../telemetry/log.ts'

export interface RetentionJobOptions {
  readonly regionId: string
  readonly db: Database<RegionSchema>
  readonly trashMs: number
  readonly log: Logger
}

/** How often a project's rules are applied. */
const RETENTION_EVERY_MS = 24 * 3_600_000
/** Projects that one run of the job looks at; the next goes on with the others. */
const PROJECTS_PER_RUN = 500

/** Applies the rules of every project whose last run is a day ago, one project after the other. */
export async function applyDueRetention(options: RetentionJobOptions, signal: AbortSignal): Promise<void> {
  const { db, log, regionId } = options
  const startedBefore = (await db.nowMs()) - RETENTION_EVERY_MS
  for (const projectId of await listRetentionDue(db.reader, startedBefore, PROJECTS_PER_RUN)) {
    if (signal.aborted) return
    const requestId = `retention-${randomUUID()}`
    const result = await runRetention(options, { projectId, requestId, signal, startedBefore })
    if (result === null) continue
    const { removedTags, removedManifests, detail } = result
    log.info(
      { region: regionId, project: projectId, requestId, removedTags, removedManifests, detail },
      'retention rules applied',
    )
  }
}

import type { BlobStore } from '../blobstore/blobstore.ts'
import type { Database } from '../metastore/database.ts'
import { enqueueDeletedProjects } from '../metastore/queries/deleted-project.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import { sealRegionEvents } from '../metastore/seal-audit.ts'
import type { UploadSessionStore } from '../metastore/session-store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { pruneRegionEvents } from './audit-upkeep.ts'
import { AUDIT_PRUNE_INTERVAL_MS, AUDIT_SEAL_INTERVAL_MS } from './control-jobs.ts'
import { clearDisconnectedCopies, evictUnusedCopies } from './cache-eviction.ts'
import type { GarbageCollector } from './gc.ts'
import { relieveFullTrash } from './full-trash.ts'
import { applyDueRetention } from './retention.ts'
import { supervise } from './supervise.ts'
import { expireUploads, sweepOrphanedUploads } from './upload-expiry.ts'

export interface RegionJobsOptions {
  readonly regionId: string
  readonly db: Database<RegionSchema>
  readonly sessions: UploadSessionStore
  readonly blobs: BlobStore
  readonly collector: GarbageCollector
  readonly gcIntervalMs: number
  readonly uploadTtlMs: number
  readonly trashMs: number
  /** How long a copy from a connected registry is kept that nobody pulls. */
  readonly pullThroughKeepMs: number
  /** Null: audit events are kept for ever. */
  readonly auditRetentionMs: number | null
  readonly log: Logger
  readonly metrics: Metrics
}

const UPLOAD_EXPIRY_INTERVAL_MS = 60_000
const ORPHAN_SWEEP_INTERVAL_MS = 3_600_000
const RETENTION_INTERVAL_MS = 3_600_000
const FULL_TRASH_INTERVAL_MS = 60_000
const EVICTION_INTERVAL_MS = 3_600_000
/** Until then nothing can be pulled through a registry that took the slug of another. */
const CLEARING_INTERVAL_MS = 5_000
/** Unfinished bytes without a session are left alone for this long beyond the lifetime of a session. */
const ORPHAN_MARGIN_MS = 3_600_000

/** Starts a region's background jobs. The returned function stops them and waits for the runs under way. */
export function startRegionJobs(options: RegionJobsOptions): () => Promise<void> {
  const { regionId, db, collector, gcIntervalMs, uploadTtlMs, auditRetentionMs } = options
  const uploads = { ...options, orphanAgeMs: uploadTtlMs + ORPHAN_MARGIN_MS }
  const collectGarbage = async (signal: AbortSignal) => {
    // Again each time: whoever deleted the project may have died before it queued the project's data.
    await db.run(enqueueDeletedProjects, { nowMs: await db.nowMs() })
    await collector.runCycle({ force: false, signal })
  }
  const jobs = [
    { name: `gc ${regionId}`, intervalMs: gcIntervalMs, run: collectGarbage },
    {
      name: `upload expiry ${regionId}`,
      intervalMs: UPLOAD_EXPIRY_INTERVAL_MS,
      run: async (signal: AbortSignal) => void (await expireUploads(uploads, signal)),
    },
    {
      name: `audit sealing ${regionId}`,
      intervalMs: AUDIT_SEAL_INTERVAL_MS,
      run: async (signal: AbortSignal) => void (await sealRegionEvents(db, signal)),
    },
    {
      name: `audit retention ${regionId}`,
      intervalMs: AUDIT_PRUNE_INTERVAL_MS,
      run: async (signal: AbortSignal) => {
        if (auditRetentionMs !== null) await pruneRegionEvents(db, auditRetentionMs, signal)
      },
    },
    {
      name: `orphaned uploads ${regionId}`,
      intervalMs: ORPHAN_SWEEP_INTERVAL_MS,
      run: async (signal: AbortSignal) => void (await sweepOrphanedUploads(uploads, signal)),
    },
    {
      name: `retention ${regionId}`,
      intervalMs: RETENTION_INTERVAL_MS,
      run: (signal: AbortSignal) => applyDueRetention(options, signal),
    },
    {
      name: `full trash ${regionId}`,
      intervalMs: FULL_TRASH_INTERVAL_MS,
      run: (signal: AbortSignal) => relieveFullTrash(options, signal),
    },
  ]
  jobs.push(
    {
      name: `pull-through eviction ${regionId}`,
      intervalMs: EVICTION_INTERVAL_MS,
      run: async (signal: AbortSignal) => void (await evictUnusedCopies(options, signal)),
    },
    {
      name: `pull-through clearing ${regionId}`,
      intervalMs: CLEARING_INTERVAL_MS,
      run: (signal: AbortSignal) => clearDisconnectedCopies(options, signal),
    },
  )
  const stops = jobs.map((job) => supervise(job, options))
  return async () => void (await Promise.all(stops.map((stop) => stop())))
}

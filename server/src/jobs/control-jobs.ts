import type { ControlSchema } from '../metastore/control-schema.ts'
import type { Database } from '../metastore/database.ts'
import { sealControlEvents } from '../metastore/seal-audit.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { compactFeed, pruneControlEvents } from './audit-upkeep.ts'
import {
  type CredentialRotationOptions,
  ROTATION_INTERVAL_MS,
  rotateDueCredentials,
} from './credential-rotation.ts'
import { tellOfKeyExpiry } from './key-expiry.ts'
import { pruneWebhookDeliveries, type WebhookDispatcher } from '../webhooks/dispatcher.ts'
import { supervise } from './supervise.ts'

export interface ControlJobsOptions extends CredentialRotationOptions {
  readonly db: Database<ControlSchema>
  /** Null: audit events are kept for ever. */
  readonly auditRetentionMs: number | null
  readonly webhooks: WebhookDispatcher
  readonly log: Logger
  readonly metrics: Metrics
}

/** Pause between two looks for events that are not sealed yet. */
export const AUDIT_SEAL_INTERVAL_MS = 1_000
export const AUDIT_PRUNE_INTERVAL_MS = 3_600_000
const KEY_EXPIRY_INTERVAL_MS = 60_000
const WEBHOOK_INTERVAL_MS = 1_000
const FEED_COMPACTION_INTERVAL_MS = 3_600_000

/** Starts the control plane's background jobs. The returned function stops them and waits for the runs under way. */
export function startControlJobs(options: ControlJobsOptions): () => Promise<void> {
  const { db, auditRetentionMs, webhooks } = options
  const jobs = [
    {
      name: 'audit sealing control',
      intervalMs: AUDIT_SEAL_INTERVAL_MS,
      run: async (signal: AbortSignal) => void (await sealControlEvents(db, signal)),
    },
    {
      name: 'credential rotation',
      intervalMs: ROTATION_INTERVAL_MS,
      run: async (signal: AbortSignal) => void (await rotateDueCredentials(options, signal)),
    },
    {
      name: 'API key expiry',
      intervalMs: KEY_EXPIRY_INTERVAL_MS,
      run: async (signal: AbortSignal) => void (await tellOfKeyExpiry(db, signal)),
    },
    {
      name: 'webhooks',
      intervalMs: WEBHOOK_INTERVAL_MS,
      run: (signal: AbortSignal) => webhooks.run(signal),
    },
    {
      name: 'webhook log',
      intervalMs: AUDIT_PRUNE_INTERVAL_MS,
      run: (signal: AbortSignal) => pruneWebhookDeliveries(db, signal),
    },
    {
      name: 'access feed compaction',
      intervalMs: FEED_COMPACTION_INTERVAL_MS,
      run: async (signal: AbortSignal) => void (await compactFeed(db, signal)),
    },
    {
      name: 'audit retention control',
      intervalMs: AUDIT_PRUNE_INTERVAL_MS,
      run: async (signal: AbortSignal) => {
        if (auditRetentionMs !== null) await pruneControlEvents(db, auditRetentionMs, signal)
      },
    },
  ]
  const stops = jobs.map((job) => supervise(job, options))
  return async () => {
    await Promise.all(stops.map((stop) => stop()))
    await webhooks.close()
  }
}

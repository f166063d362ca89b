import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../metastore/database.ts'
import { listReplicas } from '../metastore/queries/access-replica.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { AccessSource } from './access-source.ts'
import { applyFeed } from './feed.ts'
import {
  LEASE_MARGIN_MS,
  LEASE_MS,
  REPLICA_GONE_AFTER_MS,
  WAIT_POLL_MAX_MS,
  WAIT_POLL_MIN_MS,
} from './limits.ts'

export interface WatchedRegion {
  readonly id: string
  readonly db: Database<RegionSchema>
}

/**
 * Whether a change is in force everywhere. Not ok: it is committed, but these regions could not be asked, and may
 * still go by the old rules until they have read the feed.
 */
export type Applied =
  | { readonly ok: true }
  | {
      readonly ok: false
      readonly pending: readonly { readonly regionId: string; readonly cause: unknown }[]
    }

/**
 * Resolves when the change with this number is in force in every region and every process: it is in the region's
 * database, and each process has dropped what it remembered from before, or its lease has ended, so that it asks the
 * database itself. Takes some milliseconds when all processes answer, and at most the length of a lease with its
 * margin when one of them does not. Never rejects because of a database.
 */
export async function waitUntilApplied(options: {
  readonly source: AccessSource
  readonly regions: readonly WatchedRegion[]
  readonly seq: number
  readonly monotonicMs?: () => number
}): Promise<Applied> {
  const monotonicMs = options.monotonicMs ?? (() => performance.now())
  const outcomes = await Promise.all(
    options.regions.map(async ({ id, db }) => {
      try {
        await waitForRegion(options.source, db, options.seq, monotonicMs)
        return null
      } catch (cause) {
        return { regionId: id, cause }
      }
    }),
  )
  const pending = outcomes.filter((outcome) => outcome !== null)
  return pending.length === 0 ? { ok: true } : { ok: false, pending }
}

async function waitForRegion(
  source: AccessSource,
  db: Database<RegionSchema>,
  seq: number,
  monotonicMs: () => number,
): Promise<void> {
  const appliedSeq = await applyFeed(source, db)
  if (appliedSeq < seq) throw new Error(`the access feed ends at ${appliedSeq}, before ${seq}`)
  // No process can renew its lease from here on without having dropped the change. So whatever the clocks of the
  // database and of other machines say, no lease from before is left after this time.
  const leasesEndAtMs = monotonicMs() + LEASE_MS + LEASE_MARGIN_MS
  let pauseMs = WAIT_POLL_MIN_MS
  while (await isAnyBehind(db, seq)) {
    const leftMs = leasesEndAtMs - monotonicMs()
    if (leftMs <= 0) return
    await sleep(Math.min(pauseMs, leftMs))
    pauseMs = Math.min(pauseMs * 2, WAIT_POLL_MAX_MS)
  }
}

async function isAnyBehind(db: Database<RegionSchema>, seq: number): Promise<boolean> {
  const replicas = await listReplicas(db.reader)
  if (replicas.every((replica) => replica.applied_seq >= seq)) return false
  const goneBefore = (await db.nowMs()) - REPLICA_GONE_AFTER_MS
  return replicas.some((replica) => replica.applied_seq < seq && replica.renewed_at >= goneBefore)
}

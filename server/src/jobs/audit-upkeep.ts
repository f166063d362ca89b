import type { ControlSchema } from '../metastore/control-schema.ts'
import type { Command, Database } from '../metastore/database.ts'
import { compactAccessFeed } from '../metastore/queries/access-feed.ts'
import {
  auditTables,
  listChains,
  type PruneArgs,
  pruneControlAudit,
  type PruneOutcome,
  pruneRegionAudit,
} from '../metastore/queries/audit-chain.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'

/** Rows that one transaction of the upkeep looks at. */
const BATCH = 500
/** Changes of the access feed stay at least this long: a replica that holds a lease is seconds behind, not hours. */
const FEED_KEEP_MS = 24 * 3_600_000

/** Removes audit events of the control plane that are older than the retention. */
export function pruneControlEvents(
  db: Database<ControlSchema>,
  retentionMs: number,
  signal: AbortSignal,
): Promise<number> {
  return pruneAll(db, pruneControlAudit, { retentionMs, signal })
}

/** The same in a region. */
export function pruneRegionEvents(
  db: Database<RegionSchema>,
  retentionMs: number,
  signal: AbortSignal,
): Promise<number> {
  return pruneAll(db, pruneRegionAudit, { retentionMs, signal })
}

async function pruneAll<Schema extends ControlSchema | RegionSchema>(
  db: Database<Schema>,
  prune: Command<Schema, PruneArgs, PruneOutcome>,
  { retentionMs, signal }: { readonly retentionMs: number; readonly signal: AbortSignal },
): Promise<number> {
  const reader = auditTables(db.reader as never)
  let total = 0
  let after: string | null = null
  for (;;) {
    const chains: string[] = await listChains(reader, after, BATCH)
    for (const chain of chains) {
      for (let removed = BATCH; removed === BATCH && !signal.aborted; total += removed) {
        const nowMs = await db.nowMs()
        const args = { chain, writtenBefore: nowMs - retentionMs, limit: BATCH, nowMs }
        removed = (await db.run(prune, args)).removed
      }
    }
    after = chains.at(-1) ?? null
    if (after === null || signal.aborted) return total
  }
}

/** Leaves the last change of each thing in the access feed, and everything of the last day. */
export async function compactFeed(db: Database<ControlSchema>, signal: AbortSignal): Promise<number> {
  const writtenBefore = (await db.nowMs()) - FEED_KEEP_MS
  let removed = 0
  let afterSeq: number | null = 0
  while (afterSeq !== null && !signal.aborted) {
    const step: { seq: number | null; removed: number } = await db.run(compactAccessFeed, {
      afterSeq,
      writtenBefore,
      limit: BATCH,
    })
    removed += step.removed
    afterSeq = step.seq
  }
  return removed
}

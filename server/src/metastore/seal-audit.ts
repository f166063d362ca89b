import type { ControlSchema } from './control-schema.ts'
import type { Command, Database } from './database.ts'
import {
  auditTables,
  hasUnsealedEvents,
  type SealOutcome,
  sealControlAudit,
  sealRegionAudit,
} from './queries/audit-chain.ts'
import type { RegionSchema } from './region-schema.ts'

/** Events that one transaction seals: a batch holds the one writer of SQLite for some milliseconds. */
const SEAL_BATCH = 200

/** Seals the events of the control plane that wait for it. Answers how many; any number of processes may do so. */
export function sealControlEvents(db: Database<ControlSchema>, signal?: AbortSignal): Promise<number> {
  return sealAll(db, sealControlAudit, signal)
}

/** The same for a region. */
export function sealRegionEvents(db: Database<RegionSchema>, signal?: AbortSignal): Promise<number> {
  return sealAll(db, sealRegionAudit, signal)
}

async function sealAll<Schema extends ControlSchema | RegionSchema>(
  db: Database<Schema>,
  seal: Command<Schema, { readonly limit: number }, SealOutcome>,
  signal: AbortSignal | undefined,
): Promise<number> {
  let total = 0
  const reader = auditTables(db.reader as never)
  while (signal?.aborted !== true && (await hasUnsealedEvents(reader))) {
    const { sealed } = await db.run(seal, { limit: SEAL_BATCH })
    total += sealed
  }
  return total
}

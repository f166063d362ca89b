import type { Kysely } from 'kysely'
import { assertKeyStillValid, type WriteGuard } from './access-guard.ts'
import { Rollback } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'

/** Who makes a change, on what authority, and when. Part of the arguments of every writing command. */
export interface WriteContext {
  /** Checked again inside the transaction; null is the operator, who has no key. */
  readonly guard: WriteGuard | null
  readonly projectId: string
  /** A credential id, or `operator`. */
  readonly actor: string
  readonly requestId: string
  /** Milliseconds since the epoch by the database's clock. */
  readonly nowMs: number
}

/**
 * Whether the key may still write, asked inside the transaction. On PostgreSQL this holds share locks, so that a
 * revocation waits for a write that it did not stop.
 */
export async function mayStillWrite(
  tx: Kysely<RegionSchema>,
  { guard, nowMs }: WriteContext,
): Promise<boolean> {
  try {
    await assertKeyStillValid(tx, guard, nowMs)
    return true
  } catch (error) {
    if (error instanceof Rollback) return false
    throw error
  }
}

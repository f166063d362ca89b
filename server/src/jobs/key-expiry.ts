import { KEY_EXPIRY_WARNING_MS } from '../access/limits.ts'
import type { ControlSchema } from '../metastore/control-schema.ts'
import type { Database } from '../metastore/database.ts'
import { noteKeyExpiry } from '../metastore/queries/api-key-expiry.ts'

/** Keys that one transaction looks at. */
const KEYS_AT_ONCE = 100

/**
 * Tells of API keys that expire soon or have expired, by an audit event for each, once. Every process with a console
 * runs it; a key that another one has told of is left alone. Answers how many events were written.
 */
export async function tellOfKeyExpiry(db: Database<ControlSchema>, signal: AbortSignal): Promise<number> {
  let total = 0
  while (!signal.aborted) {
    const origin = { actor: 'system', requestId: 'key-expiry', nowMs: await db.nowMs() }
    const scan = { warningMs: KEY_EXPIRY_WARNING_MS, limit: KEYS_AT_ONCE, origin }
    const { noted } = await db.run(noteKeyExpiry, scan)
    total += noted
    if (noted < KEYS_AT_ONCE) break
  }
  return total
}

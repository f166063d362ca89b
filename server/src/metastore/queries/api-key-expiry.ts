import { type Kysely, sql } from 'kysely'
import type { ApiKeyRow, ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

export interface ExpiryScan {
  /** A key is told about this long before its expiry, in milliseconds. */
  readonly warningMs: number
  /** Most keys to look at. */
  readonly limit: number
  readonly origin: ChangeOrigin
}

/**
 * Writes an event for each API key that expires soon and for each that has expired, once per key: `api_key.expiring`,
 * `api_key.expired`. What was told is noted on the key in the same transaction, so any number of processes may try.
 * A key that is gone before anybody looked is only told to have expired. Answers how many events were written.
 */
export const noteKeyExpiry = defineCommand<ControlSchema, ExpiryScan, { readonly noted: number }>(
  'api_key.note_expiry',
  async (tx, { warningMs, limit, origin }) => {
    const keys = await lockDueKeys(tx, { warningMs, limit, nowMs: origin.nowMs })
    for (const key of keys) {
      const isOver = (key.expires_at ?? 0) <= origin.nowMs
      await tx
        .updateTable('api_key')
        .set(isOver ? { expiry_warned: 1, expiry_noted: 1 } : { expiry_warned: 1 })
        .where('id', '=', key.id)
        .execute()
      await insertControlAuditEvent(tx, origin, {
        projectId: key.project_id,
        action: isOver ? 'api_key.expired' : 'api_key.expiring',
        target: key.id,
        detail: { name: key.name, expiresAt: key.expires_at, userId: key.user_id },
      })
    }
    return { noted: keys.length }
  },
)

async function lockDueKeys(
  tx: Kysely<ControlSchema>,
  { warningMs, limit, nowMs }: { readonly warningMs: number; readonly limit: number; readonly nowMs: number },
): Promise<ApiKeyRow[]> {
  const query = tx
    .selectFrom('api_key')
    .selectAll()
    .where('expires_at', 'is not', null)
    .where('expires_at', '<=', nowMs + warningMs)
    // As written: SQLite uses a partial index only for what it can read in the statement.
    .where('expiry_noted', '=', sql<number>`0`)
    .where('revoked_at', 'is', null)
    .where((where) => where.or([where('expires_at', '<=', nowMs), where('expiry_warned', '=', 0)]))
    .orderBy('expires_at')
    .orderBy('id')
    .limit(limit)
  return lockForUpdate(query, dialectOf(tx)).execute()
}

export const apiKeyExpiryCommands = [noteKeyExpiry]

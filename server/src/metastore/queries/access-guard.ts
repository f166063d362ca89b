import type { Kysely } from 'kysely'
import { Rollback } from '../database.ts'
import { dialectOf, lockForShare } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { prepareQuery } from './prepared-query.ts'

/**
 * What a command checks again inside its own transaction, so that no write of a revoked key commits after the
 * revocation. Structured-cloneable. Commands take `WriteGuard | null`; null is the operator, who has no key.
 */
export interface WriteGuard {
  readonly keyId: string
  readonly secretVersion: number
}

/** The outcome of a command whose key is not good any more. */
export interface RevokedOutcome {
  readonly ok: false
  readonly reason: 'revoked'
}

const lockKeyRules = prepareQuery<RegionSchema, { keyId: string }>()((db, p) =>
  lockForShare(
    db
      .selectFrom('access_key')
      .innerJoin('access_project', 'access_project.id', 'access_key.project_id')
      .select([
        'access_key.secret_version',
        'access_key.previous_hmac',
        'access_key.previous_expires_at',
        'access_key.expires_at',
        'access_key.revoked_at',
        'access_project.deleted_at',
      ])
      .where('access_key.id', '=', p('keyId')),
    dialectOf(db),
  ),
)

/**
 * First statement of every command that writes for a key: ends the command with the outcome
 * `{ ok: false, reason: 'revoked' }` (as a `Rollback`) when the key was revoked, rotated away, has expired, or its
 * project was deleted. On PostgreSQL it holds a share lock on both rows until the transaction ends: a revocation
 * that comes in between waits for this write, and a write that comes later sees the revocation.
 */
export async function assertKeyStillValid(
  tx: Kysely<RegionSchema>,
  guard: WriteGuard | null,
  nowMs: number,
): Promise<void> {
  if (guard === null) return
  const row = await lockKeyRules.first(tx, { keyId: guard.keyId })
  const isValid =
    row !== undefined &&
    row.revoked_at === null &&
    row.deleted_at === null &&
    (row.expires_at === null || row.expires_at > nowMs) &&
    isSecretVersionValid(
      {
        secretVersion: row.secret_version,
        previousExpiresAt: row.previous_hmac === null ? null : row.previous_expires_at,
      },
      guard.secretVersion,
      nowMs,
    )
  if (!isValid) throw new Rollback({ ok: false, reason: 'revoked' } satisfies RevokedOutcome)
}

/** The current version, or the one before within the overlap of a rotation. */
export function isSecretVersionValid(
  key: { readonly secretVersion: number; readonly previousExpiresAt: number | null },
  version: number,
  nowMs: number,
): boolean {
  if (version === key.secretVersion) return true
  const { previousExpiresAt } = key
  return version === key.secretVersion - 1 && previousExpiresAt !== null && previousExpiresAt > nowMs
}

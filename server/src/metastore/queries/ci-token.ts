import type { Kysely } from 'kysely'
import { defineCommand, Rollback } from '../database.ts'
import { lockForUpdate, dialectOf } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { assertKeyStillValid, type RevokedOutcome, type WriteGuard } from './access-guard.ts'
import { insertRegionAudit, type RegionAuditEvent } from './region-audit.ts'

/** Tokens of one rule that are remembered at the same time: an issuer that makes up more has its new ones refused. */
export const MAX_CI_TOKENS_PER_RULE = 5_000

/** Expired rows that one claim takes away: more than it adds, so that the table shrinks to what is in use. */
const PURGED_PER_CLAIM = 20

/** How a CI token is shown: once, for a session of Berth's own, or as the password of each request. */
export type CiTokenMode = 'exchange' | 'password'

export interface CiTokenClaim {
  /** Names the token whatever spelling of its signature was shown. */
  readonly id: string
  readonly mode: CiTokenMode
  /** Proposed name of the CI job for audit events; the one of the first claim counts. */
  readonly run: string
  /** When the token can be forgotten, in milliseconds. */
  readonly expiresAt: number
  readonly guard: WriteGuard
  readonly projectId: string
  readonly nowMs: number
  readonly requestId: string
  readonly audit: Pick<RegionAuditEvent, 'target' | 'detail'>
}

export type CiTokenClaimed =
  | { readonly ok: true; readonly run: string }
  | { readonly ok: false; readonly reason: 'replayed' | 'too_many' }
  | RevokedOutcome

/**
 * Takes a CI token for a rule. The first claim writes the audit event with what the token says about the job. A token
 * that was exchanged is never taken again, and one that was a password is never exchanged; as a password the same one
 * is taken as often as it comes.
 */
export const claimCiToken = defineCommand<RegionSchema, CiTokenClaim, CiTokenClaimed>(
  'ci_token.claim',
  async (tx, claim) => {
    await assertKeyStillValid(tx, claim.guard, claim.nowMs)
    await purgeExpired(tx, claim.nowMs)
    const known = await claimRow(tx, claim)
    if (known !== null && (known.mode === 'exchange' || claim.mode === 'exchange')) {
      throw new Rollback({ ok: false, reason: 'replayed' } satisfies CiTokenClaimed)
    }
    if (known === null && (await isRuleFull(tx, claim))) {
      throw new Rollback({ ok: false, reason: 'too_many' } satisfies CiTokenClaimed)
    }
    const run = known?.run ?? claim.run
    if (known === null || known.rule_id !== claim.guard.keyId) {
      await insertRegionAudit(tx, {
        projectId: claim.projectId,
        at: claim.nowMs,
        actor: ciActor(claim.guard.keyId, run),
        action: claim.mode === 'exchange' ? 'ci_token.exchange' : 'ci_token.sign_in',
        requestId: claim.requestId,
        ...claim.audit,
      })
    }
    return { ok: true, run }
  },
)

/** How audit events name who acts for a rule: the rule, and the CI job that the event of its token describes. */
export function ciActor(ruleId: string, run: string): string {
  return `${ruleId}/${run}`
}

interface KnownToken {
  readonly rule_id: string
  readonly run: string
  readonly mode: CiTokenMode
}

/** Null: the token is new, and its row is written. Else what is known of it, with this rule as its last. */
async function claimRow(tx: Kysely<RegionSchema>, claim: CiTokenClaim): Promise<KnownToken | null> {
  const { id, mode, run, guard, nowMs, expiresAt } = claim
  const row = { id, mode, run, rule_id: guard.keyId, first_used_at: nowMs, expires_at: expiresAt }
  const inserted = await tx
    .insertInto('ci_token')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doNothing())
    .executeTakeFirst()
  if (inserted.numInsertedOrUpdatedRows === 1n) return null
  const query = tx.selectFrom('ci_token').select(['rule_id', 'run', 'mode']).where('id', '=', id)
  const known = await lockForUpdate(query, dialectOf(tx)).executeTakeFirstOrThrow()
  if (known.rule_id !== guard.keyId) {
    await tx.updateTable('ci_token').set({ rule_id: guard.keyId }).where('id', '=', id).execute()
  }
  return known
}

async function isRuleFull(tx: Kysely<RegionSchema>, { guard }: CiTokenClaim): Promise<boolean> {
  const beyond = await tx
    .selectFrom('ci_token')
    .select('id')
    .where('rule_id', '=', guard.keyId)
    .orderBy('expires_at')
    .offset(MAX_CI_TOKENS_PER_RULE)
    .limit(1)
    .executeTakeFirst()
  return beyond !== undefined
}

async function purgeExpired(tx: Kysely<RegionSchema>, nowMs: number): Promise<void> {
  const expired = await tx
    .selectFrom('ci_token')
    .select('id')
    .where('expires_at', '<', nowMs)
    .orderBy('expires_at')
    .orderBy('id')
    .limit(PURGED_PER_CLAIM)
    .execute()
  // In the order of the ids, as every process does, so that two of them do not wait for each other in a circle.
  for (const id of expired.map((row) => row.id).sort()) {
    await tx.deleteFrom('ci_token').where('id', '=', id).execute()
  }
}

export const ciTokenCommands = [claimCiToken]

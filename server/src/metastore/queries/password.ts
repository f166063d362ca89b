import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand, defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { UserAccountRow } from '../people-tables.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { PASSWORD_PROVIDER } from './person.ts'
import { endSessionsOf } from './person-session.ts'

export type PasswordResetCreation =
  | { readonly ok: true; readonly person: UserAccountRow }
  | { readonly ok: false; readonly reason: 'not_found' | 'disabled' }

/** Keeps the HMAC of a link that lets a person set a new password. An earlier link of theirs ends. */
export const createPasswordReset = defineCommand<
  ControlSchema,
  {
    readonly userId: string
    readonly tokenHmac: Uint8Array
    readonly expiresAt: number
    readonly origin: ChangeOrigin
  },
  PasswordResetCreation
>('person.create_password_reset', async (tx, { userId, tokenHmac, expiresAt, origin }) => {
  const person = await lockAccount(tx, userId)
  if (person === undefined) return { ok: false, reason: 'not_found' }
  if (person.disabled_at !== null) return { ok: false, reason: 'disabled' }
  const values = { token_hmac: tokenHmac, created_at: origin.nowMs, expires_at: expiresAt }
  await tx
    .insertInto('password_reset')
    .values({ user_id: userId, ...values })
    .onConflict((conflict) => conflict.column('user_id').doUpdateSet(values))
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'person.password_reset_created',
    target: userId,
    detail: { expiresAt },
  })
  return { ok: true, person }
})

/** Whose password the link with this HMAC sets. Null: no such link, it has expired, or the account is disabled. */
export async function loadPasswordReset(
  reader: Kysely<ControlSchema>,
  tokenHmac: Uint8Array,
  nowMs: number,
): Promise<Pick<UserAccountRow, 'id' | 'name' | 'email'> | null> {
  const row = await reader
    .selectFrom('password_reset')
    .innerJoin('user_account', 'user_account.id', 'password_reset.user_id')
    .select(['user_account.id', 'user_account.name', 'user_account.email'])
    .where('password_reset.token_hmac', '=', tokenHmac)
    .where('password_reset.expires_at', '>', nowMs)
    .where('user_account.disabled_at', 'is', null)
    .executeTakeFirst()
  return row ?? null
}

/** The password itself never gets here: only its hash. */
interface NewPassword {
  readonly userId: string
  /** Of the row that is made when the person had no password. */
  readonly credentialId: string
  readonly passwordHash: string
  /** A session of the person that goes on; all others end. Null: all end. */
  readonly keepSessionId: string | null
  readonly origin: ChangeOrigin
}

/** Sets a new password by a link, which works once. False: it does not work (any more). */
export const usePasswordReset = defineErasingCommand<
  ControlSchema,
  NewPassword & { readonly tokenHmac: Uint8Array },
  { readonly ok: boolean }
>('person.use_password_reset', async (tx, { tokenHmac, ...password }) => {
  const { userId, origin } = password
  const person = await lockAccount(tx, userId)
  if (person === undefined || person.disabled_at !== null) return { ok: false }
  const used = await tx
    .deleteFrom('password_reset')
    .where('user_id', '=', userId)
    .where('token_hmac', '=', tokenHmac)
    .where('expires_at', '>', origin.nowMs)
    .executeTakeFirst()
  if (used.numDeletedRows !== 1n) return { ok: false }
  await setPassword(tx, password, 'reset')
  return { ok: true }
})

/**
 * Sets a new password for a person who has just shown the old one, in the session that goes on. False: that session has
 * ended meanwhile, so what was shown may not count any more.
 */
export const changePassword = defineErasingCommand<
  ControlSchema,
  NewPassword & { readonly keepSessionId: string },
  { readonly ok: boolean }
>('person.change_password', async (tx, password) => {
  const { userId, keepSessionId } = password
  await lockAccount(tx, userId)
  const session = await tx
    .selectFrom('user_session')
    .select('id')
    .where('id', '=', keepSessionId)
    .where('user_id', '=', userId)
    .executeTakeFirst()
  if (session === undefined) return { ok: false }
  // A link that is still open was asked for with the old password forgotten.
  await tx.deleteFrom('password_reset').where('user_id', '=', userId).execute()
  await setPassword(tx, password, 'change')
  return { ok: true }
})

/** Whoever changes a person's ways to sign in does this first. */
async function lockAccount(tx: Kysely<ControlSchema>, userId: string): Promise<UserAccountRow | undefined> {
  const query = tx.selectFrom('user_account').selectAll().where('id', '=', userId)
  return lockForUpdate(query, dialectOf(tx)).executeTakeFirst()
}

async function setPassword(
  tx: Kysely<ControlSchema>,
  { userId, credentialId, passwordHash, keepSessionId, origin }: NewPassword,
  by: 'reset' | 'change',
): Promise<void> {
  const changed = await tx
    .updateTable('user_credential')
    .set({ password: passwordHash, updated_at: origin.nowMs })
    .where('user_id', '=', userId)
    .where('provider_id', '=', PASSWORD_PROVIDER)
    .executeTakeFirst()
  if (changed.numUpdatedRows === 0n) {
    await tx
      .insertInto('user_credential')
      .values({
        id: credentialId,
        user_id: userId,
        provider_id: PASSWORD_PROVIDER,
        account_id: userId,
        password: passwordHash,
        created_at: origin.nowMs,
        updated_at: origin.nowMs,
      })
      .execute()
  }
  await endSessionsOf(tx, userId, keepSessionId, origin)
  // A device that was approved, but has not asked yet.
  await tx.deleteFrom('device_code').where('user_id', '=', userId).execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'person.password_changed',
    target: userId,
    detail: { by },
  })
}

export const passwordCommands = [createPasswordReset, usePasswordReset, changePassword]

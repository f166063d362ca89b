import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { dialectOf, lockForShare } from '../dialect.ts'
import type { PersonalTokenRow } from '../people-tables.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import type { CreatedPlace, SessionWithPerson } from './person-session.ts'

/** A token and whose it is. */
export interface TokenWithPerson {
  readonly token: PersonalTokenRow
  readonly person: SessionWithPerson['person']
}

/** A token with its person, in one statement, in whatever state it is. Null: none has this id, or the account is disabled. */
export async function loadTokenWithPerson(
  reader: Kysely<ControlSchema>,
  id: string,
): Promise<TokenWithPerson | null> {
  const row = await reader
    .selectFrom('personal_token')
    .innerJoin('user_account', 'user_account.id', 'personal_token.user_id')
    .selectAll('personal_token')
    .select(['user_account.email', 'user_account.name as person_name', 'user_account.is_operator'])
    .where('personal_token.id', '=', id)
    .where('user_account.disabled_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined) return null
  const { email, person_name, is_operator, ...token } = row
  return { token, person: { id: token.user_id, email, name: person_name, is_operator } }
}

/** A person's tokens, newest first; `activeAt` leaves out those revoked or expired then. */
export async function listPersonalTokens(
  reader: Kysely<ControlSchema>,
  userId: string,
  request: { readonly activeAt: number | null; readonly after: CreatedPlace | null; readonly limit: number },
): Promise<PersonalTokenRow[]> {
  const { activeAt, after, limit } = request
  let query = reader.selectFrom('personal_token').selectAll().where('user_id', '=', userId)
  if (activeAt !== null) {
    query = query
      .where('revoked_at', 'is', null)
      .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', activeAt)]))
  }
  if (after !== null) {
    query = query.where((where) =>
      where.or([
        where('created_at', '<', after.createdAt),
        where.and([where('created_at', '=', after.createdAt), where('id', '<', after.id)]),
      ]),
    )
  }
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
}

/** The secret itself never gets here: only its HMAC. */
export interface NewPersonalToken {
  readonly id: string
  readonly userId: string
  readonly name: string
  readonly pepperVersion: number
  readonly secretHmac: Uint8Array
  readonly expiresAt: number | null
  /** Whether it may do what asks a session for a fresh confirmation. */
  readonly allowSensitive: boolean
  /** A person has this many active tokens at most. */
  readonly limit: number
}

export type TokenCreation =
  | { readonly ok: true; readonly token: PersonalTokenRow }
  | { readonly ok: false; readonly reason: 'too_many' | 'disabled' }

/** Creates a personal access token. `disabled`: the account was disabled meanwhile. */
export const createPersonalToken = defineCommand<
  ControlSchema,
  { readonly token: NewPersonalToken; readonly origin: ChangeOrigin },
  TokenCreation
>('personal_token.create', async (tx, { token, origin }) => {
  const person = tx
    .selectFrom('user_account')
    .select('id')
    .where('id', '=', token.userId)
    .where('disabled_at', 'is', null)
  // Held until the transaction ends: who disables the account waits, and then ends this token, too.
  const enabled = await lockForShare(person, dialectOf(tx)).executeTakeFirst()
  if (enabled === undefined) return { ok: false, reason: 'disabled' }
  const active = await listPersonalTokens(tx, token.userId, {
    activeAt: origin.nowMs,
    after: null,
    limit: token.limit,
  })
  if (active.length >= token.limit) return { ok: false, reason: 'too_many' }
  const row = await tx
    .insertInto('personal_token')
    .values({
      id: token.id,
      user_id: token.userId,
      name: token.name,
      pepper_version: token.pepperVersion,
      secret_hmac: token.secretHmac,
      created_at: origin.nowMs,
      expires_at: token.expiresAt,
      last_used_at: null,
      revoked_at: null,
      allow_sensitive: token.allowSensitive ? 1 : 0,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'personal_token.create',
    target: token.id,
    detail: {
      person: token.userId,
      name: token.name,
      expiresAt: token.expiresAt,
      allowSensitive: token.allowSensitive,
    },
  })
  return { ok: true, token: row }
})

/** Revokes a person's token. One that is revoked already keeps its time. Null: they have none with this id. */
export const revokePersonalToken = defineCommand<
  ControlSchema,
  { readonly userId: string; readonly id: string; readonly origin: ChangeOrigin },
  PersonalTokenRow | null
>('personal_token.revoke', async (tx, { userId, id, origin }) => {
  const revoked = await tx
    .updateTable('personal_token')
    .set({ revoked_at: origin.nowMs })
    .where('id', '=', id)
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  if (revoked !== undefined) {
    await insertControlAuditEvent(tx, origin, {
      projectId: null,
      action: 'personal_token.revoke',
      target: id,
      detail: { person: userId, name: revoked.name },
    })
    return revoked
  }
  const before = await tx
    .selectFrom('personal_token')
    .selectAll()
    .where('id', '=', id)
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return before ?? null
})

/** Why all tokens of somebody end at once. */
export type TokenEnd = 'disabled' | 'displaced'

/** Revokes all of a person's tokens, inside a transaction of something else. */
export async function revokeTokensOf(
  tx: Kysely<ControlSchema>,
  userId: string,
  because: TokenEnd,
  origin: ChangeOrigin,
): Promise<void> {
  const revoked = await tx
    .updateTable('personal_token')
    .set({ revoked_at: origin.nowMs })
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .returning(['id', 'name'])
    .execute()
  for (const { id, name } of revoked) {
    await insertControlAuditEvent(tx, origin, {
      projectId: null,
      action: 'personal_token.revoke',
      target: id,
      detail: { person: userId, name, because },
    })
  }
}

/** Notes the last use of a token. */
export const notePersonalTokenUse = defineCommand<
  ControlSchema,
  { readonly id: string; readonly nowMs: number },
  { readonly ok: true }
>('personal_token.note_use', async (tx, { id, nowMs }) => {
  await tx.updateTable('personal_token').set({ last_used_at: nowMs }).where('id', '=', id).execute()
  return { ok: true }
})

export const personalTokenCommands = [createPersonalToken, revokePersonalToken, notePersonalTokenUse]

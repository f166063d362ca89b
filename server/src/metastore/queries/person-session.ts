import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import type { UserAccountRow, UserSessionRow } from '../people-tables.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

/** A session and whose it is. */
export interface SessionWithPerson {
  readonly session: UserSessionRow
  readonly person: Pick<UserAccountRow, 'id' | 'email' | 'name' | 'is_operator'>
}

/** The session with this token's HMAC, in one statement. Null: there is none, it has expired, or the account is disabled. */
export async function loadSessionByToken(
  reader: Kysely<ControlSchema>,
  tokenHmac: string,
  nowMs: number,
): Promise<SessionWithPerson | null> {
  const row = await reader
    .selectFrom('user_session')
    .innerJoin('user_account', 'user_account.id', 'user_session.user_id')
    .selectAll('user_session')
    .select(['user_account.email', 'user_account.name', 'user_account.is_operator'])
    .where('user_session.token_hmac', '=', tokenHmac)
    .where('user_session.expires_at', '>', nowMs)
    .where('user_account.disabled_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined) return null
  const { email, name, is_operator, ...session } = row
  return { session, person: { id: session.user_id, email, name, is_operator } }
}

/** A person's session. Null: they have none with this id, or it has expired. */
export async function loadSession(
  reader: Kysely<ControlSchema>,
  userId: string,
  id: string,
  nowMs: number,
): Promise<UserSessionRow | null> {
  const row = await reader
    .selectFrom('user_session')
    .selectAll()
    .where('id', '=', id)
    .where('user_id', '=', userId)
    .where('expires_at', '>', nowMs)
    .executeTakeFirst()
  return row ?? null
}

/** Where a page of a list ordered by creation goes on. */
export interface CreatedPlace {
  readonly createdAt: number
  readonly id: string
}

/** A person's sessions that have not expired, newest first. */
export async function listSessions(
  reader: Kysely<ControlSchema>,
  userId: string,
  {
    nowMs,
    after,
    limit,
  }: { readonly nowMs: number; readonly after: CreatedPlace | null; readonly limit: number },
): Promise<UserSessionRow[]> {
  let query = reader
    .selectFrom('user_session')
    .selectAll()
    .where('user_id', '=', userId)
    .where('expires_at', '>', nowMs)
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

/** Ends one session of a person. Null: they have none with this id. */
export const endSession = defineCommand<
  ControlSchema,
  { readonly userId: string; readonly id: string; readonly origin: ChangeOrigin },
  UserSessionRow | null
>('session.end', async (tx, { userId, id, origin }) => {
  const row = await tx
    .deleteFrom('user_session')
    .where('id', '=', id)
    .where('user_id', '=', userId)
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) return null
  await noteEnd(tx, row, origin)
  return row
})

/** Ends all sessions of a person but one (null: all). Answers how many. */
export const endOtherSessions = defineCommand<
  ControlSchema,
  { readonly userId: string; readonly keepId: string | null; readonly origin: ChangeOrigin },
  { readonly ended: number }
>('session.end_others', async (tx, { userId, keepId, origin }) => ({
  ended: await endSessionsOf(tx, userId, keepId, origin),
}))

/** The same inside a transaction of something else. */
export async function endSessionsOf(
  tx: Kysely<ControlSchema>,
  userId: string,
  keepId: string | null,
  origin: ChangeOrigin,
): Promise<number> {
  let query = tx.deleteFrom('user_session').where('user_id', '=', userId)
  if (keepId !== null) query = query.where('id', '!=', keepId)
  const rows = await query.returningAll().execute()
  for (const row of rows) await noteEnd(tx, row, origin)
  // What was approved and not fetched yet would become a session right afterwards.
  await tx.deleteFrom('device_code').where('user_id', '=', userId).where('status', '=', 'approved').execute()
  return rows.length
}

async function noteEnd(tx: Kysely<ControlSchema>, row: UserSessionRow, origin: ChangeOrigin): Promise<void> {
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'session.end',
    target: row.id,
    detail: { person: row.user_id, kind: row.kind },
  })
}

/** Notes when the person of a session proved who they are; never an earlier time than is known. False: it is gone. */
export const confirmSession = defineCommand<
  ControlSchema,
  {
    readonly userId: string
    readonly id: string
    readonly method: string
    readonly confirmedAt: number
    readonly origin: ChangeOrigin
  },
  { readonly ok: boolean }
>('session.confirm', async (tx, { userId, id, method, confirmedAt, origin }) => {
  const confirmed = await tx
    .updateTable('user_session')
    .set(({ ref, case: when }) => ({
      confirmed_at: when()
        .when('confirmed_at', '>', confirmedAt)
        .then(ref('confirmed_at'))
        .else(confirmedAt)
        .end(),
    }))
    .where('id', '=', id)
    .where('user_id', '=', userId)
    .where('expires_at', '>', origin.nowMs)
    .executeTakeFirst()
  if (confirmed.numUpdatedRows !== 1n) return { ok: false }
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'session.confirm',
    target: id,
    detail: { person: userId, method },
  })
  return { ok: true }
})

/** Notes that a session is in use, and so lives on. Not a change that anybody decided on: no audit event. */
export const extendSession = defineCommand<
  ControlSchema,
  { readonly id: string; readonly nowMs: number; readonly expiresAt: number },
  { readonly ok: true }
>('session.extend', async (tx, { id, nowMs, expiresAt }) => {
  await tx
    .updateTable('user_session')
    .set({ updated_at: nowMs, expires_at: expiresAt })
    .where('id', '=', id)
    .where('updated_at', '<', nowMs)
    .execute()
  return { ok: true }
})

/** Removes what has expired: sessions, challenges and device codes. `limit`: of each. Answers how many, and whether there may be more. */
export const sweepExpired = defineCommand<
  ControlSchema,
  { readonly nowMs: number; readonly limit: number },
  { readonly removed: number; readonly more: boolean }
>('session.sweep', async (tx, { nowMs, limit }) => {
  let removed = 0
  let more = false
  for (const table of ['user_session', 'user_verification', 'device_code'] as const) {
    const gone = await tx
      .deleteFrom(table)
      .where('id', 'in', (from) =>
        from
          .selectFrom(table)
          .select('id')
          .where('expires_at', '<=', nowMs)
          .orderBy('expires_at')
          .limit(limit),
      )
      .executeTakeFirst()
    removed += Number(gone.numDeletedRows)
    more ||= Number(gone.numDeletedRows) >= limit
  }
  return { removed, more }
})

export const personSessionCommands = [
  endSession,
  endOtherSessions,
  confirmSession,
  extendSession,
  sweepExpired,
]

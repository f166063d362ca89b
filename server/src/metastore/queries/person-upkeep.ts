import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { UserAccountRow } from '../people-tables.ts'
import { revokeKeysOfMember } from './api-key.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { loadPerson, PASSWORD_PROVIDER } from './person.ts'
import { type CreatedPlace, endSessionsOf } from './person-session.ts'
import { revokeTokensOf, type TokenEnd } from './personal-token.ts'

/** A way in which a person can sign in. */
export type PersonMethod = 'password' | 'passkey' | 'sso'

/** A person with the ways in which they can sign in. */
export interface PersonView {
  readonly person: UserAccountRow
  readonly methods: readonly PersonMethod[]
}

/** People in the order in which they joined, after the given one. */
export async function listPeople(
  reader: Kysely<ControlSchema>,
  { after, limit }: { readonly after: CreatedPlace | null; readonly limit: number },
): Promise<PersonView[]> {
  let query = reader.selectFrom('user_account').selectAll()
  if (after !== null) {
    query = query.where((where) =>
      where.or([
        where('created_at', '>', after.createdAt),
        where.and([where('created_at', '=', after.createdAt), where('id', '>', after.id)]),
      ]),
    )
  }
  return withMethods(reader, await query.orderBy('created_at').orderBy('id').limit(limit).execute())
}

/** One person, or null. */
export async function loadPersonView(
  reader: Kysely<ControlSchema>,
  userId: string,
): Promise<PersonView | null> {
  const person = await loadPerson(reader, userId)
  return person === null ? null : ((await withMethods(reader, [person]))[0] ?? null)
}

async function withMethods(
  reader: Kysely<ControlSchema>,
  people: readonly UserAccountRow[],
): Promise<PersonView[]> {
  const ids = people.map(({ id }) => id)
  if (ids.length === 0) return []
  const credentials = await reader
    .selectFrom('user_credential')
    .select(['user_id', 'provider_id'])
    .where('user_id', 'in', ids)
    .execute()
  const passkeys = await reader
    .selectFrom('user_passkey')
    .select('user_id')
    .distinct()
    .where('user_id', 'in', ids)
    .execute()
  const withPasskey = new Set(passkeys.map(({ user_id }) => user_id))
  const providers = Map.groupBy(credentials, ({ user_id }) => user_id)
  return people.map((person) => {
    const own = new Set(providers.get(person.id)?.map(({ provider_id }) => provider_id))
    const methods: PersonMethod[] = []
    if (own.delete(PASSWORD_PROVIDER)) methods.push('password')
    if (withPasskey.has(person.id)) methods.push('passkey')
    if (own.size > 0) methods.push('sso')
    return { person, methods }
  })
}

export interface PersonChange {
  readonly userId: string
  /** Null: as it is. */
  readonly isOperator: boolean | null
  readonly disabled: boolean | null
  readonly origin: ChangeOrigin
}

/** `seq`: the access change to wait for; null when no key ended. */
export type PersonChanged =
  | { readonly ok: true; readonly revokedKeys: readonly string[]; readonly seq: number | null }
  | { readonly ok: false; readonly reason: 'not_found' | 'last_operator' }

/**
 * Changes whether a person is an operator, and whether their account is disabled. Disabling ends, in the same
 * transaction, all their sessions, device logins on the way, personal tokens, API keys of their own and the link for a
 * new password. For an account that is disabled already it publishes the end of those keys again, so that whoever repeats
 * a call that broke off still waits until it is true everywhere.
 */
export const updatePerson = defineErasingCommand<ControlSchema, PersonChange, PersonChanged>(
  'person.update',
  async (tx, { userId, isOperator, disabled, origin }) => {
    const { person, hasOtherOperator } = await lockPerson(tx, userId)
    if (person === undefined) return { ok: false, reason: 'not_found' }
    const before = { isOperator: person.is_operator === 1, disabled: person.disabled_at !== null }
    const now = { isOperator: isOperator ?? before.isOperator, disabled: disabled ?? before.disabled }
    const wasActing = before.isOperator && !before.disabled
    if (wasActing && !(now.isOperator && !now.disabled) && !hasOtherOperator) {
      return { ok: false, reason: 'last_operator' }
    }
    if (now.isOperator !== before.isOperator || now.disabled !== before.disabled) {
      await tx
        .updateTable('user_account')
        .set({
          is_operator: now.isOperator ? 1 : 0,
          disabled_at: now.disabled ? (person.disabled_at ?? origin.nowMs) : null,
          updated_at: origin.nowMs,
        })
        .where('id', '=', userId)
        .execute()
      await insertControlAuditEvent(tx, origin, {
        projectId: null,
        action: 'person.update',
        target: userId,
        detail: { ...now, before },
      })
    }
    if (disabled !== true) return { ok: true, revokedKeys: [], seq: null }
    return { ok: true, ...(await endAccess(tx, userId, origin)) }
  },
)

/**
 * The person, locked together with all operators that are not disabled, in one order: two operators cannot demote each
 * other at the same time.
 */
async function lockPerson(
  tx: Kysely<ControlSchema>,
  userId: string,
): Promise<{ readonly person: UserAccountRow | undefined; readonly hasOtherOperator: boolean }> {
  const query = tx
    .selectFrom('user_account')
    .selectAll()
    .where((where) =>
      where.or([
        where('id', '=', userId),
        where.and([where('is_operator', '=', 1), where('disabled_at', 'is', null)]),
      ]),
    )
    .orderBy('id')
  const rows = await lockForUpdate(query, dialectOf(tx)).execute()
  return {
    person: rows.find(({ id }) => id === userId),
    hasOtherOperator: rows.some(({ id }) => id !== userId),
  }
}

/** Inside another change: ends all that is signed in to an account, and is about to be: keys of projects are none of it. */
export async function endSignIns(
  tx: Kysely<ControlSchema>,
  userId: string,
  because: TokenEnd,
  origin: ChangeOrigin,
): Promise<void> {
  await endSessionsOf(tx, userId, null, origin)
  await revokeTokensOf(tx, userId, because, origin)
  await tx.deleteFrom('device_code').where('user_id', '=', userId).execute()
  await tx.deleteFrom('password_reset').where('user_id', '=', userId).execute()
}

async function endAccess(
  tx: Kysely<ControlSchema>,
  userId: string,
  origin: ChangeOrigin,
): Promise<{ readonly revokedKeys: readonly string[]; readonly seq: number | null }> {
  await endSignIns(tx, userId, 'disabled', origin)
  const projects = await tx
    .selectFrom('api_key')
    .innerJoin('project', 'project.id', 'api_key.project_id')
    .select('api_key.project_id')
    .distinct()
    .where('api_key.user_id', '=', userId)
    .where('project.deleted_at', 'is', null)
    .orderBy('api_key.project_id')
    .execute()
  const revokedKeys: string[] = []
  let seq: number | null = null
  for (const { project_id: projectId } of projects) {
    const target = { projectId, userId, keyActions: [], origin, because: 'disabled' as const }
    const ended = await revokeKeysOfMember(tx, target)
    revokedKeys.push(...ended.revokedKeys)
    // Later numbers are higher, and include those before.
    seq = ended.seq ?? seq
  }
  return { revokedKeys, seq }
}

export const personUpkeepCommands = [updatePerson]

import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand, Rollback } from '../database.ts'
import type { UserAccountRow } from '../people-tables.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

/** How the sign-in library names a password among the ways to sign in. */
export const PASSWORD_PROVIDER = 'credential'

/** A person. Null: there is none with this id. */
export async function loadPerson(reader: Kysely<ControlSchema>, id: string): Promise<UserAccountRow | null> {
  return (await reader.selectFrom('user_account').selectAll().where('id', '=', id).executeTakeFirst()) ?? null
}

/** The person with this e-mail address, in lower case. Null: there is none. */
export async function loadPersonByEmail(
  reader: Kysely<ControlSchema>,
  email: string,
): Promise<UserAccountRow | null> {
  const row = await reader
    .selectFrom('user_account')
    .selectAll()
    .where('email', '=', email)
    .executeTakeFirst()
  return row ?? null
}

/** The PHC string of a person's password. Null: they sign in another way. */
export async function loadPasswordHash(
  reader: Kysely<ControlSchema>,
  userId: string,
): Promise<string | null> {
  const row = await reader
    .selectFrom('user_credential')
    .select('password')
    .where('user_id', '=', userId)
    .where('provider_id', '=', PASSWORD_PROVIDER)
    .executeTakeFirst()
  return row?.password ?? null
}

/** Whether a person signs in by this provider already. */
export async function hasCredential(
  reader: Kysely<ControlSchema>,
  userId: string,
  providerId: string,
): Promise<boolean> {
  const row = await reader
    .selectFrom('user_credential')
    .select('id')
    .where('user_id', '=', userId)
    .where('provider_id', '=', providerId)
    .executeTakeFirst()
  return row !== undefined
}

/** The password itself never gets here: only its hash. */
export interface NewPerson {
  readonly id: string
  readonly credentialId: string
  readonly name: string
  /** In lower case. */
  readonly email: string
  readonly isOperator: boolean
  readonly passwordHash: string
}

/**
 * Inside another change: adds a person who signs in with a password. False: the e-mail address belongs to somebody.
 * Who makes an account this way has shown that the address is theirs: by the setup link or an invitation.
 */
export async function insertPerson(
  tx: Kysely<ControlSchema>,
  person: NewPerson,
  origin: ChangeOrigin,
): Promise<boolean> {
  const times = { created_at: origin.nowMs, updated_at: origin.nowMs }
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('user_account')
    .values({
      id: person.id,
      name: person.name,
      email: person.email,
      email_verified: 1,
      image: null,
      is_operator: person.isOperator ? 1 : 0,
      disabled_at: null,
      last_sign_in_at: null,
      ...times,
    })
    .onConflict((conflict) => conflict.column('email').doNothing())
    .executeTakeFirst()
  if (numInsertedOrUpdatedRows !== 1n) return false
  await tx
    .insertInto('user_credential')
    .values({
      id: person.credentialId,
      user_id: person.id,
      provider_id: PASSWORD_PROVIDER,
      account_id: person.id,
      password: person.passwordHash,
      ...times,
    })
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'person.create',
    target: person.id,
    detail: { name: person.name, email: person.email, isOperator: person.isOperator },
  })
  return true
}

export type SetUpOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'used' | 'email_taken' }

/** Makes the first operator and marks the setup link as used. The caller has compared the token itself. */
export const setUpFirstOperator = defineCommand<
  ControlSchema,
  { readonly person: NewPerson; readonly origin: ChangeOrigin },
  SetUpOutcome
>('person.set_up_first_operator', async (tx, { person, origin }) => {
  const inserted = await tx
    .insertInto('installation')
    .values({ name: 'setup_used_at', value: String(origin.nowMs) })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .executeTakeFirst()
  if (inserted.numInsertedOrUpdatedRows !== 1n) return { ok: false, reason: 'used' }
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'installation.setup',
    target: 'setup link',
    detail: { person: person.id },
  })
  const made = await insertPerson(tx, person, origin)
  if (!made) throw new Rollback({ ok: false, reason: 'email_taken' } satisfies SetUpOutcome)
  return { ok: true }
})

/** Whether the setup link was used. */
export async function wasSetupUsed(reader: Kysely<ControlSchema>): Promise<boolean> {
  const row = await reader
    .selectFrom('installation')
    .select('name')
    .where('name', '=', 'setup_used_at')
    .executeTakeFirst()
  return row !== undefined
}

/**
 * Notes a sign-in or confirmation that failed. The person's id is the target, never what was typed as the address: people
 * type passwords there.
 */
export const noteFailedSignIn = defineCommand<
  ControlSchema,
  {
    readonly userId: string | null
    readonly detail: Readonly<Record<string, unknown>>
    readonly origin: ChangeOrigin
  },
  { readonly ok: true }
>('person.note_failed_sign_in', async (tx, { userId, detail, origin }) => {
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'session.sign_in_failed',
    target: userId ?? 'unknown account',
    detail,
  })
  return { ok: true }
})

export const personCommands = [setUpFirstOperator, noteFailedSignIn]

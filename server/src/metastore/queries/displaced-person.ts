import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { UserAccountRow } from '../people-tables.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { loadPersonByEmail } from './person.ts'
import { endSignIns } from './person-upkeep.ts'

/*
 * Accounts that hold an address which nobody showed to be theirs: whoever may invite to a project of their own can make
 * one for any address. Who does show that it is theirs gets the address.
 */

/**
 * Whether an account gives way to whoever shows that its address is theirs. Never an operator's, which another operator
 * vouched for; and one that was disabled only when an operator has `decidedAt` since that somebody shall have the
 * address (null: nobody decided), else who was stopped would come back.
 */
export function isDisplaceable(
  person: Pick<UserAccountRow, 'email_verified' | 'is_operator' | 'disabled_at'>,
  decidedAt: number | null,
): boolean {
  if (person.email_verified === 1 || person.is_operator === 1) return false
  return person.disabled_at === null || (decidedAt !== null && person.disabled_at < decidedAt)
}

interface Displacement {
  /** In lower case. */
  readonly email: string
  readonly decidedAt: number | null
  readonly because: 'invitation' | 'sso'
  readonly origin: ChangeOrigin
}

/**
 * Inside another change: takes the address from the account that holds it without right, and ends all that is signed in
 * to it. Memberships stay with that account, under an address that nobody can be invited by. False: there was none such.
 */
export async function displaceHolder(
  tx: Kysely<ControlSchema>,
  { email, decidedAt, because, origin }: Displacement,
): Promise<boolean> {
  const query = tx.selectFrom('user_account').selectAll().where('email', '=', email)
  const holder = await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()
  if (holder === undefined || !isDisplaceable(holder, decidedAt)) return false
  await tx
    .updateTable('user_account')
    .set({ email: `${holder.id}~displaced@invalid`, updated_at: origin.nowMs })
    .where('id', '=', holder.id)
    .execute()
  await endSignIns(tx, holder.id, 'displaced', origin)
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'person.displaced',
    target: holder.id,
    detail: { email, because },
  })
  return true
}

/** Whether single sign-on as this account of the issuer would make an account, and find the address held without right. */
export async function isInTheWay(
  reader: Kysely<ControlSchema>,
  { email, providerId, accountId }: SignOn,
): Promise<boolean> {
  const holder = await loadPersonByEmail(reader, email)
  if (holder === null || !isDisplaceable(holder, null)) return false
  const known = await reader
    .selectFrom('user_credential')
    .select('id')
    .where('provider_id', '=', providerId)
    .where('account_id', '=', accountId)
    .executeTakeFirst()
  return known === undefined
}

interface SignOn {
  /** In lower case; the issuer has verified it. */
  readonly email: string
  readonly providerId: string
  readonly accountId: string
}

/** Takes the address for somebody whom the issuer of single sign-on knows by it, and who has no account yet. */
export const displaceForSignOn = defineErasingCommand<
  ControlSchema,
  SignOn & { readonly origin: ChangeOrigin },
  { readonly displaced: boolean }
>('person.displace_for_sign_on', async (tx, { origin, ...signOn }) => {
  if (!(await isInTheWay(tx, signOn))) return { displaced: false }
  const { email } = signOn
  return { displaced: await displaceHolder(tx, { email, decidedAt: null, because: 'sso', origin }) }
})

export const displacedPersonCommands = [displaceForSignOn]

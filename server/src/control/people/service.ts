import { randomBytes, randomUUID } from 'node:crypto'
import { ApiError } from '@berth/api/errors'
import { MAX_INVITATION_TOKEN_LENGTH, PASSWORD_RESET_SECONDS } from '@berth/api/limits'
import type { PasswordReset, Person, PersonChanged, PersonUpdate } from '@berth/api/people'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import {
  createPasswordReset as createPasswordResetCommand,
  loadPasswordReset,
  usePasswordReset as usePasswordResetCommand,
} from '../../metastore/queries/password.ts'
import {
  loadPersonView,
  type PersonView,
  updatePerson as updatePersonCommand,
} from '../../metastore/queries/person-upkeep.ts'
import { propagateEverywhere } from '../propagate.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'

const SECRET_BYTES = 32

/** Where a link that sets a new password leads. */
export const PASSWORD_RESET_PATH = '/password-reset'

/** A person as the contract shows them. */
export function toPerson({ person, methods }: PersonView): Person {
  return {
    id: person.id,
    name: person.name,
    email: person.email,
    isOperator: person.is_operator === 1,
    disabled: person.disabled_at !== null,
    methods: [...methods],
    createdAt: toTimestamp(person.created_at),
    lastSignInAt: toTimestampOrNull(person.last_sign_in_at),
  }
}

/**
 * Makes a person an operator or not, disables or enables their account. When it returns nothing of somebody disabled is
 * accepted any more, on any replica. Raises `person_not_found`, `last_operator`, `not_everywhere_yet`.
 */
export async function updatePerson(
  runtime: ControlRuntime,
  userId: string,
  update: PersonUpdate,
  origin: ChangeOrigin,
): Promise<PersonChanged> {
  const change = { isOperator: update.isOperator ?? null, disabled: update.disabled ?? null }
  const outcome = await runtime.db.run(updatePersonCommand, { userId, ...change, origin })
  if (!outcome.ok) {
    throw new ApiError(outcome.reason === 'not_found' ? 'person_not_found' : 'last_operator')
  }
  const propagation = outcome.seq === null ? null : await propagateEverywhere(runtime, outcome.seq)
  const view = await loadPersonView(runtime.db.reader, userId)
  if (view === null) throw new ApiError('person_not_found')
  return { ...toPerson(view), revokedKeys: [...outcome.revokedKeys], propagation }
}

/**
 * Makes a link that lets a person set a new password. The answer alone has it: the database holds an HMAC of its secret.
 * Raises `person_not_found`, `person_disabled`.
 */
export async function createPasswordReset(
  runtime: ControlRuntime,
  userId: string,
  origin: ChangeOrigin,
): Promise<PasswordReset> {
  const token = `berth-password-${randomBytes(SECRET_BYTES).toString('base64url')}`
  const expiresAt = origin.nowMs + PASSWORD_RESET_SECONDS * 1000
  const tokenHmac = runtime.operatorAuth.hmac(token)
  const args = { userId, tokenHmac, expiresAt, origin }
  const outcome = await runtime.db.run(createPasswordResetCommand, args)
  if (!outcome.ok) {
    throw new ApiError(outcome.reason === 'not_found' ? 'person_not_found' : 'person_disabled')
  }
  const link = `${runtime.consoleUrl}${PASSWORD_RESET_PATH}?token=${token}`
  return { userId, email: outcome.person.email, link, expiresAt: toTimestamp(expiresAt) }
}

/** Whose password the secret of a link sets; null when it is not valid (any more). */
export async function openPasswordReset(
  runtime: ControlRuntime,
  token: string,
): Promise<{ readonly id: string; readonly name: string; readonly email: string } | null> {
  if (token.length > MAX_INVITATION_TOKEN_LENGTH) return null
  return loadPasswordReset(runtime.db.reader, runtime.operatorAuth.hmac(token), runtime.clock.nowMs())
}

/** Sets a new password by a link; all sessions of the person but one (null: all) end. False: the link is not valid (any more). */
export async function usePasswordReset(
  runtime: ControlRuntime,
  token: string,
  password: {
    readonly userId: string
    /** PHC string. */
    readonly passwordHash: string
    readonly keepSessionId: string | null
  },
  request: { readonly requestId: string },
): Promise<boolean> {
  const { requestId } = request
  const origin = { actor: `person:${password.userId}`, requestId, nowMs: runtime.clock.nowMs() }
  const tokenHmac = runtime.operatorAuth.hmac(token)
  const args = { ...password, credentialId: randomUUID(), tokenHmac, origin }
  return (await runtime.db.run(usePasswordResetCommand, args)).ok
}

import { ApiError } from '@berth/api/errors'
import { loadPasswordHash, loadPersonByEmail, noteFailedSignIn } from '../../metastore/queries/person.ts'
import type { ControlRuntime } from '../runtime.ts'
import { asAuthChange } from './auth-change.ts'
import { MAX_PASSWORD_LENGTH } from './limits.ts'
import type { People } from './people.ts'
import type { RequestFacts } from './request-facts.ts'
import { tokenHmac } from './token-hmac.ts'

/** Cookies to set, or that address and password do not belong together: which of them is wrong is not said. */
export type SignInOutcome =
  | { readonly ok: true; readonly setCookies: readonly string[] }
  | { readonly ok: false }

/** How an e-mail address is kept and compared. */
export function normalizeEmail(email: string): string {
  return email.trim().toLowerCase()
}

/**
 * Signs a person in with their password. An address that nobody has costs the same work. Raises `rate_limited` before any
 * work is done when this address of the network failed too often at this account; others are not locked out. `forbidden`: the password
 * is right, but the account is disabled.
 */
export async function signInWithPassword(
  { runtime, people, facts }: SignInContext,
  given: { readonly email: string; readonly password: string },
): Promise<SignInOutcome> {
  const email = normalizeEmail(given.email)
  const { password } = given
  if (password.length > MAX_PASSWORD_LENGTH) return { ok: false }
  const account = tokenHmac(runtime.people.tokenKey, email)
  await countAttempt(people, account, facts)
  const auth = await people.auth()
  const change = { ...facts, method: 'password' as const, confirmedAt: facts.nowMs, userId: null }
  const answer = await asAuthChange(change, () =>
    auth.api.signInEmail({ body: { email, password }, headers: new Headers(), asResponse: true }),
  )
  if (answer.status >= 500) throw new ApiError('unavailable', 'The sign-in could not be done. Try again.')
  if (!answer.ok) {
    const person = await loadPersonByEmail(runtime.db.reader, email)
    await noteFailure({ runtime, facts }, person?.id ?? null, 'password')
    // The password was right then: a wrong one is answered with another status.
    if (answer.status === 403) throw new ApiError('forbidden', 'The account is disabled. Ask an operator.')
    return { ok: false }
  }
  await people.passwordFailures.forget(account, facts.address)
  await people.sweep()
  return { ok: true, setCookies: answer.headers.getSetCookie() }
}

export interface SignInContext {
  readonly runtime: ControlRuntime
  readonly people: People
  readonly facts: RequestFacts
}

/** Checks the password of a person who is signed in, with the same limits. False: wrong, or they have none. */
export async function checkPassword(
  { runtime, people, facts }: SignInContext,
  person: { readonly userId: string; readonly email: string },
  password: string,
): Promise<boolean> {
  if (password.length > MAX_PASSWORD_LENGTH) return false
  const account = tokenHmac(runtime.people.tokenKey, person.email)
  await countAttempt(people, account, facts)
  const hash = await loadPasswordHash(runtime.db.reader, person.userId)
  const right = hash !== null && (await people.passwords.verify({ hash, password }))
  if (right) await people.passwordFailures.forget(account, facts.address)
  else await noteFailure({ runtime, facts }, person.userId, 'confirmation')
  return right
}

/** An attempt counts as failed until it has succeeded, so that many at once are no way around the limit. */
async function countAttempt(people: People, account: string, { address }: RequestFacts): Promise<void> {
  const waitSeconds = await people.passwordFailures.count(account, address)
  if (waitSeconds === null) return
  throw new ApiError('rate_limited', `Too many failed attempts. Try again in ${waitSeconds} s.`, {
    headers: { 'Retry-After': String(waitSeconds) },
  })
}

/** Notes a failed sign-in in the metrics and the audit log. `userId` null: nobody knows whose it was to be. */
export async function noteFailure(
  { runtime, facts }: Pick<SignInContext, 'runtime' | 'facts'>,
  userId: string | null,
  method: 'password' | 'confirmation' | 'passkey',
): Promise<void> {
  const { address, requestId, nowMs } = facts
  runtime.metrics.authenticationFailures.inc({ reason: 'invalid' })
  const actor = userId === null ? 'anonymous' : `person:${userId}`
  const origin = { actor, requestId, nowMs }
  await runtime.db.run(noteFailedSignIn, { userId, detail: { method, address }, origin })
}

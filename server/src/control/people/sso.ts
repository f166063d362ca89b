import { ApiError } from '@berth/api/errors'
import { betterAuth } from 'better-auth/minimal'
import { genericOAuth } from 'better-auth/plugins/generic-oauth'
import { decodeJwt } from 'jose'
import { displaceForSignOn, isInTheWay } from '../../metastore/queries/displaced-person.ts'
import { hasCredential, loadPerson } from '../../metastore/queries/person.ts'
import type { ControlRuntime } from '../runtime.ts'
import { currentAuthChange, setConfirmedAt } from './auth-change.ts'
import { commonOptions } from './auth.ts'
import { SSO_PROVIDER, type SsoSettings } from './settings.ts'

/*
 * Single sign-on: the sign-in library with one OpenID Connect provider. The issuer is the operator's own setting, which
 * nobody else can aim, so its calls are the library's own and do not go through the guard of outgoing calls; an issuer
 * inside a private network is the usual case.
 */

export type SsoAuth = Awaited<ReturnType<typeof createSsoAuth>>

/** Asks the issuer to describe itself. Raises `unavailable` when it does not. */
export async function createSsoAuth(runtime: ControlRuntime, sso: SsoSettings) {
  const auth = betterAuth({
    ...commonOptions(runtime),
    user: {
      ...commonOptions(runtime).user,
      validateUserInfo: (vouched: Vouched) => refusalOf(runtime, sso, vouched),
    },
    plugins: [
      genericOAuth({
        config: [
          {
            providerId: SSO_PROVIDER,
            name: sso.name,
            discoveryUrl: `${sso.issuer.replace(/\/+$/, '')}/.well-known/openid-configuration`,
            requireIdTokenVerification: true,
            clientId: sso.clientId,
            ...(sso.clientSecret === null
              ? { tokenEndpointAuth: { method: 'none' as const } }
              : { clientSecret: sso.clientSecret }),
            scopes: ['openid', 'email', 'profile'],
            pkce: true,
            disableSignUp: sso.domains.length === 0,
            accountSubject: async ({ tokens, profile }) => {
              const accountId = subjectOf(tokens.idToken, profile)
              await makeWay(runtime, sso, accountId, profile)
              return accountId
            },
            mapProfileToUser: ({ name, email }) => ({ name: nameOf(name, email) }),
          },
        ],
      }),
    ],
  })
  const { socialProviders } = await auth.$context
  if (!socialProviders.some(({ id }) => id === SSO_PROVIDER)) {
    throw new ApiError(
      'unavailable',
      `${sso.name} cannot be reached, or is not what BERTH_SSO_ISSUER says. Try again later.`,
    )
  }
  return auth
}

/**
 * An account is the issuer's name with its stable subject: addresses change hands, and another issuer is another person.
 * The library has verified the token before.
 */
function subjectOf(idToken: string | undefined, profile: { readonly sub?: unknown }): string {
  const { iss, sub, auth_time: authTime } = decodeJwt(idToken ?? '')
  // OpenID Connect Core section 5.3.2: what another endpoint says counts only for the same subject.
  if (typeof iss !== 'string' || typeof sub !== 'string' || profile.sub !== sub) {
    throw new Error('the issuer names two different subjects')
  }
  // An issuer with a session of its own may have asked for no password for days.
  if (typeof authTime === 'number') setConfirmedAt(authTime * 1000)
  return `${iss}#${sub}`
}

/**
 * The library looks for the address next, and would refuse whom the issuer vouches for when somebody else has made an
 * account with it. Only where an account comes from signing in: else nobody would have the address afterwards.
 */
async function makeWay(
  runtime: ControlRuntime,
  sso: SsoSettings,
  accountId: string,
  { email, emailVerified }: { readonly email?: string | null | undefined; readonly emailVerified: boolean },
): Promise<void> {
  const { db } = runtime
  if (sso.domains.length === 0 || typeof email !== 'string') return
  const vouched = { user: { email, emailVerified }, source: { action: 'create-user' } }
  if ((await refusalOf(runtime, sso, vouched)) !== undefined) return
  const signOn = { email: email.toLowerCase(), providerId: SSO_PROVIDER, accountId }
  if (!(await isInTheWay(db.reader, signOn))) return
  const { requestId, nowMs } = currentAuthChange()
  await db.run(displaceForSignOn, { ...signOn, origin: { actor: 'system', requestId, nowMs } })
}

/** Whom the issuer vouches for, and what is about to be done with them. */
interface Vouched {
  readonly user: {
    readonly id?: string
    readonly email?: string | null
    readonly emailVerified?: boolean
  }
  readonly source: { readonly action: string }
}

/** Why somebody whom the issuer vouches for does not get in; nothing when they do. */
async function refusalOf(
  { db }: ControlRuntime,
  { domains }: SsoSettings,
  { user, source }: Vouched,
): Promise<{ error: string } | undefined> {
  const { id, email, emailVerified } = user
  if (emailVerified !== true || typeof email !== 'string') return { error: 'email_not_verified' }
  const domain = email.slice(email.lastIndexOf('@') + 1).toLowerCase()
  if (domains.length > 0 && !domains.includes(domain)) return { error: 'domain_not_allowed' }
  const known = id === undefined ? null : await loadPerson(db.reader, id)
  if (known !== null && known.disabled_at !== null) return { error: 'account_disabled' }
  // The address connects an account once. Afterwards the subject counts: a later owner of the address is somebody else.
  if (source.action === 'link-account' && (await hasCredential(db.reader, id ?? '', SSO_PROVIDER))) {
    return { error: 'account_not_linked' }
  }
  return undefined
}

const MAX_NAME_LENGTH = 100

function nameOf(name: unknown, email: unknown): string {
  const text = typeof name === 'string' && name.trim() !== '' ? name : String(email).split('@', 1)[0]
  return (text ?? '').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').slice(0, MAX_NAME_LENGTH)
}

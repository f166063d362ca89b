import { ApiError } from '@berth/api/errors'
import type { FastifyRequest } from 'fastify'
import { clientAddress } from '../access/client-address.ts'
import type { FailureLimit } from '../access/failure-limit.ts'
import { MAX_AUTHORIZATION_LENGTH } from './limits.ts'
import { bearerToken } from './operator-auth.ts'
import { sessionTokenOf } from './people/cookies.ts'
import { isSameOrigin } from './people/same-origin.ts'
import {
  principalOfCookie,
  principalOfPersonalToken,
  principalOfSession,
} from './people/session-principal.ts'
import type { ConsolePrincipal } from './principal.ts'
import type { ControlRuntime } from './runtime.ts'

// Characters of the hash of a wrong token that tell failing credentials apart for the limit.
const CREDENTIAL_HASH_LENGTH = 16

/**
 * Says who calls: by the operator token, a personal access token or a session's token as Bearer, or by the session's
 * cookie of a browser. What is right is accepted whatever others tried before; only failures are limited, so nobody can
 * lock anybody out. Raises `unauthenticated`, `forbidden` (a cookie from another site), `rate_limited`.
 */
export async function authenticate(
  runtime: ControlRuntime,
  failures: FailureLimit,
  request: FastifyRequest,
): Promise<ConsolePrincipal> {
  const { authorization, cookie } = request.headers
  const cookieToken = authorization === undefined ? sessionTokenOf(cookie, runtime.consoleUrl) : null
  const principal =
    authorization === undefined
      ? await byCookie(runtime, request, cookieToken)
      : await byBearer(runtime, authorization)
  if (principal !== null) return principal
  const shown = authorization ?? cookieToken
  if (shown === null) throw unauthenticated()
  runtime.metrics.authenticationFailures.inc({ reason: 'invalid' })
  const credential = Buffer.from(runtime.operatorAuth.hmac(shown)).toString('hex')
  const waitSeconds = await failures.count(
    credential.slice(0, CREDENTIAL_HASH_LENGTH),
    addressOf(runtime, request),
  )
  if (waitSeconds === null) throw unauthenticated('invalid_token')
  throw new ApiError('rate_limited', `Too many failed attempts. Try again in ${waitSeconds} s.`, {
    headers: { 'Retry-After': String(waitSeconds) },
  })
}

async function byBearer(runtime: ControlRuntime, authorization: string): Promise<ConsolePrincipal | null> {
  const token = authorization.length > MAX_AUTHORIZATION_LENGTH ? null : bearerToken(authorization)
  if (token === null) return null
  if (runtime.operatorAuth.isOperatorToken(token)) return { kind: 'operator' }
  if (token.startsWith('brth_')) return principalOfPersonalToken(runtime, token)
  return principalOfSession(runtime, token)
}

async function byCookie(
  runtime: ControlRuntime,
  { method, headers }: FastifyRequest,
  token: string | null,
): Promise<ConsolePrincipal | null> {
  if (token === null) return null
  const principal = await principalOfCookie(runtime, token)
  if (principal === null || method === 'GET' || method === 'HEAD') return principal
  if (isSameOrigin(headers, runtime.consoleUrl)) return principal
  throw new ApiError('forbidden', 'The request comes from another site than the console.')
}

function unauthenticated(error?: 'invalid_token'): ApiError {
  // RFC 6750 section 3: no error code when no credential was sent.
  const challenge = `Bearer realm="berth"${error === undefined ? '' : `, error="${error}"`}`
  const detail =
    error === undefined
      ? 'Send Authorization: Bearer <token>.'
      : 'The token is malformed or not valid (any more). Only tokens of the console are accepted here; API keys are for the registry.'
  return new ApiError('unauthenticated', detail, { headers: { 'WWW-Authenticate': challenge } })
}

/** The address of whoever calls, by the trusted proxies. */
export function addressOf(runtime: ControlRuntime, request: FastifyRequest): string {
  const forwardedFor = request.headers['x-forwarded-for']
  return clientAddress(
    request.socket.remoteAddress,
    Array.isArray(forwardedFor) ? forwardedFor.join(',') : forwardedFor,
    runtime.trustedProxies,
  )
}

import { ApiError } from '@berth/api/errors'
import type { FastifyRequest } from 'fastify'
import { clientAddress } from '../access/client-address.ts'
import type { FailureLimit } from '../access/failure-limit.ts'
import { MAX_AUTHORIZATION_LENGTH } from './limits.ts'
import { bearerToken } from './operator-auth.ts'
import type { ConsolePrincipal } from './principal.ts'
import type { ControlRuntime } from './runtime.ts'

// Characters of the hash of a wrong token that tell failing credentials apart for the limit.
const CREDENTIAL_HASH_LENGTH = 16

/**
 * Says who calls. The right token is accepted whatever others tried before; only failures are limited, so nobody can
 * lock the operator out. Raises `unauthenticated`, `rate_limited`.
 */
export async function authenticate(
  runtime: ControlRuntime,
  failures: FailureLimit,
  request: FastifyRequest,
): Promise<ConsolePrincipal> {
  const { authorization } = request.headers
  if (authorization === undefined) throw unauthenticated()
  const token = authorization.length > MAX_AUTHORIZATION_LENGTH ? null : bearerToken(authorization)
  if (token !== null && runtime.operatorAuth.isOperatorToken(token)) return { kind: 'operator' }
  runtime.metrics.authenticationFailures.inc({ reason: 'invalid' })
  const credential = Buffer.from(runtime.operatorAuth.hmac(authorization)).toString('hex')
  const waitSeconds = await failures.count(
    credential.slice(0, CREDENTIAL_HASH_LENGTH),
    addressOf(runtime, request),
  )
  if (waitSeconds === null) throw unauthenticated('invalid_token')
  throw new ApiError('rate_limited', `Too many failed attempts. Try again in ${waitSeconds} s.`, {
    headers: { 'Retry-After': String(waitSeconds) },
  })
}

function unauthenticated(error?: 'invalid_token'): ApiError {
  // RFC 6750 section 3: no error code when no credential was sent.
  const challenge = `Bearer realm="berth"${error === undefined ? '' : `, error="${error}"`}`
  const detail =
    error === undefined
      ? 'Send Authorization: Bearer <token>.'
      : 'The token is malformed or not valid. Only Bearer tokens of the console are accepted here; API keys are for the registry.'
  return new ApiError('unauthenticated', detail, { headers: { 'WWW-Authenticate': challenge } })
}

function addressOf(runtime: ControlRuntime, request: FastifyRequest): string {
  const forwardedFor = request.headers['x-forwarded-for']
  return clientAddress(
    request.socket.remoteAddress,
    Array.isArray(forwardedFor) ? forwardedFor.join(',') : forwardedFor,
    runtime.trustedProxies,
  )
}

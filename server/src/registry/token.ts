import { OciError } from '@berth/oci/errors'
import { parseScopes, type Scope } from '@berth/oci/scope'
import { parseMediaType } from '@berth/oci/media-type'
import type { Principal } from '../access/principal.ts'
import { type Answer, jsonAnswer } from './answer.ts'
import { AuthenticationRequired } from './challenge.ts'
import { type Exchange, header } from './exchange.ts'
import { authenticate, principalOf } from './grant.ts'
import { NO_STORE } from './headers.ts'
import { withKeyExpiry } from './key-expiry.ts'
import { MAX_TOKEN_BODY_BYTES } from './limits.ts'
import { readBody } from './request-body.ts'
import type { RegionRuntime } from './runtime.ts'

const FORM = 'application/x-www-form-urlencoded'
const EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'
const SUBJECT_TOKEN_TYPES: readonly string[] = [
  'urn:ietf:params:oauth:token-type:id_token',
  'urn:ietf:params:oauth:token-type:jwt',
]
/** A suggestion: with a CI token, and with what it is exchanged for, any user name does. */
const CI_USERNAME = 'ci'

interface TokenRequest {
  readonly method: 'GET' | 'POST'
  readonly query: URLSearchParams
}

/**
 * The token endpoint (Docker token specification): GET with Basic, POST with a form. What is asked for and not
 * allowed is left out of the token; it never makes the request fail. No `issued_at`: clients then count the lifetime
 * from their own clock.
 *
 * Errors: UNAUTHORIZED for a bad credential, TOOMANYREQUESTS, UNSUPPORTED (400) for a malformed request.
 */
export async function answerToken(
  runtime: RegionRuntime,
  exchange: Exchange,
  { method, query }: TokenRequest,
): Promise<Answer> {
  const form = method === 'POST' ? await readForm(exchange) : query
  const scopes = readScopes(form)
  if (method === 'POST' && form.get('grant_type') === EXCHANGE_GRANT) {
    return answerExchange(runtime, exchange, form, scopes)
  }
  const principal =
    method === 'POST'
      ? await principalOfForm(runtime, exchange, form)
      : await principalOfBasic(runtime, exchange, form)
  const offline =
    method === 'POST' ? form.get('access_type') === 'offline' : form.get('offline_token') === 'true'
  const issued = await runtime.access.issueToken(principal, scopes, { offline })
  const answer = jsonAnswer(
    200,
    {
      token: issued.token,
      access_token: issued.token,
      token_type: 'Bearer',
      expires_in: issued.expiresInSeconds,
      scope: issued.scope,
      ...(issued.refreshToken === null ? {} : { refresh_token: issued.refreshToken }),
    },
    NO_STORE,
  )
  return withKeyExpiry(answer, principal, runtime.clock.nowMs())
}

async function readForm(exchange: Exchange): Promise<URLSearchParams> {
  if (parseMediaType(header(exchange.req, 'content-type') ?? '') !== FORM) {
    throw malformed(`the body must be ${FORM}`)
  }
  const body = await readBody(exchange, MAX_TOKEN_BODY_BYTES, () => malformed('the body is too large', 413))
  return new URLSearchParams(body.toString('utf8'))
}

function readScopes(form: URLSearchParams): readonly Scope[] {
  const parsed = parseScopes(form.getAll('scope'))
  if (!parsed.ok) throw malformed('too many scopes in one request')
  return parsed.scopes
}

/**
 * Token exchange (RFC 8693): a CI token for one of ours. With a scope it is a token for that, as clients get when they
 * sign in. Without, it stands for all that the trust rule allows, and is a password for docker and the like until it
 * ends. `audience` is the namespace of the project that is meant.
 */
async function answerExchange(
  runtime: RegionRuntime,
  exchange: Exchange,
  form: URLSearchParams,
  scopes: readonly Scope[],
): Promise<Answer> {
  const token = form.get('subject_token') ?? ''
  const requestedType = form.get('requested_token_type') ?? ACCESS_TOKEN_TYPE
  if (token === '') throw malformed('subject_token is missing')
  if (!SUBJECT_TOKEN_TYPES.includes(form.get('subject_token_type') ?? '')) {
    throw malformed(`subject_token_type must be ${SUBJECT_TOKEN_TYPES.join(' or ')}`)
  }
  if (requestedType !== ACCESS_TOKEN_TYPE)
    throw malformed(`requested_token_type can be ${ACCESS_TOKEN_TYPE} only`)
  if (form.has('actor_token')) throw malformed('actor_token is not supported')
  const audiences = form.getAll('audience')
  if (audiences.length > 1) throw malformed('audience can name one project')
  const authentication = await runtime.access.exchangeCiToken({
    token,
    namespace: audiences[0] ?? null,
    clientAddress: exchange.clientAddress,
    wanted: form.getAll('scope'),
    requestId: exchange.requestId,
  })
  const principal = principalOf(runtime, authentication, null)
  // A scope that is malformed is left out like one that is not allowed: it must not become everything.
  const isSession = form.getAll('scope').every((text) => text.trim() === '')
  const issued = await runtime.access.issueToken(principal, scopes, { offline: false, isSession })
  return jsonAnswer(
    200,
    {
      access_token: issued.token,
      issued_token_type: ACCESS_TOKEN_TYPE,
      token_type: 'Bearer',
      expires_in: issued.expiresInSeconds,
      ...(isSession ? { username: CI_USERNAME } : { token: issued.token, scope: issued.scope }),
    },
    NO_STORE,
  )
}

async function principalOfBasic(
  runtime: RegionRuntime,
  exchange: Exchange,
  query: URLSearchParams,
): Promise<Principal> {
  // Only what a token is made from: a token that could be shown for a new one would never expire.
  if (/^\s*bearer\b/i.test(header(exchange.req, 'authorization') ?? '')) {
    throw new AuthenticationRequired(null, 'invalid_token', 'the token endpoint takes a key, not a token')
  }
  return authenticate(runtime, exchange, null, query.getAll('scope'))
}

async function principalOfForm(
  runtime: RegionRuntime,
  exchange: Exchange,
  form: URLSearchParams,
): Promise<Principal> {
  const { access } = runtime
  const { clientAddress, requestId } = exchange
  const wanted = form.getAll('scope')
  const grantType: string = form.get('grant_type') ?? ''
  switch (grantType) {
    case 'password': {
      const username = form.get('username') ?? ''
      const password = form.get('password') ?? ''
      return principalOf(
        runtime,
        await access.authenticatePassword({ username, password, clientAddress, wanted, requestId }),
        null,
      )
    }
    case 'refresh_token': {
      const refreshToken = form.get('refresh_token') ?? ''
      return principalOf(
        runtime,
        await access.authenticateRefreshToken({ refreshToken, clientAddress }),
        null,
      )
    }
    default:
      throw malformed(`grant_type must be password, refresh_token or ${EXCHANGE_GRANT}`)
  }
}

function malformed(message: string, status = 400): OciError {
  return new OciError('UNSUPPORTED', message, { status })
}

import { OciError } from '@berth/oci/errors'
import { parseScopes, type Scope } from '@berth/oci/scope'
import { parseMediaType } from '@berth/oci/media-type'
import type { Principal } from '../access/principal.ts'
import { type Answer, jsonAnswer } from './answer.ts'
import { AuthenticationRequired } from './challenge.ts'
import { type Exchange, header } from './exchange.ts'
import { authenticate, principalOf } from './grant.ts'
import { NO_STORE } from './headers.ts'
import { MAX_TOKEN_BODY_BYTES } from './limits.ts'
import { readBody } from './request-body.ts'
import type { RegionRuntime } from './runtime.ts'

const FORM = 'application/x-www-form-urlencoded'

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
  const principal =
    method === 'POST'
      ? await principalOfForm(runtime, exchange, form)
      : await principalOfBasic(runtime, exchange)
  const offline =
    method === 'POST' ? form.get('access_type') === 'offline' : form.get('offline_token') === 'true'
  const issued = await runtime.access.issueToken(principal, scopes, { offline })
  return jsonAnswer(
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

async function principalOfBasic(runtime: RegionRuntime, exchange: Exchange): Promise<Principal> {
  // Only what a token is made from: a token that could be shown for a new one would never expire.
  if (/^\s*bearer\b/i.test(header(exchange.req, 'authorization') ?? '')) {
    throw new AuthenticationRequired(null, 'invalid_token', 'the token endpoint takes a key, not a token')
  }
  return authenticate(runtime, exchange, null)
}

async function principalOfForm(
  runtime: RegionRuntime,
  exchange: Exchange,
  form: URLSearchParams,
): Promise<Principal> {
  const { access } = runtime
  const { clientAddress } = exchange
  const grantType: string = form.get('grant_type') ?? ''
  switch (grantType) {
    case 'password': {
      const username = form.get('username') ?? ''
      const password = form.get('password') ?? ''
      return principalOf(
        runtime,
        await access.authenticatePassword({ username, password, clientAddress }),
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
      throw malformed('grant_type must be password or refresh_token')
  }
}

function malformed(message: string, status = 400): OciError {
  return new OciError('UNSUPPORTED', message, { status })
}

import type { Outgoing, OutgoingRequest, OutgoingResponse } from '../outgoing/outgoing.ts'
import { discardBody, readJson } from '../outgoing/read-body.ts'
import {
  DEFAULT_TOKEN_LIFETIME_SECONDS,
  MAX_TOKEN_ANSWER_BYTES,
  MAX_TOKEN_BYTES,
  MAX_TOKEN_LIFETIME_SECONDS,
} from './limits.ts'
import { readRetryAfterSeconds } from './rate-limit.ts'
import type { Realm } from './realm.ts'
import type { UpstreamCredential } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

export interface UpstreamToken {
  readonly token: string
  readonly lifetimeSeconds: number
}

export interface TokenRequest {
  readonly outgoing: Outgoing
  readonly realm: Realm
  /** Null asks for no repository at all: whether the credentials are right. */
  readonly scope: string | null
  /** Null: an anonymous token. */
  readonly credential: UpstreamCredential | null
  readonly call: Pick<OutgoingRequest, 'timeoutMs' | 'signal' | 'account'>
}

const IDENTITY_TOKEN_USER = '<token>'
const CLIENT_ID = 'berth'

/**
 * Asks a token service that was accepted for this registry (docker token specification; with POST, OAuth 2 as docker
 * does it). A redirect is not followed: the service is where the registry said. Throws `UpstreamError`, `OutgoingError`.
 */
export async function requestToken(request: TokenRequest): Promise<UpstreamToken> {
  const { credential } = request
  if (credential?.username === IDENTITY_TOKEN_USER) {
    const form = { grant_type: 'refresh_token', refresh_token: credential.password }
    return readToken(await post(request, form), request)
  }
  const response = await get(request)
  if (credential !== null && (response.status === 404 || response.status === 405)) {
    discardBody(response)
    const { username, password } = credential
    return readToken(await post(request, { grant_type: 'password', username, password }), request)
  }
  return readToken(response, request)
}

/** The value of an Authorization header for Basic. */
export function basicAuthorization({ username, password }: UpstreamCredential): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function get({ outgoing, realm, scope, credential, call }: TokenRequest): Promise<OutgoingResponse> {
  const url = new URL(realm.url)
  if (realm.service !== null) url.searchParams.set('service', realm.service)
  if (scope !== null) url.searchParams.append('scope', scope)
  const headers: Record<string, string> = { accept: 'application/json' }
  if (credential !== null) headers['authorization'] = basicAuthorization(credential)
  return outgoing.request(url, { ...call, headers, maxBytes: MAX_TOKEN_ANSWER_BYTES })
}

function post(
  { outgoing, realm, scope, call }: TokenRequest,
  grant: Record<string, string>,
): Promise<OutgoingResponse> {
  const form = new URLSearchParams({ ...grant, client_id: CLIENT_ID })
  if (realm.service !== null) form.set('service', realm.service)
  if (scope !== null) form.set('scope', scope)
  const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
  return outgoing.request(realm.url, {
    ...call,
    method: 'POST',
    headers,
    body: form.toString(),
    maxBytes: MAX_TOKEN_ANSWER_BYTES,
  })
}

async function readToken(
  response: OutgoingResponse,
  { realm, credential, scope }: TokenRequest,
): Promise<UpstreamToken> {
  const { host } = realm.url
  if (response.status !== 200) {
    discardBody(response)
    throw refusal(response, host, { hadCredential: credential !== null, hadScope: scope !== null })
  }
  const answer = await readJson(response, host)
  const fields = (typeof answer === 'object' ? answer : null) as Record<string, unknown> | null
  const token = fields?.['token'] ?? fields?.['access_token']
  // What goes into a header must not be able to end it.
  if (typeof token !== 'string' || token.length > MAX_TOKEN_BYTES || !/^[\x21-\x7e]+$/.test(token)) {
    throw new UpstreamError({
      reason: 'bad_answer',
      message: `the token service ${host} answered without a usable token`,
      nextStep: 'Check that the host is that of a container registry.',
    })
  }
  return { token, lifetimeSeconds: lifetimeOf(fields?.['expires_in']) }
}

function lifetimeOf(seconds: unknown): number {
  if (typeof seconds !== 'number' || !(seconds > 0)) return DEFAULT_TOKEN_LIFETIME_SECONDS
  return Math.min(seconds, MAX_TOKEN_LIFETIME_SECONDS)
}

function refusal(
  response: OutgoingResponse,
  host: string,
  { hadCredential, hadScope }: { readonly hadCredential: boolean; readonly hadScope: boolean },
): UpstreamError {
  const { status } = response
  if (status === 429) {
    return new UpstreamError({
      reason: 'rate_limit',
      message: `the token service ${host} has had too many requests from here`,
      nextStep: 'Wait, then try again.',
      status,
      retryAfterSeconds: readRetryAfterSeconds(response.headers, Date.now()),
    })
  }
  if (status === 403 && hadScope && hadCredential) {
    return new UpstreamError({
      reason: 'rights',
      message: `${host} gives this account no token for this repository`,
      nextStep: 'Give the account, or the scope of its token, the right to pull from this repository.',
      status,
    })
  }
  if (status === 401 || status === 403) {
    return new UpstreamError({
      reason: 'credentials',
      message: hadCredential
        ? `${host} refuses this user name and password`
        : `${host} gives no token to somebody who is not signed in`,
      nextStep: hadCredential
        ? 'Check the user name, and make a new token if this one was revoked or has expired.'
        : 'Store a user name and token for this registry.',
      status,
    })
  }
  if (status >= 300 && status < 400) {
    return new UpstreamError({
      reason: 'redirect',
      message: `the token service ${host} sends to another place, where the credentials must not go`,
      nextStep: 'Whoever runs the registry must name the place where its tokens are really issued.',
      status,
    })
  }
  return new UpstreamError({
    reason: status >= 500 ? 'unavailable' : 'bad_answer',
    message: `the token service ${host} answered with status ${status}`,
    nextStep: status >= 500 ? 'Try again later.' : 'Check that the host is that of a container registry.',
    status,
  })
}

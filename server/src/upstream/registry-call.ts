import { type FollowedResponse, requestFollowing } from '../outgoing/follow-redirects.ts'
import type { Outgoing } from '../outgoing/outgoing.ts'
import { discardBody } from '../outgoing/read-body.ts'
import { REQUEST_TIMEOUT_MS } from './limits.ts'
import { readRetryAfterSeconds } from './rate-limit.ts'
import type { RegistryPlace } from './registry-place.ts'
import type { CallOptions } from './call-options.ts'
import type { SignIn } from './sign-in.ts'
import { toUpstreamError, UpstreamError } from './upstream-error.ts'

/** One request to the registry's API, signed in as far as it asks for that. */
export interface RegistryCall extends CallOptions {
  readonly method?: 'GET' | 'HEAD'
  /** Begins with `/v2/`. */
  readonly path: string
  /** What the token is asked for, such as `repository:library/alpine:pull`. */
  readonly scope: string | null
  readonly headers?: Readonly<Record<string, string>>
  readonly maxBytes: number
  readonly bodyTimeoutMs?: number
}

export interface RegistryCaller {
  /**
   * Answers with status 200, or one of `expected`; every other status is an `UpstreamError`. The credentials go to the
   * registry's own origin only: where it redirects to, nobody sees them.
   */
  call(call: RegistryCall, expected?: readonly number[]): Promise<FollowedResponse>
  /** The answer to an anonymous request, whatever it is. */
  probe(call: RegistryCall): Promise<FollowedResponse>
}

/** Calls one registry. */
export function createRegistryCaller(
  outgoing: Outgoing,
  place: RegistryPlace,
  signIn: SignIn,
): RegistryCaller {
  function send(call: RegistryCall, authorization: string | null): Promise<FollowedResponse> {
    const { path, scope: _, headers, timeoutMs = REQUEST_TIMEOUT_MS, ...request } = call
    return requestFollowing(outgoing, `${place.origin}${path}`, {
      ...request,
      timeoutMs,
      headers: authorization === null ? { ...headers } : { ...headers, authorization },
    })
  }

  async function signedIn(call: RegistryCall): Promise<FollowedResponse> {
    const before = await signIn.authorization(call.scope, call)
    const first = await send(call, before)
    // A challenge of the place that was redirected to is none of the registry's.
    if (first.status !== 401 || first.isElsewhere) return first
    discardBody(first)
    const authorization = await signIn.answer(first.headers['www-authenticate'], before, call.scope, call)
    return send(call, authorization)
  }

  return {
    async call(call, expected = []) {
      try {
        const response = await signedIn(call)
        if (response.status === 200 || expected.includes(response.status)) return response
        discardBody(response)
        throw refusal(response, place, signIn)
      } catch (error) {
        throw toUpstreamError(error)
      }
    },
    async probe(call) {
      try {
        return await send(call, null)
      } catch (error) {
        throw toUpstreamError(error)
      }
    },
  }
}

/** What a status that nobody expected means. */
export function refusal(response: FollowedResponse, place: RegistryPlace, signIn: SignIn): UpstreamError {
  const { status, headers } = response
  const host = response.isElsewhere ? `${response.url.host}, to which ${place.name} sends,` : place.name
  if (status === 429) {
    const retryAfterSeconds = readRetryAfterSeconds(headers, Date.now())
    return new UpstreamError({
      reason: 'rate_limit',
      message: `${host} has had too many requests from here${retryAfterSeconds === null ? '' : ` and takes more in ${retryAfterSeconds} s`}`,
      nextStep: 'Wait, or store an account that has a higher limit.',
      status,
      retryAfterSeconds,
    })
  }
  if (!response.isElsewhere && status === 401 && signIn.usesTokens === false) return signIn.refuse()
  if (!response.isElsewhere && (status === 401 || status === 403)) {
    return new UpstreamError({
      reason: 'rights',
      message: `${place.name} knows this account but does not let it read this`,
      nextStep: 'Give the account, or the scope of its token, the right to pull from this repository.',
      status,
    })
  }
  const isFault = status >= 500 || status === 408
  return new UpstreamError({
    reason: isFault ? 'unavailable' : 'bad_answer',
    message: `${host} answered with status ${status}`,
    nextStep: isFault ? 'Try again later.' : 'Check that the host is that of a container registry.',
    status,
    retryAfterSeconds: isFault ? readRetryAfterSeconds(headers, Date.now()) : null,
  })
}

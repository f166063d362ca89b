import type { FollowedResponse } from '../outgoing/follow-redirects.ts'
import { discardBody } from '../outgoing/read-body.ts'
import { MAX_SMALL_ANSWER_BYTES, TEST_TIMEOUT_MS } from './limits.ts'
import { pullScope } from './manifests.ts'
import { readRateLimit } from './rate-limit.ts'
import { type RegistryCall, type RegistryCaller, refusal } from './registry-call.ts'
import type { RegistryPlace } from './registry-place.ts'
import type { CallOptions } from './call-options.ts'
import type { SignIn } from './sign-in.ts'
import type { ConnectionCheck, ConnectionReport, UpstreamRateLimit } from './upstream.ts'
import { toUpstreamError, UpstreamError } from './upstream-error.ts'

export interface ConnectionTest {
  readonly caller: RegistryCaller
  readonly place: RegistryPlace
  readonly signIn: SignIn
  readonly hasCredential: boolean
  /** A repository, perhaps with `:tag`, whose right to pull is tested; null: none. */
  readonly repository: string | null
  readonly account: CallOptions
}

const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

/** Goes step by step until one fails, and says why in words and what to do. Throws only for faults of our own. */
export async function testConnection(test: ConnectionTest): Promise<ConnectionReport> {
  const checks: ConnectionCheck[] = []
  let step: ConnectionCheck['step'] = 'reach'
  let rateLimit: UpstreamRateLimit | null = null
  const pass = (message: string, next: ConnectionCheck['step']) => {
    checks.push({ step, ok: true, message })
    step = next
  }
  test.signIn.tryAgain()
  try {
    const answer = await test.caller.probe(pingCall(test))
    discardBody(answer)
    pass(`${test.place.name} answers`, 'registry')
    checkIsRegistry(answer, test)
    pass('it is a container registry', 'sign_in')
    pass(await signInStep(answer, test), 'repository')
    if (test.repository !== null) {
      const found = await repositoryStep(test.repository, test)
      rateLimit = found.rateLimit
      pass(found.message, 'repository')
    }
  } catch (thrown) {
    const error = toUpstreamError(thrown)
    if (!(error instanceof UpstreamError)) throw error
    checks.push({ step, ok: false, message: error.message })
    return { ...failed(error), checks, tokenHost: test.signIn.tokenHost, rateLimit }
  }
  const message = checks.at(-1)?.message ?? ''
  const tokenHost = test.signIn.tokenHost
  return {
    ok: true,
    reason: null,
    message,
    nextStep: null,
    checks,
    tokenHost,
    rateLimit,
    retryAfterSeconds: null,
  }
}

function failed(error: UpstreamError) {
  const { reason, message, nextStep, retryAfterSeconds } = error
  return { ok: false, reason, message, nextStep, retryAfterSeconds }
}

function pingCall({ account }: ConnectionTest): RegistryCall {
  return {
    ...account,
    path: '/v2/',
    scope: null,
    maxBytes: MAX_SMALL_ANSWER_BYTES,
    timeoutMs: TEST_TIMEOUT_MS,
  }
}

/** `/v2/` of a registry answers 200 or a challenge, itself, and no page for people. */
function checkIsRegistry(answer: FollowedResponse, { place, signIn }: ConnectionTest): void {
  if (answer.isElsewhere) {
    throw new UpstreamError({
      reason: 'redirect',
      message: `${place.name} sends to ${answer.url.host}; the credentials would not follow there`,
      nextStep: `If ${answer.url.host} is the registry that you mean, use it as the host.`,
      status: answer.status,
    })
  }
  const { status, headers } = answer
  const isPage = headers['content-type']?.toLowerCase().startsWith('text/html') === true
  const isChallenge = status === 401 && headers['www-authenticate'] !== undefined
  if ((status === 200 && !isPage) || isChallenge) return
  if (status === 429 || status >= 500) throw refusal(answer, place, signIn)
  throw new UpstreamError({
    reason: 'not_a_registry',
    message: `something answers at ${place.name}, but it is not a container registry (status ${status} for /v2/)`,
    nextStep: 'Check the host and port: they are what stands before the first slash of an image name.',
    status,
  })
}

async function signInStep(ping: FollowedResponse, test: ConnectionTest): Promise<string> {
  const { signIn, hasCredential, account, caller } = test
  if (ping.status === 200) {
    if (!hasCredential) return 'it serves everybody, without a sign-in'
    return 'it did not ask for a sign-in, so the credentials were not sent and could not be tested'
  }
  const call = { ...account, timeoutMs: TEST_TIMEOUT_MS }
  try {
    await signIn.answer(ping.headers['www-authenticate'], null, null, call)
  } catch (error) {
    // Without an account some services issue tokens for a named repository only.
    if (hasCredential || signIn.usesTokens !== true || !isCredentials(error)) throw error
    signIn.tryAgain()
    return 'it answers without an account; name a repository to test whether it can be pulled'
  }
  const answer = await caller.call(pingCall(test), [401, 403])
  discardBody(answer)
  if (answer.status === 200)
    return hasCredential ? 'the credentials are right' : 'it serves without an account'
  if (hasCredential && signIn.usesTokens === false) throw signIn.refuse()
  // A token without any right may be refused here and a better one be given for a repository.
  if (!hasCredential)
    return 'it answers without an account; name a repository to test whether it can be pulled'
  return 'the credentials are right'
}

async function repositoryStep(
  text: string,
  { caller, place, account }: ConnectionTest,
): Promise<{ message: string; rateLimit: UpstreamRateLimit | null }> {
  const colon = text.indexOf(':')
  const tag = colon === -1 ? null : text.slice(colon + 1)
  const repository = place.repository(colon === -1 ? text : text.slice(0, colon))
  if (repository === null) throw notFound(text, place)
  const common = { ...account, scope: pullScope(repository), timeoutMs: TEST_TIMEOUT_MS }
  const call: RegistryCall =
    tag === null
      ? { ...common, path: `/v2/${repository}/tags/list?n=1`, maxBytes: MAX_SMALL_ANSWER_BYTES * 64 }
      : {
          ...common,
          method: 'HEAD',
          path: `/v2/${repository}/manifests/${encodeURIComponent(tag)}`,
          headers: { accept: MANIFEST_TYPES },
          maxBytes: 0,
        }
  const answer = await caller.call(call, [404])
  discardBody(answer)
  if (answer.status === 404) throw notFound(text, place)
  return { message: `${text} can be pulled`, rateLimit: readRateLimit(answer.headers) }
}

function notFound(text: string, place: RegistryPlace): UpstreamError {
  return new UpstreamError({
    reason: 'rights',
    message: `${place.name} has no ${text}, or does not show it to this account`,
    nextStep: 'Check the name of the repository, and that the account may pull from it.',
    status: 404,
  })
}

function isCredentials(error: unknown): boolean {
  return error instanceof UpstreamError && error.reason === 'credentials'
}

import { LRUCache } from 'lru-cache'
import type { Outgoing } from '../outgoing/outgoing.ts'
import type { CallOptions } from './call-options.ts'
import type { CredentialSource } from './credential-source.ts'
import {
  MAX_CACHED_TOKENS,
  MAX_CACHED_TOKENS_BYTES,
  REFUSED_SIGN_IN_MS,
  REQUEST_TIMEOUT_MS,
  TOKEN_MARGIN_MS,
} from './limits.ts'
import { acceptRealm, type Realm } from './realm.ts'
import type { RegistryPlace, UpstreamEndpoints } from './registry-place.ts'
import { basicAuthorization, requestToken } from './token.ts'
import { UpstreamError } from './upstream-error.ts'
import { type Challenge, parseChallenges } from './www-authenticate.ts'

export interface SignInOptions {
  readonly outgoing: Outgoing
  readonly place: RegistryPlace
  readonly endpoints: UpstreamEndpoints
  readonly credentials: CredentialSource
}

type Learned = { readonly kind: 'basic' } | { readonly kind: 'bearer'; readonly realm: Realm }

const NO_SCOPE = ''

/** How one registry wants to be spoken to, learned from its challenges, with the tokens that it has issued. */
export class SignIn {
  readonly #options: SignInOptions
  readonly #tokens = new LRUCache<string, string>({
    max: MAX_CACHED_TOKENS,
    maxSize: MAX_CACHED_TOKENS_BYTES,
    sizeCalculation: (token, scope) => token.length + scope.length + 1,
  })
  readonly #running = new Map<string, Promise<string>>()
  #learned: Learned | null = null
  #refusal: { readonly error: UpstreamError; readonly untilMs: number } | null = null

  /** Knows nothing at first. */
  constructor(options: SignInOptions) {
    this.#options = options
  }

  /** Whether the registry asked for a token rather than for the password itself. Null: it has not asked. */
  get usesTokens(): boolean | null {
    return this.#learned === null ? null : this.#learned.kind === 'bearer'
  }

  /** Host of the token service, when it is another than the registry's. */
  get tokenHost(): string | null {
    if (this.#learned?.kind !== 'bearer') return null
    const { host } = this.#learned.realm.url
    return host === new URL(this.#options.place.origin).host ? null : host
  }

  /** What to send without having been asked: a cached token, Basic once that was asked for, else null. */
  async authorization(scope: string | null, call: CallOptions): Promise<string | null> {
    if (this.#learned === null) return null
    if (this.#learned.kind === 'basic') return this.#basic(call)
    return this.#token(this.#learned.realm, scope, call)
  }

  /**
   * The answer to a challenge of the registry's own host, `refused` being what was sent before. Throws `UpstreamError`:
   * `credentials` when there is nothing to sign in with or it was refused, `realm`, `not_a_registry`.
   */
  async answer(
    header: string | undefined,
    refused: string | null,
    scope: string | null,
    call: CallOptions,
  ): Promise<string> {
    const { place, endpoints, credentials } = this.#options
    const challenge = chooseChallenge(header, place)
    if (challenge.scheme === 'basic') {
      this.#learned = { kind: 'basic' }
      const authorization = await this.#basic(call)
      if (authorization !== refused) return authorization
      credentials.drop()
      throw this.refuse()
    }
    const realm = acceptRealm(challenge, place, endpoints)
    this.#learned = { kind: 'bearer', realm }
    if (this.#tokens.get(scope ?? NO_SCOPE) === refused) this.#tokens.delete(scope ?? NO_SCOPE)
    return this.#token(realm, scope, call)
  }

  /** Notes that the registry was shown the credentials and still asks for them; answers the error to throw. */
  refuse(): UpstreamError {
    const error = refusedCredentials(this.#options.place)
    this.#remember(error)
    return error
  }

  /** Forgets that a sign-in was refused lately. */
  tryAgain(): void {
    this.#refusal = null
  }

  async #basic(call: CallOptions): Promise<string> {
    this.#throwIfRefusedLately()
    const credential = await this.#options.credentials.load(call)
    if (credential === null) throw needsCredentials(this.#options.place)
    return basicAuthorization(credential)
  }

  /** One request for each scope at a time: a pull asks for many things at once, and services limit their tokens. */
  async #token(realm: Realm, scope: string | null, call: CallOptions): Promise<string> {
    const key = scope ?? NO_SCOPE
    const known = this.#tokens.get(key) ?? this.#running.get(key)
    if (known !== undefined) return known
    const mine = this.#requestToken(realm, scope, call).finally(() => this.#running.delete(key))
    this.#running.set(key, mine)
    return mine
  }

  async #requestToken(realm: Realm, scope: string | null, call: CallOptions): Promise<string> {
    this.#throwIfRefusedLately()
    const { outgoing, credentials } = this.#options
    const credential = await credentials.load(call)
    try {
      // Nothing else of the call that needs the token: neither its method nor its headers are the token's, and whoever
      // asked first may give up while others wait, so its signal does not end the request.
      const own = {
        timeoutMs: call.timeoutMs ?? REQUEST_TIMEOUT_MS,
        ...(call.account === undefined ? {} : { account: call.account }),
      }
      const issued = await requestToken({ outgoing, realm, scope, credential, call: own })
      const lifetimeMs = issued.lifetimeSeconds * 1000
      const ttl = Math.max(1, Math.floor(lifetimeMs - Math.min(TOKEN_MARGIN_MS, lifetimeMs / 10)))
      const authorization = `Bearer ${issued.token}`
      this.#tokens.set(scope ?? NO_SCOPE, authorization, { ttl })
      return authorization
    } catch (error) {
      // Without an account there is nothing that could be locked, and another repository may be public.
      if (credential !== null) this.#remember(error)
      throw error
    }
  }

  #remember(error: unknown): void {
    if (!(error instanceof UpstreamError) || error.reason !== 'credentials') return
    this.#refusal = { error, untilMs: performance.now() + REFUSED_SIGN_IN_MS }
  }

  #throwIfRefusedLately(): void {
    if (this.#refusal !== null && performance.now() < this.#refusal.untilMs) throw this.#refusal.error
  }
}

/** Bearer where both are offered: the password then goes to the token service only. */
function chooseChallenge(header: string | undefined, place: RegistryPlace): Challenge {
  const challenges = parseChallenges(header ?? '') ?? []
  const chosen =
    challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm')) ??
    challenges.find(({ scheme }) => scheme === 'basic')
  if (chosen !== undefined) return chosen
  throw new UpstreamError({
    reason: 'not_a_registry',
    message: `${place.name} asks for a sign-in that container registries do not use`,
    nextStep: 'Check that the host and port are those of a container registry.',
    status: 401,
  })
}

function needsCredentials(place: RegistryPlace): UpstreamError {
  return new UpstreamError({
    reason: 'credentials',
    message: `${place.name} asks for a user name and password, and none is stored`,
    nextStep: 'Store a user name and token for this registry.',
    status: 401,
  })
}

function refusedCredentials(place: RegistryPlace): UpstreamError {
  return new UpstreamError({
    reason: 'credentials',
    message: `${place.name} refuses this user name and password`,
    nextStep: 'Check the user name, and make a new token if this one was revoked or has expired.',
    status: 401,
  })
}

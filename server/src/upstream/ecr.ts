import type { ECRClient, ECRClientConfig } from '@aws-sdk/client-ecr'
import type { Outgoing } from '../outgoing/outgoing.ts'
import type { CallOptions } from './call-options.ts'
import { type CredentialSource, storedCredential } from './credential-source.ts'
import { type EcrRegistry, parseEcrHost } from './ecr-host.ts'
import { guardedHandler } from './guarded-handler.ts'
import { ECR_MARGIN_MS, ECR_MIN_LIFETIME_MS } from './limits.ts'
import type { RegistryPlace, UpstreamEndpoints } from './registry-place.ts'
import type { UpstreamCredential } from './upstream.ts'
import { toUpstreamError, UpstreamError } from './upstream-error.ts'

export interface CredentialSourceOptions {
  readonly outgoing: Outgoing
  readonly place: RegistryPlace
  readonly credential: UpstreamCredential | null
  readonly endpoints: UpstreamEndpoints
  readonly account?: string
}

// A long-lived access key. The user name AWS goes with a password that is already the exchanged one.
const ACCESS_KEY_ID = /^AKIA[A-Z0-9]{12,124}$/

/** The credential that the registry is shown: the stored one, or for ECR what its access key is exchanged for. */
export function credentialSource(options: CredentialSourceOptions): CredentialSource {
  const { credential, place } = options
  const registry = parseEcrHost(place.name)
  if (registry === null || credential === null || !ACCESS_KEY_ID.test(credential.username)) {
    return storedCredential(credential)
  }
  return new EcrExchange(registry, credential, options)
}

/**
 * Exchanges an access key for the registry's password, which lives twelve hours and is kept in memory until shortly before
 * its end. The secret key signs the request and never leaves the process; the request goes through the guard.
 */
class EcrExchange implements CredentialSource {
  readonly #registry: EcrRegistry
  readonly #key: UpstreamCredential
  readonly #options: CredentialSourceOptions
  #exchanged: { readonly credential: UpstreamCredential; readonly untilMs: number } | null = null
  #running: Promise<UpstreamCredential> | null = null

  constructor(registry: EcrRegistry, key: UpstreamCredential, options: CredentialSourceOptions) {
    this.#registry = registry
    this.#key = key
    this.#options = options
  }

  async load(_call: CallOptions): Promise<UpstreamCredential> {
    if (this.#exchanged !== null && performance.now() < this.#exchanged.untilMs) {
      return this.#exchanged.credential
    }
    this.#running ??= this.#exchange().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  drop(): void {
    this.#exchanged = null
  }

  async #exchange(): Promise<UpstreamCredential> {
    // Loaded at the first use: few installations have such a registry.
    const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr')
    const client: ECRClient = new ECRClient(this.#clientConfig())
    try {
      const answer = await client.send(new GetAuthorizationTokenCommand({}))
      const data = answer.authorizationData?.[0]
      const credential = parseAuthorization(data?.authorizationToken)
      if (credential === null) throw badAnswer(this.#registry)
      const lifetimeMs = (data?.expiresAt?.getTime() ?? 0) - Date.now() - ECR_MARGIN_MS
      const untilMs = performance.now() + Math.max(lifetimeMs, ECR_MIN_LIFETIME_MS)
      this.#exchanged = { credential, untilMs }
      return credential
    } catch (error) {
      throw ecrError(error, this.#registry)
    } finally {
      client.destroy()
    }
  }

  /** Everything stated, so that neither the environment nor a file of AWS's tools adds a key or another endpoint. */
  #clientConfig(): ECRClientConfig {
    const { outgoing, endpoints, account } = this.#options
    const api = new URL(this.#registry.apiOrigin)
    return {
      region: this.#registry.region,
      credentials: { accessKeyId: this.#key.username, secretAccessKey: this.#key.password },
      endpoint: endpoints.get(api.host) ?? api.origin,
      useFipsEndpoint: false,
      useDualstackEndpoint: false,
      maxAttempts: 2,
      retryMode: 'standard',
      defaultsMode: 'standard',
      requestHandler: guardedHandler(outgoing, account === undefined ? {} : { account }),
    }
  }
}

/** `AWS:<password>` in base64. */
function parseAuthorization(token: string | undefined): UpstreamCredential | null {
  const text = Buffer.from(token ?? '', 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 1 ? null : { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

const WRONG_KEY = new Set([
  'UnrecognizedClientException',
  'InvalidSignatureException',
  'InvalidClientTokenId',
  'SignatureDoesNotMatch',
  'IncompleteSignatureException',
  'MissingAuthenticationTokenException',
  'ExpiredTokenException',
])
const NO_RIGHT = new Set(['AccessDeniedException', 'AccessDenied', 'UnauthorizedOperation'])

function ecrError(error: unknown, { region }: EcrRegistry): unknown {
  const translated = toUpstreamError(error)
  if (translated instanceof UpstreamError || !(error instanceof Error)) return translated
  const where = `Amazon ECR in ${region}`
  if (WRONG_KEY.has(error.name)) {
    return new UpstreamError({
      reason: 'credentials',
      message: `${where} refuses this access key (${error.name})`,
      nextStep: 'Check the access key id and its secret key, and that the key is active.',
    })
  }
  if (NO_RIGHT.has(error.name)) {
    return new UpstreamError({
      reason: 'rights',
      message: `${where} does not let this access key sign in to its registry`,
      nextStep: 'Give the key’s user the policy AmazonEC2ContainerRegistryReadOnly.',
    })
  }
  if (error.name === 'ThrottlingException') {
    return new UpstreamError({
      reason: 'rate_limit',
      message: `${where} has had too many requests for this account`,
      nextStep: 'Wait, then try again.',
    })
  }
  // The SDK's own text may quote the answer; its name is enough.
  return new UpstreamError({
    reason: 'unavailable',
    message: `${where} gave no password for the registry (${/^\w{1,60}$/.test(error.name) ? error.name : 'unknown error'})`,
    nextStep: 'Try again later.',
  })
}

function badAnswer({ region }: EcrRegistry): UpstreamError {
  return new UpstreamError({
    reason: 'bad_answer',
    message: `Amazon ECR in ${region} answered without a password for the registry`,
    nextStep: 'Try again later.',
  })
}

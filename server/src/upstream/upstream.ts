import type { Readable } from 'node:stream'
import type { Descriptor } from '@berth/oci/descriptor'
import type { Digest } from '@berth/oci/digest'

export type UpstreamProvider = 'docker_hub' | 'ghcr' | 'custom'

/**
 * A user name and a password or token. User name `<token>`: the password is an identity token. For ECR: an access key id
 * and its secret key, which are exchanged for a registry password at use.
 */
export interface UpstreamCredential {
  readonly username: string
  readonly password: string
}

/** Why something could not be had from the other registry. */
export type UpstreamReason =
  | 'refused_address'
  | 'dns'
  | 'connect'
  | 'tls'
  | 'timeout'
  | 'redirect'
  | 'realm'
  | 'not_a_registry'
  | 'credentials'
  | 'rights'
  | 'rate_limit'
  | 'unavailable'
  | 'bad_answer'

/** What the other registry says about its pull limit. */
export interface UpstreamRateLimit {
  readonly limit: number
  readonly remaining: number | null
  readonly windowSeconds: number | null
}

export interface UpstreamManifest {
  /** Computed from the bytes. */
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
  readonly rateLimit: UpstreamRateLimit | null
}

/** What a HEAD request says; nothing of it is verified. */
export interface UpstreamManifestHead {
  readonly digest: Digest | null
  readonly mediaType: string
  readonly sizeBytes: number | null
  readonly rateLimit: UpstreamRateLimit | null
}

export interface UpstreamBlob {
  /** Null: the other registry did not say. */
  readonly sizeBytes: number | null
  /** Must be read or destroyed; the reader checks size and digest. Fails with `OutgoingError`. */
  readonly body: Readable
}

export interface UpstreamPage {
  readonly limit?: number
  /** `next` of the page before. */
  readonly cursor?: string | null
}

export interface UpstreamList {
  /** Valid names only; at most MAX_LIST_ENTRIES. */
  readonly names: readonly string[]
  readonly next: string | null
}

/** One step of a connection test. */
export interface ConnectionCheck {
  readonly step: 'reach' | 'registry' | 'sign_in' | 'repository'
  readonly ok: boolean
  readonly message: string
}

export interface ConnectionReport {
  readonly ok: boolean
  /** Null when all is well. */
  readonly reason: UpstreamReason | null
  readonly message: string
  /** What a person can do about it; null when all is well. */
  readonly nextStep: string | null
  /** In their order, up to the first that failed. */
  readonly checks: readonly ConnectionCheck[]
  /** Host that issues the registry's tokens, when it is not the registry's own. */
  readonly tokenHost: string | null
  readonly rateLimit: UpstreamRateLimit | null
  /** With `rate_limit`, when the other side says so. */
  readonly retryAfterSeconds: number | null
}

interface Abortable {
  readonly signal?: AbortSignal
}

/**
 * Another registry, with the credential that is stored for it. The credential reaches that registry's own host and the
 * token service that this host names over TLS, and nothing else. Keeps tokens in memory, so one client should be used
 * for as long as the record does not change. Except for `test`, everything throws `UpstreamError` or the signal's reason.
 */
export interface UpstreamClient {
  /** Finds out what works and what does not; never throws for the other side's faults. `repository` may have a `:tag`. */
  test(repository?: string): Promise<ConnectionReport>
  /** `reference` is a tag or a digest. Null: there is no such manifest. The bytes have the digest. */
  manifest(
    repository: string,
    reference: string,
    accept: readonly string[],
    options?: Abortable & { readonly ifNoneMatch?: Digest },
  ): Promise<UpstreamManifest | 'not_modified' | null>
  /** Does not count as a pull at Docker Hub. */
  headManifest(
    repository: string,
    reference: string,
    accept: readonly string[],
    options?: Abortable,
  ): Promise<UpstreamManifestHead | null>
  /** Null: there is no such blob. */
  blob(
    repository: string,
    digest: Digest,
    options: Abortable & { readonly maxBytes: number },
  ): Promise<UpstreamBlob | null>
  /** What refers to a digest: the first page of it. */
  referrers(repository: string, digest: Digest, options?: Abortable): Promise<readonly Descriptor[]>
  /** Null: there is no such repository. */
  tags(repository: string, page?: UpstreamPage & Abortable): Promise<UpstreamList | null>
  /** Null: this registry does not list its repositories. */
  catalog(page?: UpstreamPage & Abortable): Promise<UpstreamList | null>
}

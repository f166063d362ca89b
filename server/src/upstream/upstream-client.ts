import type { Outgoing } from '../outgoing/outgoing.ts'
import { testConnection } from './connection-test.ts'
import { credentialSource } from './ecr.ts'
import { fetchCatalog, fetchTags } from './lists.ts'
import { fetchBlob, fetchManifest, headManifest } from './manifests.ts'
import { fetchReferrers } from './referrers.ts'
import { createRegistryCaller } from './registry-call.ts'
import { registryPlace, type UpstreamEndpoints } from './registry-place.ts'
import { SignIn } from './sign-in.ts'
import type { UpstreamClient, UpstreamCredential, UpstreamProvider } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

export interface UpstreamClientOptions {
  readonly outgoing: Outgoing
  readonly provider: UpstreamProvider
  /** `host[:port]` of a custom registry; ignored for Docker Hub and GHCR. */
  readonly host: string
  /** Null: anonymous. */
  readonly credential: UpstreamCredential | null
  /** BERTH_UPSTREAM_ENDPOINTS. */
  readonly endpoints: UpstreamEndpoints
  /** Whose calls these are, such as a project's id: see `OutgoingRequest.account`. */
  readonly account?: string
}

/** A client for one registry record. Throws `UpstreamError` when the host is none. */
export function createUpstreamClient(options: UpstreamClientOptions): UpstreamClient {
  const { outgoing, endpoints } = options
  const place = registryPlace(options)
  if (place === null) throw noHost()
  const account = options.account === undefined ? {} : { account: options.account }
  const credentials = credentialSource({ ...options, place })
  const signIn = new SignIn({ outgoing, place, endpoints, credentials })
  const caller = createRegistryCaller(outgoing, place, signIn)

  return {
    async test(repository) {
      const hasCredential = options.credential !== null
      return testConnection({ caller, place, signIn, hasCredential, repository: repository ?? null, account })
    },
    async manifest(repository, reference, accept, call = {}) {
      const known = place.repository(repository)
      if (known === null) return null
      return fetchManifest(caller, place, { ...call, ...account, repository: known, reference, accept })
    },
    async headManifest(repository, reference, accept, call = {}) {
      const known = place.repository(repository)
      if (known === null) return null
      return headManifest(caller, place, { ...call, ...account, repository: known, reference, accept })
    },
    async blob(repository, digest, call) {
      const known = place.repository(repository)
      if (known === null) return null
      return fetchBlob(caller, place, { ...call, ...account, repository: known, digest })
    },
    async referrers(repository, digest, call = {}) {
      const known = place.repository(repository)
      return known === null ? [] : fetchReferrers(caller, place, known, digest, { ...call, ...account })
    },
    async tags(repository, page = {}) {
      const known = place.repository(repository)
      return known === null ? null : fetchTags(caller, place, known, { ...page, ...account })
    },
    async catalog(page = {}) {
      return fetchCatalog(caller, place, { ...page, ...account })
    },
  }
}

function noHost(): UpstreamError {
  return new UpstreamError({
    reason: 'refused_address',
    message: 'the registry has no valid host',
    nextStep: 'Give the host as registry.example.com or registry.example.com:5000.',
  })
}

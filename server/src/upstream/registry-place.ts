import { parseRepositoryName } from '@berth/oci/name'
import type { Outgoing } from '../outgoing/outgoing.ts'
import type { UpstreamProvider } from './upstream.ts'

/** Origins by the host whose place they take, as the operator maps them: `docker.io` → `https://127.0.0.1:5443`. */
export type UpstreamEndpoints = ReadonlyMap<string, string>

/** Where a registry is, and who may issue its tokens. */
export interface RegistryPlace {
  /** As people name it: `docker.io`, `ghcr.io`, or the host with its port. */
  readonly name: string
  /** `https://host[:port]`. */
  readonly origin: string
  /** The only origins that its token realm may have; null: any that the registry's own host names over TLS. */
  readonly realmOrigins: ReadonlySet<string> | null
  /** The name of a repository as the registry knows it, or null when it can be no name. */
  repository(name: string): string | null
}

const DOCKER_HUB_API = 'https://registry-1.docker.io'
const DOCKER_HUB_REALM_HOST = 'auth.docker.io'
const DOCKER_HUB_NAMES = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])

/**
 * The place of a third-party registry. `host` is what its record holds: `docker.io` and `ghcr.io` for those providers,
 * else `host[:port]`, which is spoken to in plain HTTP only where the operator said so. Null when it is no host.
 */
export function registryPlace(input: {
  readonly provider: UpstreamProvider
  readonly host: string
  readonly endpoints: UpstreamEndpoints
  readonly outgoing: Pick<Outgoing, 'usesPlainHttp'>
}): RegistryPlace | null {
  const { provider, endpoints } = input
  const host = input.host.toLowerCase()
  if (provider === 'docker_hub' || (provider === 'custom' && DOCKER_HUB_NAMES.has(host))) {
    const origin = endpoints.get('docker.io') ?? DOCKER_HUB_API
    const realm = endpoints.get(DOCKER_HUB_REALM_HOST) ?? `https://${DOCKER_HUB_REALM_HOST}`
    return {
      name: 'docker.io',
      origin,
      realmOrigins: new Set([origin, realm, `https://${DOCKER_HUB_REALM_HOST}`]),
      repository: (name) => parseRepositoryName(name.includes('/') ? name : `library/${name}`),
    }
  }
  if (provider === 'ghcr' || host === 'ghcr.io') {
    const origin = endpoints.get('ghcr.io') ?? 'https://ghcr.io'
    const realmOrigins = new Set([origin, 'https://ghcr.io'])
    return { name: 'ghcr.io', origin, realmOrigins, repository: parseRepositoryName }
  }
  const origin = endpoints.get(host) ?? customOrigin(host, input.outgoing)
  return origin === null ? null : { name: host, origin, realmOrigins: null, repository: parseRepositoryName }
}

/** The realm's own URL, or its place in the operator's map. */
export function mappedRealm(realm: URL, endpoints: UpstreamEndpoints): URL {
  const mapped = endpoints.get(realm.host)
  if (mapped === undefined) return realm
  // Part by part: a path that begins with two slashes, resolved against an origin, would name a host.
  const url = new URL(mapped)
  url.pathname = realm.pathname
  url.search = realm.search
  return url
}

function customOrigin(host: string, outgoing: Pick<Outgoing, 'usesPlainHttp'>): string | null {
  const url = URL.canParse(`https://${host}`) ? new URL(`https://${host}`) : null
  const isBare = url !== null && url.pathname === '/' && `${url.search}${url.hash}${url.username}` === ''
  if (url === null || !isBare || /[/\\?#@\s]/.test(host)) return null
  return outgoing.usesPlainHttp(host) ? new URL(`http://${host}`).origin : url.origin
}

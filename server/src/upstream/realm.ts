import { quoted } from '../outgoing/outgoing-error.ts'
import { mappedRealm, type RegistryPlace, type UpstreamEndpoints } from './registry-place.ts'
import { UpstreamError } from './upstream-error.ts'
import type { Challenge } from './www-authenticate.ts'

/** Where tokens are issued, and for which service. */
export interface Realm {
  readonly url: URL
  readonly service: string | null
}

/**
 * Decides whether the stored secret may go to the token service that a challenge names. The challenge must come from the
 * registry's own host. Over TLS that host may name another one, for Docker Hub and GHCR only theirs; a registry without
 * TLS may name itself only, since anybody on the way could have written the name. Throws `UpstreamError` (`realm`,
 * `not_a_registry`).
 */
export function acceptRealm(challenge: Challenge, place: RegistryPlace, endpoints: UpstreamEndpoints): Realm {
  const text = challenge.parameters.get('realm') ?? ''
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new UpstreamError({
      reason: 'not_a_registry',
      message: `${place.name} asks for a sign-in at something that is not a URL`,
      nextStep: 'Check that the host is that of a container registry.',
    })
  }
  url.hash = ''
  const isOwn = url.origin === place.origin
  if (url.username !== '' || url.password !== '') throw refused(place, url, 'in a URL with credentials')
  if (!isOwn && url.protocol !== 'https:') throw refused(place, url, 'without TLS')
  if (!isOwn && !place.origin.startsWith('https:')) throw refused(place, url, 'though it has no TLS itself')
  if (place.realmOrigins !== null && !place.realmOrigins.has(url.origin)) {
    throw refused(place, url, 'which is not where it issues tokens')
  }
  // The map is the operator's, for the registry itself and for what belongs to it; not for whatever it names.
  const isMapped = place.realmOrigins !== null || url.host === place.name
  return {
    url: isMapped ? mappedRealm(url, endpoints) : url,
    service: challenge.parameters.get('service') ?? null,
  }
}

function refused(place: RegistryPlace, realm: URL, why: string): UpstreamError {
  return new UpstreamError({
    reason: 'realm',
    message: `${place.name} asks to send the credentials to another host, ${quoted(realm.host)}, ${why}; nothing was sent there`,
    nextStep:
      'Make sure that this is the registry you mean. Whoever runs it must name a token service on its own host, or over TLS.',
  })
}

import { ApiError } from '@berth/api/errors'
import type { RegistryCreate } from '@berth/api/registries'
import type { ControlRuntime } from '../runtime.ts'

/** Kinds of third-party registries. */
export type Provider = RegistryCreate['provider']

const KNOWN: Readonly<Record<Exclude<Provider, 'custom'>, { host: string; name: string; slug: string }>> = {
  docker_hub: { host: 'docker.io', name: 'Docker Hub', slug: 'docker-hub' },
  ghcr: { host: 'ghcr.io', name: 'GitHub Container Registry', slug: 'ghcr' },
}

/** Hosts that mean Docker Hub, of which some answer and some do not. */
const DOCKER_HUB_HOSTS = ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']

// As the registries of private ECR are named; the public one takes no login of this kind.
const ECR_HOST = /^\d{12}\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?$/

/** What is filled in for a provider whose host is known; null for a custom one. */
export function knownProvider(provider: Provider): { host: string; name: string; slug: string } | null {
  return provider === 'custom' ? null : KNOWN[provider]
}

/** `ecr` for a private ECR registry, whose stored access key is exchanged at use. */
export function exchangeOf(host: string): 'ecr' | null {
  return ECR_HOST.test(host) ? 'ecr' : null
}

/**
 * The host of a registry that is connected or changed. Raises `validation_failed` for a host that is missing, that the
 * provider does not take, or that is this installation itself.
 */
export function checkHost(
  { regions, consoleUrl, sharedHost }: Pick<ControlRuntime, 'regions' | 'consoleUrl' | 'sharedHost'>,
  provider: Provider,
  host: string | undefined,
): string {
  const known = knownProvider(provider)
  if (known !== null) {
    if (host === undefined || host === known.host) return known.host
    throw wrongHost(`is always ${known.host} for ${known.name}; leave it out, or use the provider custom`)
  }
  if (host === undefined) throw wrongHost('is needed for a custom registry')
  if (DOCKER_HUB_HOSTS.includes(host)) throw wrongHost('is Docker Hub: use the provider docker_hub')
  if (host === KNOWN.ghcr.host) throw wrongHost('is GHCR: use the provider ghcr')
  const own = [...regions.values()].map(({ region }) => region.host)
  own.push(new URL(consoleUrl).host, ...(sharedHost === null ? [] : [sharedHost.host]))
  // A registry that pulls through itself would go round until a limit stops it.
  if (own.includes(host)) throw wrongHost('is this installation itself')
  return host
}

function wrongHost(message: string): ApiError {
  return new ApiError('validation_failed', `body.host: ${message}`, {
    errors: [{ path: 'body.host', message }],
  })
}

/** A slug made from a host: `registry-example-com`. Null when it has none of a-z and 0-9. */
export function slugOfHost(host: string): string | null {
  const slug = host
    .replace(/:\d+$/, '')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 50)
    .replaceAll(/^-+|-+$/g, '')
  return slug.length < 2 ? null : slug
}

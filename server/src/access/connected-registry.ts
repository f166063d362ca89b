import type { AccessRegistryRow } from '../metastore/region-schema.ts'
import type { ProjectId } from './project-id.ts'

/** A registry that a project has connected, as the region knows it. */
export interface ConnectedRegistry {
  readonly id: string
  readonly projectId: ProjectId
  /** First component, below the namespace, of what is pulled through it. */
  readonly slug: string
  readonly name: string
  readonly provider: 'docker_hub' | 'ghcr' | 'custom'
  readonly host: string
  readonly exchange: string | null
  /** Null: it is used without a login. */
  readonly login: SealedLogin | null
}

/** A login of which the region holds only what the vault has sealed. */
export interface SealedLogin {
  readonly username: string
  readonly sealed: string
  /** The project's key that it is sealed with, wrapped by a root key; null: it was destroyed. */
  readonly key: { readonly version: number; readonly rootId: string; readonly wrapped: string } | null
}

/** Whose a repository below a project's namespace is, by its path. */
export type PathOwner =
  /** The project's own: what was pushed. */
  | { readonly kind: 'own' }
  /** Content of a connected registry: its `name` there, and the `path` under which copies of it are kept here. */
  | {
      readonly kind: 'connected'
      readonly registry: ConnectedRegistry
      readonly name: string
      readonly path: string
    }
  /** Perhaps left from a registry that is not connected under this slug any more. */
  | { readonly kind: 'retired' }

/** Reads a registry's row. */
export function readConnectedRegistry(row: AccessRegistryRow): ConnectedRegistry {
  const { username, sealed_password: sealed, key_version: version, key_root_id: rootId } = row
  const key =
    version === null || rootId === null || row.wrapped_key === null
      ? null
      : { version, rootId, wrapped: row.wrapped_key }
  return {
    id: row.id,
    projectId: row.project_id as ProjectId,
    slug: row.slug,
    name: row.name,
    provider: row.provider,
    host: row.host,
    exchange: row.exchange,
    login: username === null || sealed === null ? null : { username, sealed, key },
  }
}

/** Decides by path whose a repository is. `registries` are by their slugs. */
export function pathOwner(
  registries: ReadonlyMap<string, ConnectedRegistry>,
  retiredSlugs: ReadonlySet<string>,
  path: string,
): PathOwner {
  if (registries.size === 0 && retiredSlugs.size === 0) return OWN
  const slash = path.indexOf('/')
  const slug = slash === -1 ? path : path.slice(0, slash)
  const registry = registries.get(slug)
  // A bare `<slug>` names no repository of the other registry, so it can only be the project's own.
  if (registry !== undefined && slash !== -1) {
    const name = fullName(registry, path.slice(slash + 1))
    return { kind: 'connected', registry, name, path: `${slug}/${name}` }
  }
  return retiredSlugs.has(slug) ? RETIRED : OWN
}

/** Docker Hub's own images have a name of one component, which is short for one below `library/`. */
function fullName({ provider, host }: ConnectedRegistry, name: string): string {
  const isDockerHub = provider === 'docker_hub' || DOCKER_HUB_HOSTS.has(host.toLowerCase())
  return isDockerHub && !name.includes('/') ? `library/${name}` : name
}

const DOCKER_HUB_HOSTS = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])
const OWN: PathOwner = { kind: 'own' }
const RETIRED: PathOwner = { kind: 'retired' }

import { OciError } from '@berth/oci/errors'
import type { RepositoryName } from '@berth/oci/name'
import type { ConnectedRegistry } from '../../access/connected-registry.ts'
import {
  type CachedRepository,
  isCachedRepository,
  loadCacheState,
} from '../../metastore/queries/cached-content.ts'
import type { Exchange } from '../exchange.ts'
import { actorOf, type Grant } from '../grant.ts'
import type { RepositoryRequest, RepositoryTarget } from '../request.ts'
import type { RegionRuntime } from '../runtime.ts'
import { CLEARING_RETRY_SECONDS } from './limits.ts'

/** A repository of a connected registry, and what is here of it. */
export interface ConnectedRepository {
  readonly registry: ConnectedRegistry
  /** As the registry calls it. */
  readonly name: string
  /** Where copies of it are kept: with the full name, where the request has a short one. */
  readonly target: RepositoryTarget
  readonly cached: CachedRepository
  /** Null: there is no copy of anything of it. */
  readonly repositoryId: number | null
}

/**
 * The connected repository that a granted request is about; null when it is one of the project's own. What the project
 * pushed below the slug before it connected the registry stays its own. Everything but reading is refused: what is at
 * these paths is what the other registry has. Throws DENIED, NAME_UNKNOWN, 503.
 */
export async function findConnectedRepository(
  { db }: RegionRuntime,
  { kind, repository }: Pick<RepositoryRequest, 'kind' | 'repository'>,
  { project }: Grant,
): Promise<ConnectedRepository | null> {
  const owner = project.ownerOf(repository.path)
  if (owner.kind === 'own') return null
  const isRead = READS.has(kind)
  if (owner.kind === 'retired') {
    if (!(await isCachedRepository(db.reader, project.id, repository.path))) return null
    if (isRead) throw new OciError('NAME_UNKNOWN')
    throw clearing(`copies of a registry that was connected as "${repository.path.split('/', 1)[0]}"`)
  }
  const { registry, name, path } = owner
  const { id, slug, provider, host } = registry
  const cached = { projectId: project.id, path, source: { id, slug, provider, host } }
  const state = await loadCacheState(db.reader, cached)
  if (state.kind === 'occupied') return null
  if (!isRead) throw reserved(registry)
  if (state.kind === 'stale') throw clearing(`copies of what "${slug}" stood for before`)
  const target = { ...repository, path, name: `${repository.namespace}/${path}` as RepositoryName }
  return { registry, name, target, cached, repositoryId: state.kind === 'cached' ? state.repositoryId : null }
}

const READS: ReadonlySet<RepositoryRequest['kind']> = new Set([
  'manifest-get',
  'blob-get',
  'tag-list',
  'referrers',
])

function reserved({ slug, name }: ConnectedRegistry): OciError {
  return new OciError(
    'DENIED',
    `"${slug}/" is reserved for what is pulled through the connected registry "${name}": push to another repository`,
    { detail: { registry: slug } },
  )
}

function clearing(what: string): OciError {
  return new OciError('UNKNOWN', `${what} are being removed; try again in a moment`, {
    status: 503,
    headers: { 'Retry-After': String(CLEARING_RETRY_SECONDS) },
  })
}

/** Whose pull makes a write of a copy necessary, and when. */
export function cacheWrite(
  { access, clock }: RegionRuntime,
  { requestId }: Exchange,
  { cached }: ConnectedRepository,
  { principal }: Grant,
) {
  const guard = access.writeGuard(principal)
  return { ...cached, guard, actor: actorOf(principal), requestId, nowMs: clock.nowMs() }
}

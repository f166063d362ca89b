import type { Digest } from '@berth/oci/digest'
import type { Decision } from '../access/decision.ts'
import { listPathsWithBlob, mountBlob } from '../metastore/queries/blob.ts'
import { type Answer, emptyAnswer } from './answer.ts'
import { AuthenticationRequired } from './challenge.ts'
import type { Exchange } from './exchange.ts'
import { type Grant, mountScope, writeContext } from './grant.ts'
import { NO_STORE } from './headers.ts'
import { MAX_MOUNT_CANDIDATES } from './limits.ts'
import { reservedPath, revoked } from './refusals.ts'
import type { RepositoryTarget } from './request.ts'
import type { RegionRuntime } from './runtime.ts'

/**
 * Mounts a blob from another repository of the same project, or without `from` from any that the caller may pull.
 * Null when it may not or cannot be done: the caller then answers as if no mount had been asked for, so that the
 * answer tells nothing about the source. Throws UNAUTHORIZED when a wider token of the same key would allow it.
 */
export async function mount(
  runtime: RegionRuntime,
  exchange: Exchange,
  { repository, from }: { repository: RepositoryTarget; from: RepositoryTarget | null },
  digest: Digest,
  grant: Grant,
): Promise<Answer | null> {
  const sourcePath =
    from === null
      ? await findSource(runtime, repository, digest, grant)
      : await namedSource(runtime, repository, from, grant)
  if (sourcePath === null) return null
  const result = await runtime.db.run(mountBlob, {
    ...writeContext(runtime, exchange, grant),
    path: repository.path,
    sourcePath,
    digest,
    leaseMs: runtime.limits.blobLeaseMs,
  })
  if (!result.ok && result.reason === 'revoked') throw revoked(repository, 'push')
  if (!result.ok && result.reason === 'reserved') throw reservedPath(repository)
  if (!result.ok) return null
  return emptyAnswer(201, {
    Location: `/v2/${repository.name}/blobs/${digest}`,
    'Docker-Content-Digest': digest,
    ...NO_STORE,
  })
}

/**
 * A token that was asked for before the mount often covers the target alone, while its key may pull from the source.
 * Then a challenge names both, as the client's next token will; what the key itself may not do stays 202.
 */
async function namedSource(
  runtime: RegionRuntime,
  repository: RepositoryTarget,
  from: RepositoryTarget,
  grant: Grant,
): Promise<string | null> {
  const decision = await decideSource(runtime, from, repository.namespace, grant)
  if (decision?.outcome === 'challenge') {
    throw new AuthenticationRequired(mountScope(repository, from), decision.error)
  }
  return decision?.outcome === 'allow' ? from.path : null
}

async function decideSource(
  runtime: RegionRuntime,
  { namespace, path }: RepositoryTarget,
  ownNamespace: string,
  { principal }: Grant,
): Promise<Decision | null> {
  if (namespace !== ownNamespace || path === '') return null
  return runtime.access.authorize(principal, { namespace, path, action: 'pull' })
}

async function findSource(
  runtime: RegionRuntime,
  repository: RepositoryTarget,
  digest: Digest,
  grant: Grant,
): Promise<string | null> {
  const projectId = grant.project.id
  const paths = await listPathsWithBlob(runtime.db.reader, { projectId, digest }, MAX_MOUNT_CANDIDATES)
  for (const path of paths) {
    const from = { ...repository, path }
    const decision = await decideSource(runtime, from, repository.namespace, grant)
    if (decision?.outcome === 'allow') return path
  }
  return null
}

import type { Digest } from '@berth/oci/digest'
import { listPathsWithBlob, mountBlob } from '../metastore/queries/blob.ts'
import { type Answer, emptyAnswer } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { type Grant, writeContext } from './grant.ts'
import { NO_STORE } from './headers.ts'
import { MAX_MOUNT_CANDIDATES } from './limits.ts'
import { revoked } from './refusals.ts'
import type { RepositoryTarget } from './request.ts'
import type { RegionRuntime } from './runtime.ts'

/**
 * Mounts a blob from another repository of the same project, or without `from` from any that the caller may pull.
 * Null when it may not or cannot be done: the caller then answers as if no mount had been asked for, so that the
 * answer tells nothing about the source.
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
      : await allowedSource(runtime, from, repository.namespace, grant)
  if (sourcePath === null) return null
  const result = await runtime.db.run(mountBlob, {
    ...writeContext(runtime, exchange, grant),
    path: repository.path,
    sourcePath,
    digest,
    leaseMs: runtime.limits.blobLeaseMs,
  })
  if (!result.ok && result.reason === 'revoked') throw revoked(repository, 'push')
  if (!result.ok) return null
  return emptyAnswer(201, {
    Location: `/v2/${repository.name}/blobs/${digest}`,
    'Docker-Content-Digest': digest,
    ...NO_STORE,
  })
}

async function allowedSource(
  runtime: RegionRuntime,
  from: RepositoryTarget,
  namespace: string,
  { principal }: Grant,
): Promise<string | null> {
  const { path } = from
  if (from.namespace !== namespace || path === '') return null
  const decision = await runtime.access.authorize(principal, { namespace, path, action: 'pull' })
  return decision.outcome === 'allow' ? path : null
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
    if ((await allowedSource(runtime, from, repository.namespace, grant)) !== null) return path
  }
  return null
}

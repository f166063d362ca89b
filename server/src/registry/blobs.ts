import { OciError } from '@berth/oci/errors'
import type { Digest } from '@berth/oci/digest'
import { deleteBlob, extendBlobLease, type FoundBlob, loadBlob } from '../metastore/queries/blob.ts'
import { type Answer, emptyAnswer } from './answer.ts'
import { deliverBlob } from './delivery.ts'
import type { Exchange } from './exchange.ts'
import { type Grant, writeContext } from './grant.ts'
import { NO_STORE } from './headers.ts'
import { EXTENDED_LEASE_MS, MIN_LEASE_LEFT_MS } from './limits.ts'
import type { RepositoryTarget } from './request.ts'
import { revoked } from './refusals.ts'
import type { RegionRuntime } from './runtime.ts'

interface BlobRequest {
  readonly repository: RepositoryTarget
  readonly digest: Digest
}

/** GET and HEAD of a blob. Errors: NAME_UNKNOWN, BLOB_UNKNOWN, 416. */
export async function getBlob(
  runtime: RegionRuntime,
  exchange: Exchange,
  { repository, digest }: BlobRequest,
  grant: Grant,
): Promise<Answer> {
  const { path } = repository
  const blob = await loadBlob(runtime.db.reader, { projectId: grant.project.id, path, digest })
  if (blob === 'no_repository') throw new OciError('NAME_UNKNOWN')
  if (blob === 'no_blob') throw new OciError('BLOB_UNKNOWN')
  if (exchange.req.method === 'HEAD') await keepForPush(runtime, repository, digest, grant, blob)
  return deliverBlob(runtime, exchange, { digest, isPublic: grant.project.isPublic(path) }, blob)
}

/**
 * Who may push and is told that a blob is here will refer to it without sending it again: so it must stay for a while.
 * Writes only when the lease is nearly over, and for the owner of a key only.
 */
async function keepForPush(
  runtime: RegionRuntime,
  { namespace, path }: RepositoryTarget,
  digest: Digest,
  { principal, project }: Grant,
  blob: FoundBlob,
): Promise<void> {
  const nowMs = runtime.clock.nowMs()
  if (blob.leasedUntil - nowMs >= MIN_LEASE_LEFT_MS || principal.kind !== 'key') return
  const decision = await runtime.access.authorize(principal, { namespace, path, action: 'push' })
  if (decision.outcome !== 'allow') return
  const outcome = await runtime.db.run(extendBlobLease, {
    projectId: project.id,
    repositoryId: blob.repositoryId,
    digest,
    leasedUntil: nowMs + EXTENDED_LEASE_MS,
  })
  if (outcome === 'not_found') throw new OciError('BLOB_UNKNOWN')
}

/** DELETE of a blob. Errors: NAME_UNKNOWN, BLOB_UNKNOWN, DENIED while a manifest refers to it. */
export async function removeBlob(
  runtime: RegionRuntime,
  exchange: Exchange,
  { repository, digest }: BlobRequest,
  grant: Grant,
): Promise<Answer> {
  const context = writeContext(runtime, exchange, grant)
  const result = await runtime.db.run(deleteBlob, { ...context, path: repository.path, digest })
  if (result.ok) return emptyAnswer(202, NO_STORE)
  switch (result.reason) {
    case 'revoked':
      throw revoked(repository, 'delete')
    case 'no_repository':
      throw new OciError('NAME_UNKNOWN')
    case 'no_blob':
      throw new OciError('BLOB_UNKNOWN')
    case 'referenced':
      throw new OciError(
        'DENIED',
        `manifest ${result.manifestDigest} refers to this blob; delete that manifest first`,
        { detail: { manifest: result.manifestDigest } },
      )
  }
}

import type { Digest } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import type { StorageKey } from '../blobstore/blobstore.ts'
import { commitBlob, type CommitBlobResult } from '../metastore/queries/blob.ts'
import { type Answer, emptyAnswer } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { type Grant, writeContext } from './grant.ts'
import { NO_STORE } from './headers.ts'
import { overQuota, quotaWarning, reservedPath, revoked, trashFull } from './refusals.ts'
import type { ServedRegion } from './region.ts'
import type { RepositoryTarget } from './request.ts'
import type { UploadContent } from './upload-content.ts'

/**
 * Makes checked content a blob of the repository: durable bytes first, then one transaction, then the answer. The same
 * work whether or not the content was here before; a second copy is removed afterwards.
 *
 * When the database fails after the bytes were stored, they stay: the transaction may have reached the disk. `fsck`
 * finds bytes that no row names.
 */
export async function commitUpload(
  region: ServedRegion,
  exchange: Exchange,
  repository: RepositoryTarget,
  grant: Grant,
  digest: Digest,
  content: UploadContent,
): Promise<Answer> {
  const sizeBytes = content.offsetBytes
  const storageKey =
    content.storageState === null
      ? null
      : await region.blobs.commitUpload(content.storageState, { digest, sizeBytes })
  const result = await region.db.run(commitBlob, {
    ...writeContext(region, exchange, grant),
    path: repository.path,
    digest,
    sizeBytes,
    storageKey,
    content: storageKey === null ? ownBytes(content.pending ?? new Uint8Array()) : null,
    leaseMs: region.limits.blobLeaseMs,
  })
  if (storageKey !== null && (!result.ok || result.known)) await removeCopy(region, storageKey)
  if (!result.ok) throw commitRefusal(result, repository, sizeBytes)
  region.metrics.blobBytes.inc({ direction: 'in' }, sizeBytes)
  return emptyAnswer(201, {
    Location: `/v2/${repository.name}/blobs/${digest}`,
    'Docker-Content-Digest': digest,
    ...quotaWarning(result.usage),
    ...NO_STORE,
  })
}

function commitRefusal(
  result: Extract<CommitBlobResult, { ok: false }>,
  repository: RepositoryTarget,
  sizeBytes: number,
): OciError {
  switch (result.reason) {
    case 'revoked':
      return revoked(repository, 'push')
    case 'project_deleted':
      return new OciError('NAME_UNKNOWN')
    case 'reserved':
      return reservedPath(repository)
    case 'over_quota':
      return overQuota(result.usage, sizeBytes)
    case 'trash_full':
      return trashFull(result.usage, sizeBytes)
  }
}

/** The bytes in a buffer of their own: a view into a larger one would be sent to the writer thread with all of it. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}

/** The answer stands whether or not this works: a copy that nobody names is only wasted space. */
async function removeCopy(region: ServedRegion, key: StorageKey): Promise<void> {
  try {
    await region.blobs.delete(key)
  } catch (error) {
    region.log.warn({ err: error, key }, 'a second copy of a blob could not be removed; fsck will find it')
  }
}

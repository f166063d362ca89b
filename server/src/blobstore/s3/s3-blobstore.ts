/**
 * Blobs in an S3-compatible object store. All names are below `prefix`.
 *
 *     blobs/<first 2 hex>/<upload id>-<generation>     committed bytes, never changed
 *     uploads/<upload id>/tail-<generation>            the last bytes of a chunk, too few for a part
 *     uploads/<upload id>/sealed-<generation>          joined parts of an upload that had to be read before its commit
 *     quarantine/<upload id>-<generation>              put aside by fsck
 *     ping                                             written and read by the readiness check
 *     (multipart uploads towards names in blobs/)
 *
 * S3 cannot rename, so an upload writes to its final name from the first part on; the digest, not known then, is no part
 * of it. The generation is random and new for each multipart upload and each object: no request, however late it
 * arrives, can change bytes that something else refers to. An upload that fits one part is one object (the tail) until
 * the commit copies it.
 *
 * The state of an upload is JSON: parts with their ETags, and the tail. Any replica goes on from it.
 *
 * Integrity: the signature of each request covers the SHA-256 of its body, which the store checks; a commit lists the
 * ETag of each part, and the size of the whole is compared after it.
 */
import type { Digest } from '@berth/oci/digest'
import type {
  BlobSource,
  BlobStore,
  BlobWriter,
  ByteRange,
  StorageKey,
  StoredBlob,
  UploadState,
} from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { ByteBudget } from '../byte-budget.ts'
import { blobStoreLimits } from '../limits.ts'
import type { BucketOptions } from './bucket.ts'
import { Bucket } from './bucket.ts'
import { BLOBS_PREFIX, parseBlobName, PING_NAME, UPLOADS_PREFIX, uploadIdIn } from './object-names.ts'
import { PartBuffers } from './part-buffers.ts'
import { largestPartBytes } from './part-sizes.ts'
import { objectStoreError, translated } from './s3-errors.ts'
import { S3Source } from './s3-source.ts'
import { S3Uploads } from './s3-uploads.ts'
import { copyObject } from './server-side-copy.ts'
import { formatProgress, newProgress } from './upload-progress.ts'

export interface S3BlobStoreOptions extends BucketOptions {
  /** Memory for part buffers; pass one to all stores of a process. */
  readonly writeBudget?: ByteBudget
  /** The size of the first part of a multipart upload; later ones grow with the upload. */
  readonly partBytes?: number
  /** Objects above this size are copied part by part. */
  readonly copyMaxBytes?: number
  /** Milliseconds since the epoch. */
  readonly nowMs?: () => number
}

/** A store in a bucket, which must exist. Makes no request: `ping` tells whether it can be used. */
export async function createS3BlobStore(options: S3BlobStoreOptions): Promise<BlobStore> {
  const partBytes = options.partBytes ?? blobStoreLimits.s3PartBytes
  const writeBudget = options.writeBudget ?? new ByteBudget(blobStoreLimits.s3WriteBudgetBytes)
  if (partBytes < blobStoreLimits.s3PartMinBytes || largestPartBytes(partBytes) > writeBudget.totalBytes) {
    throw new RangeError('parts must have at least 5 MiB, and the largest must fit the memory for uploads')
  }
  return new S3BlobStore(options, partBytes, writeBudget)
}

class S3BlobStore implements BlobStore {
  readonly driver = 's3'
  readonly #bucket: Bucket
  readonly #uploads: S3Uploads
  readonly #partBytes: number
  readonly #copyMaxBytes: number
  readonly #nowMs: () => number

  constructor(options: S3BlobStoreOptions, partBytes: number, writeBudget: ByteBudget) {
    this.#bucket = new Bucket(options)
    this.#partBytes = partBytes
    this.#copyMaxBytes = options.copyMaxBytes ?? blobStoreLimits.s3CopyMaxBytes
    this.#nowMs = options.nowMs ?? Date.now
    const buffers = new PartBuffers(writeBudget, partBytes)
    this.#uploads = new S3Uploads(this.#bucket, buffers, { copyMaxBytes: this.#copyMaxBytes })
  }

  async createUpload(uploadId: string): Promise<UploadState> {
    return formatProgress(newProgress(uploadId, this.#partBytes))
  }

  openWriter(state: UploadState, offsetBytes: number): Promise<BlobWriter> {
    return translated('opening an upload', () => this.#uploads.openWriter(state, offsetBytes))
  }

  openUpload(state: UploadState, offsetBytes: number): Promise<BlobSource | null> {
    return translated('reading an upload', () => this.#uploads.openForReading(state, offsetBytes))
  }

  commitUpload(state: UploadState, content: { digest: Digest; sizeBytes: number }): Promise<StorageKey> {
    return translated('committing an upload', () => this.#uploads.commit(state, content.sizeBytes))
  }

  cancelUpload(state: UploadState): Promise<void> {
    return translated('cancelling an upload', () => this.#uploads.cancel(state))
  }

  async open(key: StorageKey, range?: ByteRange): Promise<BlobSource | null> {
    const blob = parseBlobName(key)
    return blob && translated('opening a blob', () => this.#open(blob.key, range ?? null))
  }

  async #open(name: string, range: ByteRange | null): Promise<BlobSource | null> {
    const answer = await this.#bucket.get(name, range)
    if (answer === null) {
      return null
    }
    if (answer === 'beyond_end') {
      const stored = await this.#bucket.head(name)
      return stored && new S3Source(this.#bucket, name, stored.sizeBytes, null)
    }
    const { body, sizeBytes, totalBytes } = answer
    const start = range?.start ?? 0
    return new S3Source(this.#bucket, name, totalBytes, {
      body,
      range: { start, end: start + sizeBytes - 1 },
    })
  }

  async stat(key: StorageKey): Promise<StoredBlob | null> {
    const blob = parseBlobName(key)
    const stored = blob && (await translated('looking at a blob', () => this.#bucket.head(blob.key)))
    return stored && { key, sizeBytes: stored.sizeBytes, modifiedAt: stored.modifiedAt }
  }

  async delete(key: StorageKey): Promise<void> {
    const blob = parseBlobName(key)
    if (blob) {
      await translated('deleting a blob', () => this.#bucket.delete(blob.key))
    }
  }

  async quarantine(key: StorageKey): Promise<void> {
    const blob = parseBlobName(key)
    if (!blob) {
      return
    }
    await translated('moving a blob to the quarantine', async () => {
      const stored = await this.#bucket.head(blob.key)
      if (!stored) {
        return
      }
      const { sizeBytes } = stored
      await copyObject(this.#bucket, blob.key, blob.quarantineName, {
        sizeBytes,
        copyMaxBytes: this.#copyMaxBytes,
      })
      const copied = await this.#bucket.head(blob.quarantineName)
      if (copied?.sizeBytes !== sizeBytes) {
        throw new BlobStoreError('io', 'the copy in the quarantine has another size')
      }
      await this.#bucket.delete(blob.key)
    })
  }

  async *list(): AsyncGenerator<StoredBlob> {
    for await (const { name, sizeBytes, modifiedAt } of translatedAll(
      this.#bucket.listObjects(BLOBS_PREFIX),
    )) {
      const blob = parseBlobName(name)
      if (blob) {
        yield { key: blob.key, sizeBytes, modifiedAt }
      }
    }
  }

  async *listUploads(
    olderThanMs: number,
  ): AsyncGenerator<{ uploadId: string; state: UploadState; modifiedAt: number }> {
    const until = this.#nowMs() - olderThanMs
    const found = (uploadId: string, modifiedAt: number) => ({
      uploadId,
      // Enough to cancel it: that looks for all that begins with the upload's id.
      state: formatProgress(newProgress(uploadId, this.#partBytes)),
      modifiedAt,
    })
    for await (const { name, startedAt } of translatedAll(this.#bucket.listMultiparts(BLOBS_PREFIX))) {
      const blob = parseBlobName(name)
      if (blob && startedAt <= until) {
        yield found(blob.uploadId, startedAt)
      }
    }
    for await (const { name, modifiedAt } of translatedAll(this.#bucket.listObjects(UPLOADS_PREFIX))) {
      const uploadId = uploadIdIn(name)
      if (uploadId !== null && modifiedAt <= until) {
        yield found(uploadId, modifiedAt)
      }
    }
  }

  async presign(key: StorageKey, options: { expiresSeconds: number; fileName: string }): Promise<URL | null> {
    const blob = parseBlobName(key)
    if (!blob) {
      return null
    }
    const expiresSeconds = Math.min(options.expiresSeconds, blobStoreLimits.s3PresignMaxSeconds)
    const fileName = options.fileName.replaceAll(/[^A-Za-z0-9._-]/g, '_')
    return translated('signing a URL', () =>
      this.#bucket.presign(blob.key, expiresSeconds, `attachment; filename="${fileName}"`),
    )
  }

  filePath(): string | null {
    return null
  }

  async freeBytes(): Promise<number | null> {
    return null
  }

  async ping(): Promise<void> {
    await translated('asking the object store', async () => {
      await this.#bucket.put(PING_NAME, Buffer.from('ping'))
      const stored = await this.#bucket.head(PING_NAME)
      if (!stored) {
        throw new BlobStoreError('unavailable', 'the object store does not keep what it is given')
      }
    })
  }

  async close(): Promise<void> {
    await this.#uploads.close()
    this.#bucket.close()
  }
}

async function* translatedAll<T>(items: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    yield* items
  } catch (error) {
    throw objectStoreError('listing the bucket', error)
  }
}

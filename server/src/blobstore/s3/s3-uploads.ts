import type { BlobSource, BlobWriter, StorageKey, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { concatenated } from './concatenated-source.ts'
import type { Bucket } from './bucket.ts'
import { blobPrefixOf, newBlobName, sealedNameOf, uploadPrefixOf } from './object-names.ts'
import type { PartBuffer, PartBuffers } from './part-buffers.ts'
import { partSizeBytes } from './part-sizes.ts'
import { attemptsOf, isLostMultipart, isMissingObject } from './s3-errors.ts'
import { S3Source } from './s3-source.ts'
import { S3Writer } from './s3-writer.ts'
import { Turns } from '../turns.ts'
import { copyObject, multipartFrom } from './server-side-copy.ts'
import type { MultipartProgress, UploadProgress } from './upload-progress.ts'
import { cutProgress, multipartBytes, parseProgress, progressBytes } from './upload-progress.ts'

type StartedProgress = UploadProgress & { readonly multipart: MultipartProgress }

/** The life of an upload in the bucket, from its first writer to its commit or cancellation. Errors are the SDK's. */
export class S3Uploads {
  readonly #bucket: Bucket
  readonly #buffers: PartBuffers
  readonly #copyMaxBytes: number
  readonly #writers = new Map<string, S3Writer>()
  readonly #turns = new Turns()

  constructor(bucket: Bucket, buffers: PartBuffers, sizes: { copyMaxBytes: number }) {
    this.#bucket = bucket
    this.#buffers = buffers
    this.#copyMaxBytes = sizes.copyMaxBytes
  }

  async openWriter(state: UploadState, offsetBytes: number): Promise<BlobWriter> {
    const stored = parseProgress(state)
    return this.#turns.take(stored.uploadId, () => this.#openWriter(stored, offsetBytes))
  }

  async #openWriter(stored: UploadProgress, offsetBytes: number): Promise<BlobWriter> {
    await this.#shutOut(stored.uploadId)
    const wanted = cutProgress({ ...stored, obsolete: [] }, offsetBytes)
    const progress = await this.#revive(wanted)
    await this.#delete(stored.obsolete)
    const writer = new S3Writer({
      bucket: this.#bucket,
      buffers: this.#buffers,
      progress,
      head: progress.tail && (await this.#loadTail(progress, progress.tail)),
      ownsMultipart: progress !== wanted,
      onEnd: (ended) => {
        if (this.#writers.get(progress.uploadId) === ended) {
          this.#writers.delete(progress.uploadId)
        }
      },
    })
    this.#writers.set(progress.uploadId, writer)
    return writer
  }

  /**
   * Parts of a multipart upload cannot be read. So they are joined ("sealed") into an object first, and that is copied
   * to a name of the upload's own. Whoever goes on with the upload begins a new multipart upload with copies of it. The
   * joined object itself stays: if this upload was committed after all, by a request whose answer got lost, it is the
   * committed blob. Otherwise fsck finds an orphan. This happens only when a chunked upload moves to another replica.
   */
  async openForReading(state: UploadState, offsetBytes: number): Promise<BlobSource | null> {
    const stored = parseProgress(state)
    return this.#turns.take(stored.uploadId, () => this.#openForReading(cutProgress(stored, offsetBytes)))
  }

  async #openForReading(progress: UploadProgress): Promise<BlobSource | null> {
    const sources: S3Source[] = []
    if (isStarted(progress)) {
      const sealed = await this.#seal(progress)
      if (!sealed) {
        return null
      }
      sources.push(new S3Source(this.#bucket, sealed, multipartBytes(progress), null))
    }
    if (progress.tail) {
      const stored = await this.#bucket.head(progress.tail.name)
      if (!stored) {
        return null
      }
      sources.push(new S3Source(this.#bucket, progress.tail.name, progress.tail.sizeBytes, null))
    }
    return concatenated(sources)
  }

  async commit(state: UploadState, sizeBytes: number): Promise<StorageKey> {
    const progress = parseProgress(state)
    return this.#turns.take(progress.uploadId, () => this.#commit(progress, sizeBytes))
  }

  async #commit(progress: UploadProgress, sizeBytes: number): Promise<StorageKey> {
    await this.#shutOut(progress.uploadId)
    if (progressBytes(progress) !== sizeBytes) {
      throw new BlobStoreError('upload_lost', `${progressBytes(progress)} bytes are stored, not ${sizeBytes}`)
    }
    const key = isStarted(progress) ? await this.#commitParts(progress) : await this.#commitSmall(progress)
    const stored = await this.#bucket.head(key)
    if (stored?.sizeBytes !== sizeBytes) {
      await this.#bucket.delete(key)
      throw new BlobStoreError(
        'corrupt',
        `the object store keeps ${stored?.sizeBytes ?? 'no'} bytes of ${sizeBytes}`,
      )
    }
    await this.#delete(leftoversOf(progress)).catch(() => {}) // The sweeper finds them.
    return key
  }

  async cancel(state: UploadState): Promise<void> {
    const progress = parseProgress(state)
    return this.#turns.take(progress.uploadId, () => this.#cancel(progress))
  }

  async #cancel({ uploadId, multipart }: UploadProgress): Promise<void> {
    await this.#shutOut(uploadId)
    if (multipart) {
      await this.#bucket.abortMultipart(multipart.name, multipart.multipartId)
    }
    for await (const { name, multipartId } of this.#bucket.listMultiparts(blobPrefixOf(uploadId))) {
      await this.#bucket.abortMultipart(name, multipartId)
    }
    for await (const { name } of this.#bucket.listObjects(uploadPrefixOf(uploadId))) {
      await this.#bucket.delete(name)
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#writers.keys()].map((uploadId) => this.#shutOut(uploadId)))
  }

  async #shutOut(uploadId: string): Promise<void> {
    const reason = new BlobStoreError('upload_lost', 'another request took over the upload')
    await this.#writers.get(uploadId)?.shutOut(reason)
  }

  /** Everything fits one part: it is the tail, or nothing at all. */
  async #commitSmall(progress: UploadProgress): Promise<StorageKey> {
    const key = newBlobName(progress.uploadId)
    try {
      if (progress.tail) {
        await this.#bucket.copy(progress.tail.name, key, progress.tail.sizeBytes)
      } else {
        await this.#bucket.put(key, new Uint8Array())
      }
    } catch (error) {
      if (isMissingObject(error)) {
        throw new BlobStoreError('upload_lost', 'the bytes of the upload are gone', error)
      }
      // The request may have been carried out. Nobody else will ever use this name, and the client does not wait for it.
      void this.#bucket.delete(key).catch(() => {})
      throw error
    }
    return key
  }

  /**
   * Completing a multipart upload twice succeeds on AWS and others, and would give its name to two commits. The caller
   * of one may delete it while a row of the other refers to it. So a name that has an object is never completed again.
   */
  async #commitParts(progress: StartedProgress): Promise<StorageKey> {
    if ((await this.#bucket.head(progress.multipart.name)) === null) {
      return this.#completeParts(progress)
    }
    // Committed before, or joined to be read.
    const revived = await this.#fromSealed(progress)
    if (!revived) {
      throw new BlobStoreError('upload_lost', 'the upload was committed already')
    }
    const key = await this.#completeParts(revived)
    await this.#delete(revived.obsolete).catch(() => {})
    return key
  }

  async #completeParts(progress: StartedProgress): Promise<StorageKey> {
    const { name, multipartId } = progress.multipart
    const etags = [...progress.multipart.etags]
    if (progress.tail) {
      etags.push(await this.#uploadTail(progress, progress.tail))
    }
    try {
      await this.#bucket.completeMultipart(name, multipartId, etags)
    } catch (error) {
      // A missing upload after more than one attempt: the first one completed it, and its answer got lost.
      if (isMissingObject(error) && attemptsOf(error) > 1 && (await this.#bucket.head(name)) !== null) {
        return name
      }
      throw partsError(error)
    }
    return name
  }

  async #uploadTail(progress: StartedProgress, tail: { name: string; sizeBytes: number }): Promise<string> {
    const { name, multipartId, etags } = progress.multipart
    const { buffer, filledBytes } = await this.#loadTail(progress, tail)
    const bytes = buffer.bytes.subarray(0, filledBytes)
    try {
      const etag = await this.#bucket.uploadPart(name, multipartId, etags.length + 1, bytes)
      buffer.release()
      return etag
    } catch (error) {
      buffer.forget()
      throw partsError(error)
    }
  }

  /** Makes sure that there is a multipart upload to go on with. */
  async #revive(progress: UploadProgress): Promise<UploadProgress> {
    if (!isStarted(progress)) {
      return progress
    }
    const { name, multipartId } = progress.multipart
    if (await this.#bucket.multipartExists(name, multipartId)) {
      return progress
    }
    const revived = await this.#fromSealed(progress)
    if (!revived) {
      throw new BlobStoreError('upload_lost', 'the multipart upload is gone')
    }
    return revived
  }

  /** Joins the parts into an object of the upload's own. Null when they are gone. */
  async #seal(progress: StartedProgress): Promise<string | null> {
    const { name, multipartId, etags } = progress.multipart
    const sizeBytes = multipartBytes(progress)
    const sealedName = sealedNameOf(progress.uploadId, name)
    if ((await this.#bucket.head(sealedName))?.sizeBytes === sizeBytes) {
      return sealedName
    }
    try {
      await this.#bucket.completeMultipart(name, multipartId, etags)
    } catch (error) {
      const joined = isLostMultipart(error) ? await this.#bucket.head(name) : null
      if (joined?.sizeBytes !== sizeBytes) {
        if (isLostMultipart(error)) {
          return null
        }
        throw error
      }
    }
    await copyObject(this.#bucket, name, sealedName, { sizeBytes, copyMaxBytes: this.#copyMaxBytes })
    return sealedName
  }

  /** Begins a multipart upload with the parts that were sealed. Null when they were not. */
  async #fromSealed(progress: StartedProgress): Promise<StartedProgress | null> {
    const sealedName = sealedNameOf(progress.uploadId, progress.multipart.name)
    const sealed = await this.#bucket.head(sealedName)
    if (sealed?.sizeBytes !== multipartBytes(progress)) {
      return null
    }
    const name = newBlobName(progress.uploadId)
    const sizes = { parts: progress.multipart.etags.length, basePartBytes: progress.basePartBytes }
    const started = await multipartFrom(this.#bucket, sealedName, name, sizes)
    return { ...progress, multipart: { name, ...started }, obsolete: [...progress.obsolete, sealedName] }
  }

  /** Reads the tail into the buffer of the part that it will begin. */
  async #loadTail(
    progress: UploadProgress,
    tail: { name: string; sizeBytes: number },
  ): Promise<{ buffer: PartBuffer; filledBytes: number }> {
    const partBytes = partSizeBytes(progress.multipart?.etags.length ?? 0, progress.basePartBytes)
    if (partBytes === null || partBytes < tail.sizeBytes) {
      throw new BlobStoreError('upload_lost', 'the end of the upload is larger than a part')
    }
    const never = new AbortController().signal
    const buffer = await this.#buffers.take(partBytes, never)
    let filledBytes = 0
    const sink = {
      async write(chunk: Uint8Array) {
        buffer.bytes.set(chunk, filledBytes)
        filledBytes += chunk.byteLength
      },
    }
    const source = new S3Source(this.#bucket, tail.name, tail.sizeBytes, null)
    try {
      await source.pump(sink, { start: 0, end: tail.sizeBytes - 1 }, never)
    } catch (error) {
      buffer.forget()
      throw error instanceof BlobStoreError && error.reason === 'corrupt'
        ? new BlobStoreError('upload_lost', 'the end of the upload is gone', error)
        : error
    } finally {
      await source.close()
    }
    return { buffer, filledBytes }
  }

  async #delete(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#bucket.delete(name)))
  }
}

function partsError(error: unknown): unknown {
  return isLostMultipart(error)
    ? new BlobStoreError('upload_lost', 'the parts of the upload are gone', error)
    : error
}

function isStarted(progress: UploadProgress): progress is StartedProgress {
  return progress.multipart !== null
}

/** Objects that only an unfinished upload needs. */
function leftoversOf(progress: UploadProgress): string[] {
  const names = [...progress.obsolete]
  if (progress.multipart) {
    names.push(sealedNameOf(progress.uploadId, progress.multipart.name))
  }
  if (progress.tail) {
    names.push(progress.tail.name)
  }
  return names
}

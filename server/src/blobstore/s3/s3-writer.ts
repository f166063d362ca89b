import type { BlobWriter, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { blobStoreLimits } from '../limits.ts'
import type { Bucket } from './bucket.ts'
import { newBlobName, newTailName } from './object-names.ts'
import type { PartBuffer, PartBuffers } from './part-buffers.ts'
import { partSizeBytes } from './part-sizes.ts'
import { isMissingObject, objectStoreError } from './s3-errors.ts'
import type { MultipartProgress, UploadProgress } from './upload-progress.ts'
import { formatProgress } from './upload-progress.ts'

export interface S3WriterOptions {
  readonly bucket: Bucket
  readonly buffers: PartBuffers
  /** What is there already. The writer's own tail replaces the one in it. */
  readonly progress: UploadProgress
  /** The first bytes of the next part: those of the tail. The writer owns the buffer from here on. */
  readonly head: { readonly buffer: PartBuffer; readonly filledBytes: number } | null
  /** The multipart upload in `progress` was begun for this writer, so it must not outlive its failure. */
  readonly ownsMultipart: boolean
  readonly onEnd: (writer: S3Writer) => void
}

/**
 * Fills part buffers and sends each full one as a part, a few at a time. What is left in the last buffer when the writer
 * is closed becomes an object of its own, the tail, which the next writer begins with.
 *
 * A part that is sent again after a lost chunk gets the number of the first one and replaces it. Should the first
 * request arrive late all the same, the ETag that is stored no longer fits, and the commit fails: never wrong bytes.
 */
export class S3Writer implements BlobWriter {
  readonly #options: S3WriterOptions
  readonly #stop = new AbortController()
  readonly #etags: string[]
  readonly #inFlight = new Set<Promise<void>>()
  #multipart: Promise<{ name: MultipartProgress['name']; multipartId: string }> | null = null
  #buffer: PartBuffer | null
  #filledBytes: number
  #changed = false
  /** Chunks that could not be copied at once, in order. Never rejects. */
  #placing: Promise<void> | null = null
  #failure: BlobStoreError | null = null
  #ended = false

  constructor(options: S3WriterOptions) {
    this.#options = options
    const { multipart } = options.progress
    this.#etags = [...(multipart?.etags ?? [])]
    this.#multipart = multipart && Promise.resolve(multipart)
    this.#buffer = options.head?.buffer ?? null
    this.#filledBytes = options.head?.filledBytes ?? 0
  }

  append(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#failure || this.#ended) {
      return Promise.reject(this.#failure ?? new BlobStoreError('upload_lost', 'the writer is closed'))
    }
    this.#changed = true
    if (
      !this.#placing &&
      this.#buffer &&
      this.#filledBytes + chunk.byteLength < this.#buffer.bytes.byteLength
    ) {
      this.#copyIn(chunk)
      return undefined
    }
    const before = this.#placing
    const placing = (async () => {
      await before
      await this.#place(chunk).catch((error: unknown) => this.#fail(error))
    })()
    this.#placing = placing
    return placing.then(() => {
      if (this.#placing === placing) {
        this.#placing = null
      }
      if (this.#failure) {
        throw this.#failure
      }
    })
  }

  async close(): Promise<UploadState> {
    if (this.#ended) {
      throw this.#failure ?? new BlobStoreError('upload_lost', 'the writer is closed')
    }
    this.#ended = true
    await this.#settle()
    let state: UploadState | null = null
    if (!this.#failure) {
      state = await this.#save().catch((error: unknown) => {
        this.#fail(error)
        return null
      })
    }
    await this.#end(state === null)
    if (state === null) {
      throw this.#failure ?? new BlobStoreError('io', 'the upload could not be saved')
    }
    return state
  }

  async abort(): Promise<void> {
    await this.shutOut(new BlobStoreError('upload_lost', 'the upload was aborted'))
  }

  /** Makes every later call fail with `reason`, and resolves when no request is under way any more. */
  async shutOut(reason: BlobStoreError): Promise<void> {
    this.#fail(reason)
    await this.#settle()
    if (!this.#ended) {
      this.#ended = true
      await this.#end(true)
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= isMissingObject(error)
      ? new BlobStoreError('upload_lost', 'the multipart upload is gone', error)
      : objectStoreError('writing an upload', error)
    this.#stop.abort(this.#failure)
  }

  #copyIn(chunk: Uint8Array): number {
    const target = this.#buffer
    if (!target) {
      return 0
    }
    const length = Math.min(chunk.byteLength, target.bytes.byteLength - this.#filledBytes)
    target.bytes.set(chunk.subarray(0, length), this.#filledBytes)
    this.#filledBytes += length
    return length
  }

  async #place(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.byteLength > 0) {
      this.#stop.signal.throwIfAborted()
      if (!this.#buffer) {
        const sizeBytes = partSizeBytes(this.#etags.length, this.#options.progress.basePartBytes)
        if (sizeBytes === null) {
          throw new BlobStoreError('full', 'the upload is larger than an object can be')
        }
        this.#buffer = await this.#options.buffers.take(sizeBytes, this.#stop.signal)
        this.#filledBytes = 0
      }
      rest = rest.subarray(this.#copyIn(rest))
      if (this.#filledBytes === this.#buffer.bytes.byteLength) {
        await this.#sendPart(this.#buffer)
      }
    }
  }

  async #sendPart(buffer: PartBuffer): Promise<void> {
    while (this.#inFlight.size >= blobStoreLimits.s3PartsInFlightMax) {
      await Promise.race(this.#inFlight)
    }
    this.#stop.signal.throwIfAborted()
    this.#buffer = null
    const index = this.#etags.push('') - 1
    const sending = this.#uploadPart(buffer, index).catch((error: unknown) => this.#fail(error))
    this.#inFlight.add(sending)
    void sending.then(() => this.#inFlight.delete(sending))
  }

  async #uploadPart(buffer: PartBuffer, index: number): Promise<void> {
    try {
      this.#multipart ??= this.#startMultipart()
      const { name, multipartId } = await this.#multipart
      const { bucket } = this.#options
      this.#etags[index] = await bucket.uploadPart(
        name,
        multipartId,
        index + 1,
        buffer.bytes,
        this.#stop.signal,
      )
    } catch (error) {
      buffer.forget()
      throw error
    }
    buffer.release()
  }

  async #startMultipart(): Promise<{ name: MultipartProgress['name']; multipartId: string }> {
    const name = newBlobName(this.#options.progress.uploadId)
    return { name, multipartId: await this.#options.bucket.createMultipart(name) }
  }

  /** Waits until nothing is under way. */
  async #settle(): Promise<void> {
    while (this.#placing || this.#inFlight.size > 0) {
      const placing = this.#placing
      await placing
      if (this.#placing === placing) {
        this.#placing = null
      }
      await Promise.all(this.#inFlight)
    }
  }

  async #save(): Promise<UploadState> {
    const { progress } = this.#options
    if (!this.#changed) {
      return formatProgress(progress)
    }
    const started = await this.#multipart
    const tail = await this.#saveTail()
    return formatProgress({
      ...progress,
      multipart: started && { name: started.name, multipartId: started.multipartId, etags: this.#etags },
      tail,
      obsolete: progress.tail ? [...progress.obsolete, progress.tail.name] : progress.obsolete,
    })
  }

  async #saveTail(): Promise<UploadProgress['tail']> {
    if (!this.#buffer || this.#filledBytes === 0) {
      return null
    }
    const { bucket, progress } = this.#options
    const name = newTailName(progress.uploadId)
    await bucket.put(name, this.#buffer.bytes.subarray(0, this.#filledBytes), this.#stop.signal)
    return { name, sizeBytes: this.#filledBytes }
  }

  async #end(failed: boolean): Promise<void> {
    if (failed) {
      this.#buffer?.forget()
      await this.#dropOwnMultipart()
    } else {
      this.#buffer?.release()
    }
    this.#buffer = null
    this.#options.onEnd(this)
  }

  /** The state before does not know of it. A failure here leaves it to the sweeper. */
  async #dropOwnMultipart(): Promise<void> {
    const { progress, ownsMultipart } = this.#options
    const isOwn = ownsMultipart || progress.multipart === null
    const started = isOwn ? await this.#multipart?.catch(() => null) : null
    if (started) {
      await this.#options.bucket.abortMultipart(started.name, started.multipartId).catch(() => {})
    }
  }
}

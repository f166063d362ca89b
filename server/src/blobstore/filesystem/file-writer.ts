import type { FileHandle } from 'node:fs/promises'
import type { BlobWriter, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { blobStoreLimits } from '../limits.ts'
import { fileError } from './file-system.ts'
import type { WriteShare } from './write-share.ts'

/**
 * Gathers chunks and writes them with one `writev`, at most one at a time, while the next ones gather. Positions are
 * its own, so a write is never affected by another user of the file.
 */
export class FileWriter implements BlobWriter {
  readonly #handle: FileHandle
  readonly #share: WriteShare
  readonly #state: UploadState
  readonly #onEnd: (writer: FileWriter) => void
  #positionBytes: number
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #writing: Promise<void> | null = null
  #failure: BlobStoreError | null = null
  #ended = false

  constructor(
    handle: FileHandle,
    offsetBytes: number,
    state: UploadState,
    share: WriteShare,
    onEnd: (writer: FileWriter) => void,
  ) {
    this.#handle = handle
    this.#positionBytes = offsetBytes
    this.#state = state
    this.#share = share
    this.#onEnd = onEnd
    share.join()
  }

  append(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#failure || this.#ended) {
      return Promise.reject(this.#failure ?? new BlobStoreError('upload_lost', 'the writer is closed'))
    }
    if (chunk.byteLength === 0) {
      return undefined
    }
    this.#queue.push(chunk)
    this.#queuedBytes += chunk.byteLength
    if (!this.#hasEnough()) {
      return undefined
    }
    if (!this.#writing) {
      this.#startWrite()
      return undefined
    }
    return this.#writing.then(() => {
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
    try {
      while (!this.#failure && (this.#writing || this.#queuedBytes > 0)) {
        if (!this.#writing) {
          this.#startWrite()
        }
        await this.#writing
      }
    } finally {
      this.#end()
    }
    if (this.#failure) {
      throw this.#failure
    }
    return this.#state
  }

  async abort(): Promise<void> {
    await this.shutOut(new BlobStoreError('upload_lost', 'the upload was aborted'))
  }

  /** Makes every later call fail with `reason`, and resolves when no write is under way any more. */
  async shutOut(reason: BlobStoreError): Promise<void> {
    this.#failure ??= reason
    this.#dropQueue()
    await this.#writing
    if (!this.#ended) {
      this.#ended = true
      this.#end()
    }
  }

  #hasEnough(): boolean {
    return (
      this.#queuedBytes >= this.#share.gatherBytes || this.#queue.length >= blobStoreLimits.writeChunksMax
    )
  }

  /** `#writing` never rejects: the failure is kept for the next call of the owner. */
  #startWrite(): void {
    const chunks = this.#queue
    const position = this.#positionBytes
    this.#positionBytes += this.#queuedBytes
    this.#queue = []
    this.#queuedBytes = 0
    this.#writing = writeAll(this.#handle, chunks, position).then(
      () => {
        this.#writing = null
        if (!this.#failure && this.#hasEnough()) {
          this.#startWrite()
        }
      },
      (error: unknown) => {
        this.#writing = null
        this.#failure ??= fileError('writing an upload', error)
        this.#dropQueue()
      },
    )
  }

  #dropQueue(): void {
    this.#queue = []
    this.#queuedBytes = 0
  }

  #end(): void {
    this.#share.leave()
    this.#onEnd(this)
  }
}

/** `writev` may take fewer bytes than it was given, for instance shortly before the disk is full. */
async function writeAll(handle: FileHandle, chunks: Uint8Array[], position: number): Promise<void> {
  let rest = chunks
  let at = position
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, at)
    if (bytesWritten <= 0) {
      throw new BlobStoreError('io', 'the file system took no bytes')
    }
    at += bytesWritten
    rest = withoutFirst(rest, bytesWritten)
  }
}

function withoutFirst(chunks: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes
  for (const [index, chunk] of chunks.entries()) {
    if (left < chunk.byteLength) {
      return [chunk.subarray(left), ...chunks.slice(index + 1)]
    }
    left -= chunk.byteLength
  }
  return []
}

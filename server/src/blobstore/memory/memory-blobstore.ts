import { randomUUID } from 'node:crypto'
import type {
  BlobSource,
  BlobStore,
  BlobWriter,
  ByteRange,
  ByteSink,
  StorageKey,
  StoredBlob,
  UploadState,
} from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { interruptible } from '../interruptible.ts'

const PUMP_CHUNK_BYTES = 64 * 1024

interface Kept {
  readonly bytes: Buffer
  readonly modifiedAt: number
}

/** What a memory store keeps. Stores that share one behave as replicas of each other. */
export interface MemoryBlobs {
  readonly uploads: Map<string, Kept>
  readonly blobs: Map<StorageKey, Kept>
  readonly quarantined: Map<StorageKey, Kept>
}

/** An empty set of blobs. */
export function emptyMemoryBlobs(): MemoryBlobs {
  return { uploads: new Map(), blobs: new Map(), quarantined: new Map() }
}

/** A store for tests: complete, without limits, gone with the process. `nowMs` is milliseconds since the epoch. */
export function createMemoryBlobStore(
  options: { blobs?: MemoryBlobs; nowMs?: () => number } = {},
): BlobStore {
  return new MemoryBlobStore(options.blobs ?? emptyMemoryBlobs(), options.nowMs ?? Date.now)
}

class MemoryBlobStore implements BlobStore {
  readonly driver = 'memory'
  readonly #kept: MemoryBlobs
  readonly #nowMs: () => number
  readonly #writers = new Map<string, MemoryWriter>()

  constructor(kept: MemoryBlobs, nowMs: () => number) {
    this.#kept = kept
    this.#nowMs = nowMs
  }

  async createUpload(uploadId: string): Promise<UploadState> {
    return uploadId as string as UploadState
  }

  async openWriter(state: UploadState, offsetBytes: number): Promise<BlobWriter> {
    await this.#writers.get(state)?.abort()
    const bytes = this.#uploaded(state, offsetBytes)
    const save = (appended: Buffer) => {
      this.#kept.uploads.set(state, { bytes: Buffer.concat([bytes, appended]), modifiedAt: this.#nowMs() })
      return state
    }
    const writer = new MemoryWriter(save)
    this.#writers.set(state, writer)
    return writer
  }

  async openUpload(state: UploadState, offsetBytes: number): Promise<BlobSource | null> {
    if (offsetBytes > 0 && !this.#kept.uploads.has(state)) {
      return null
    }
    return new MemorySource(this.#uploaded(state, offsetBytes))
  }

  async commitUpload(state: UploadState, content: { sizeBytes: number }): Promise<StorageKey> {
    await this.#endWriter(state)
    const bytes = this.#uploaded(state, content.sizeBytes)
    const key = `memory/${randomUUID()}` as StorageKey
    this.#kept.blobs.set(key, { bytes, modifiedAt: this.#nowMs() })
    this.#kept.uploads.delete(state)
    return key
  }

  async cancelUpload(state: UploadState): Promise<void> {
    await this.#endWriter(state)
    this.#kept.uploads.delete(state)
  }

  async open(key: StorageKey): Promise<BlobSource | null> {
    const kept = this.#kept.blobs.get(key)
    return kept ? new MemorySource(kept.bytes) : null
  }

  async stat(key: StorageKey): Promise<StoredBlob | null> {
    const kept = this.#kept.blobs.get(key)
    return kept ? { key, sizeBytes: kept.bytes.byteLength, modifiedAt: kept.modifiedAt } : null
  }

  async delete(key: StorageKey): Promise<void> {
    this.#kept.blobs.delete(key)
  }

  async quarantine(key: StorageKey): Promise<void> {
    const kept = this.#kept.blobs.get(key)
    if (kept) {
      this.#kept.quarantined.set(key, kept)
      this.#kept.blobs.delete(key)
    }
  }

  async *list(): AsyncGenerator<StoredBlob> {
    for (const [key, kept] of this.#kept.blobs) {
      yield { key, sizeBytes: kept.bytes.byteLength, modifiedAt: kept.modifiedAt }
    }
  }

  async *listUploads(
    olderThanMs: number,
  ): AsyncGenerator<{ uploadId: string; state: UploadState; modifiedAt: number }> {
    const until = this.#nowMs() - olderThanMs
    for (const [uploadId, { modifiedAt }] of this.#kept.uploads) {
      if (modifiedAt <= until) {
        yield { uploadId, state: uploadId as UploadState, modifiedAt }
      }
    }
  }

  async presign(): Promise<URL | null> {
    return null
  }

  filePath(): string | null {
    return null
  }

  async freeBytes(): Promise<number | null> {
    return null
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  async #endWriter(state: UploadState): Promise<void> {
    await this.#writers.get(state)?.abort()
    this.#writers.delete(state)
  }

  #uploaded(state: UploadState, sizeBytes: number): Buffer {
    const bytes = this.#kept.uploads.get(state)?.bytes ?? Buffer.alloc(0)
    if (bytes.byteLength < sizeBytes) {
      throw new BlobStoreError('upload_lost', `the upload has ${bytes.byteLength} bytes, not ${sizeBytes}`)
    }
    return bytes.subarray(0, sizeBytes)
  }
}

class MemoryWriter implements BlobWriter {
  readonly #save: (appended: Buffer) => UploadState
  #chunks: Uint8Array[] = []
  #ended = false

  constructor(save: (appended: Buffer) => UploadState) {
    this.#save = save
  }

  append(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#ended) {
      return Promise.reject(new BlobStoreError('upload_lost', 'the writer is closed'))
    }
    this.#chunks.push(chunk)
    return undefined
  }

  async close(): Promise<UploadState> {
    if (this.#ended) {
      throw new BlobStoreError('upload_lost', 'the writer is closed')
    }
    this.#ended = true
    return this.#save(Buffer.concat(this.#chunks))
  }

  async abort(): Promise<void> {
    this.#ended = true
    this.#chunks = []
  }
}

class MemorySource implements BlobSource {
  readonly sizeBytes: number
  readonly #bytes: Buffer
  readonly #closing = new AbortController()

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.sizeBytes = bytes.byteLength
  }

  async pump(sink: ByteSink, range: ByteRange, signal: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([signal, this.#closing.signal])
    stop.throwIfAborted()
    if (range.end >= this.sizeBytes) {
      throw new BlobStoreError('corrupt', `the blob ends at ${this.sizeBytes}, before byte ${range.end}`)
    }
    // One buffer, overwritten each time, as the drivers with real buffers do: a sink that keeps a chunk is found out.
    const buffer = Buffer.alloc(PUMP_CHUNK_BYTES)
    for (let start = range.start; start <= range.end; start += PUMP_CHUNK_BYTES) {
      const end = Math.min(start + PUMP_CHUNK_BYTES, range.end + 1)
      const length = this.#bytes.copy(buffer, 0, start, end)
      await interruptible(sink.write(buffer.subarray(0, length)), stop)
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new BlobStoreError('io', 'the blob was closed while it was read'))
  }
}

import type { FileHandle } from 'node:fs/promises'
import type { BlobSource, ByteRange, ByteSink } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { interruptible } from '../interruptible.ts'
import type { BufferPool, PooledBuffer } from './buffer-pool.ts'
import { ChunkSizing } from './chunk-sizing.ts'
import { fileError } from './file-system.ts'

/**
 * Reads an open file through two pooled buffers: one is written to the sink while the next is filled.
 *
 * A buffer goes back to the pool only when nothing touches it: after the sink resolved, or, when the pump is over
 * early, after the read into it has settled. A buffer that a sink still holds at that point (it stalled, or failed in
 * some half-way state) is forgotten instead: its share of the budget is free at once, its bytes are never reused. The
 * file is closed only after the last read settled; otherwise a read could hit another file under the same number.
 */
export class FileSource implements BlobSource {
  readonly sizeBytes: number
  readonly #handle: FileHandle
  readonly #pool: BufferPool
  readonly #monotonicMs: () => number
  readonly #closing = new AbortController()
  readonly #reads = new Set<Promise<void>>()
  #closed: Promise<void> | null = null

  constructor(handle: FileHandle, sizeBytes: number, pool: BufferPool, monotonicMs: () => number) {
    this.#handle = handle
    this.sizeBytes = sizeBytes
    this.#pool = pool
    this.#monotonicMs = monotonicMs
  }

  async pump(sink: ByteSink, range: ByteRange, signal: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([signal, this.#closing.signal])
    stop.throwIfAborted()
    if (range.end >= this.sizeBytes) {
      throw new BlobStoreError('corrupt', `the file ends at ${this.sizeBytes}, before byte ${range.end}`)
    }
    const sizing = new ChunkSizing()
    const endPosition = range.end + 1
    let position = range.start
    let slot: ReadSlot | null = null
    let ahead: ReadSlot | null = null
    try {
      while (ahead || position < endPosition) {
        slot =
          ahead ??
          this.#read(await this.#pool.take(sizing.next(endPosition - position), stop), position, endPosition)
        ahead = null
        await interruptible(slot.filled, stop)
        position += slot.length
        if (position < endPosition && sizing.readsAhead) {
          const buffer = this.#pool.takeNow(sizing.next(endPosition - position))
          ahead = buffer && this.#read(buffer, position, endPosition)
        }
        const startedAtMs = this.#monotonicMs()
        await interruptible(slot.writeTo(sink), stop)
        sizing.observe(this.#monotonicMs() - startedAtMs)
        slot.dispose()
        slot = null
      }
    } finally {
      slot?.dispose()
      ahead?.dispose()
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort(new BlobStoreError('io', 'the blob was closed while it was read'))
    await Promise.allSettled(this.#reads)
    await this.#handle.close().catch(() => {}) // Nothing was written through it: there is no error to report.
  }

  #read(buffer: PooledBuffer, position: number, endPosition: number): ReadSlot {
    const length = Math.min(buffer.bytes.byteLength, endPosition - position)
    const filled = fill(this.#handle, buffer.bytes.subarray(0, length), position)
    const settled = filled.then(
      () => {},
      () => {}, // Also keeps a failed read-ahead from being an unhandled rejection while the sink is being waited for.
    )
    this.#reads.add(settled)
    void settled.then(() => this.#reads.delete(settled))
    return new ReadSlot(buffer, length, filled, settled)
  }
}

class ReadSlot {
  readonly length: number
  readonly filled: Promise<void>
  readonly #buffer: PooledBuffer
  readonly #settled: Promise<void>
  #sink: 'untouched' | 'holds' | 'done' = 'untouched'

  constructor(buffer: PooledBuffer, length: number, filled: Promise<void>, settled: Promise<void>) {
    this.#buffer = buffer
    this.length = length
    this.filled = filled
    this.#settled = settled
  }

  /** Only after `filled`. */
  async writeTo(sink: ByteSink): Promise<void> {
    this.#sink = 'holds'
    await sink.write(this.#buffer.bytes.subarray(0, this.length))
    this.#sink = 'done'
  }

  dispose(): void {
    if (this.#sink === 'holds') {
      this.#buffer.forget()
    } else if (this.#sink === 'done') {
      this.#buffer.release()
    } else {
      void this.#settled.then(() => this.#buffer.release())
    }
  }
}

async function fill(handle: FileHandle, target: Buffer, position: number): Promise<void> {
  let done = 0
  while (done < target.byteLength) {
    const { bytesRead } = await handle
      .read(target, done, target.byteLength - done, position + done)
      .catch((error: unknown) => {
        throw fileError('reading a blob', error)
      })
    if (bytesRead === 0) {
      throw new BlobStoreError('corrupt', `the file ends early, at ${position + done}`)
    }
    done += bytesRead
  }
}

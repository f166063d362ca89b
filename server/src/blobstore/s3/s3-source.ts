import type { Readable } from 'node:stream'
import type { BlobSource, ByteRange, ByteSink } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { interruptible } from '../interruptible.ts'
import { blobStoreLimits } from '../limits.ts'
import type { Bucket } from './bucket.ts'
import { translated } from './s3-errors.ts'

/** An answer whose body has not been read yet. */
export interface StartedBody {
  readonly body: Readable
  readonly range: ByteRange
}

/**
 * Reads one object, chunk by chunk as the network delivers it; the socket's own buffer is the read-ahead. A body that is
 * not read to its end is destroyed, with its connection.
 */
export class S3Source implements BlobSource {
  readonly sizeBytes: number
  readonly #bucket: Bucket
  readonly #name: string
  readonly #closing = new AbortController()
  readonly #bodies = new Set<Readable>()
  #started: StartedBody | null

  constructor(bucket: Bucket, name: string, sizeBytes: number, started: StartedBody | null) {
    this.#bucket = bucket
    this.#name = name
    this.sizeBytes = sizeBytes
    this.#started = started
    if (started) {
      this.#watch(started.body)
    }
  }

  async pump(sink: ByteSink, range: ByteRange, signal: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([signal, this.#closing.signal])
    stop.throwIfAborted()
    if (range.end >= this.sizeBytes) {
      throw new BlobStoreError('corrupt', `the object ends at ${this.sizeBytes}, before byte ${range.end}`)
    }
    const wantedBytes = range.end + 1 - range.start
    if (wantedBytes === 0) {
      return
    }
    const body = await this.#bodyOf(range, stop)
    const stopReading = () => body.destroy()
    stop.addEventListener('abort', stopReading, { once: true })
    try {
      await copyBody(body, wantedBytes, sink, stop)
    } catch (error) {
      throw stop.aborted ? stop.reason : error
    } finally {
      stop.removeEventListener('abort', stopReading)
      body.destroy()
      this.#bodies.delete(body)
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new BlobStoreError('io', 'the blob was closed while it was read'))
    for (const body of this.#bodies) {
      body.destroy()
    }
    this.#bodies.clear()
  }

  async #bodyOf(range: ByteRange, stop: AbortSignal): Promise<Readable> {
    const started = this.#started
    this.#started = null
    if (started) {
      if (started.range.start === range.start && started.range.end === range.end) {
        return started.body
      }
      started.body.destroy()
      this.#bodies.delete(started.body)
    }
    const answer = await interruptible(
      translated('reading a blob', () => this.#bucket.get(this.#name, range, stop)),
      stop,
    )
    if (answer === null || answer === 'beyond_end') {
      throw new BlobStoreError('corrupt', 'the object is gone or shorter than before')
    }
    this.#watch(answer.body)
    if (stop.aborted) {
      answer.body.destroy()
      throw stop.reason
    }
    return answer.body
  }

  #watch(body: Readable): void {
    this.#bodies.add(body)
    // A body that breaks while nobody reads it must not end the process. The reader is told by its next read.
    body.on('error', () => {})
  }
}

async function copyBody(
  body: Readable,
  wantedBytes: number,
  sink: ByteSink,
  stop: AbortSignal,
): Promise<void> {
  const chunks: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
  let waiting = false
  // Only time spent waiting for the object store counts, so the timer starts anew while the sink is busy.
  const timer = setInterval(() => {
    if (waiting) {
      body.destroy(new BlobStoreError('unavailable', 'the object store stopped sending'))
    }
  }, blobStoreLimits.s3BodyIdleTimeoutMs)
  let seenBytes = 0
  try {
    for (;;) {
      waiting = true
      timer.refresh()
      const { done, value } = await translated('reading a blob', () => chunks.next())
      waiting = false
      if (done) {
        break
      }
      seenBytes += value.byteLength
      if (seenBytes > wantedBytes) {
        throw new BlobStoreError('corrupt', 'the object store sent more bytes than were asked for')
      }
      await interruptible(sink.write(value), stop)
    }
  } finally {
    clearInterval(timer)
  }
  if (seenBytes < wantedBytes) {
    throw new BlobStoreError('unavailable', `the object store sent ${seenBytes} of ${wantedBytes} bytes`)
  }
}

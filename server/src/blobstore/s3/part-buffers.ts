import { BlobStoreError } from '../blobstore.ts'
import type { ByteBudget } from '../byte-budget.ts'
import { blobStoreLimits } from '../limits.ts'

/** The buffer of one part. Exactly one of `release` and `forget` ends the loan. */
export interface PartBuffer {
  readonly bytes: Buffer
  /** Gives the buffer back for reuse: nothing reads it any more. */
  release(): void
  /** Ends the loan without reuse: a request that failed may still be sending from it. */
  forget(): void
}

/** Buffers for parts, within a budget that all uploads share. Those who must wait are served in order. */
export class PartBuffers {
  readonly #budget: ByteBudget
  readonly #reusedBytes: number
  readonly #idle: Buffer[] = []

  /** Buffers of `reusedBytes` are kept for reuse. */
  constructor(budget: ByteBudget, reusedBytes: number) {
    this.#budget = budget
    this.#reusedBytes = reusedBytes
  }

  /** Rejects with the signal's reason when it is aborted, or with `unavailable` after too long a wait. */
  async take(sizeBytes: number, signal: AbortSignal): Promise<PartBuffer> {
    if (!this.#budget.tryAcquire(sizeBytes)) {
      await this.#wait(sizeBytes, signal)
    }
    const bytes =
      (sizeBytes === this.#reusedBytes ? this.#idle.pop() : undefined) ?? Buffer.allocUnsafeSlow(sizeBytes)
    let onLoan = true
    const end = (reuse: boolean) => {
      if (!onLoan) {
        throw new Error('a part buffer was given back twice')
      }
      onLoan = false
      if (reuse && sizeBytes === this.#reusedBytes && this.#idle.length < blobStoreLimits.s3IdleBuffersMax) {
        this.#idle.push(bytes)
      }
      this.#budget.release(sizeBytes)
    }
    return { bytes, release: () => end(true), forget: () => end(false) }
  }

  async #wait(sizeBytes: number, signal: AbortSignal): Promise<void> {
    const tooLong = new AbortController()
    const timer = setTimeout(() => {
      tooLong.abort(new BlobStoreError('unavailable', 'too many uploads to the object store at once'))
    }, blobStoreLimits.s3BufferWaitMs)
    try {
      await this.#budget.acquire(sizeBytes, AbortSignal.any([signal, tooLong.signal]))
    } finally {
      clearTimeout(timer)
    }
  }
}

import assert from 'node:assert/strict'
import { blobStoreLimits } from '../limits.ts'

/** A borrowed buffer. Exactly one of `release` and `forget` ends the loan. */
export interface PooledBuffer {
  readonly bytes: Buffer
  /** Gives the buffer back for reuse. Only when nothing reads or writes it any more. */
  release(): void
  /** Ends the loan without reuse: for a buffer that a stalled or failed client may still be sending from. */
  forget(): void
}

export interface BufferPoolLimits {
  readonly budgetBytes: number
  readonly reserveBytes: number
  readonly idleBytes: number
}

interface Waiter {
  grant(buffer: PooledBuffer): void
}

const CLASSES_BYTES: readonly number[] = blobStoreLimits.readBufferClassesBytes
const SMALLEST_BYTES = Math.min(...CLASSES_BYTES)

/**
 * Reusable buffers of a few sizes under one budget. When large ones are scarce, smaller ones are handed out; only when
 * even those are used up does a reader wait, first come, first served. The reserve keeps a part of the budget for the
 * smallest, so that clients which stopped reading while they hold large ones cannot stop everybody else.
 */
export class BufferPool {
  readonly #limits: BufferPoolLimits
  readonly #idle = new Map<number, Buffer[]>(CLASSES_BYTES.map((size) => [size, []]))
  #idleBytes = 0
  #usedBytes = 0
  #waiters: Waiter[] = []

  constructor(limits: Partial<BufferPoolLimits> = {}) {
    this.#limits = {
      budgetBytes: blobStoreLimits.readBufferBudgetBytes,
      reserveBytes: blobStoreLimits.readBufferReserveBytes,
      idleBytes: blobStoreLimits.readBufferIdleBytes,
      ...limits,
    }
    assert(this.#limits.budgetBytes >= SMALLEST_BYTES)
  }

  /** Bytes on loan now. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Readers that wait for a buffer now. */
  get waiting(): number {
    return this.#waiters.length
  }

  /** A buffer that fits `wantedBytes` best, or a smaller one when large ones are scarce; null when none is free. */
  takeNow(wantedBytes: number): PooledBuffer | null {
    if (this.#waiters.length > 0) {
      return null
    }
    for (const sizeBytes of classesFor(wantedBytes)) {
      if (this.#fits(sizeBytes)) {
        return this.#lend(sizeBytes)
      }
    }
    return null
  }

  /** As `takeNow`, waiting for a buffer of the smallest size when none is free. Rejects when the signal is aborted. */
  take(wantedBytes: number, signal: AbortSignal): Promise<PooledBuffer> {
    if (signal.aborted) {
      return Promise.reject(signal.reason)
    }
    const buffer = this.takeNow(wantedBytes)
    if (buffer) {
      return Promise.resolve(buffer)
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        grant(granted) {
          signal.removeEventListener('abort', leave)
          resolve(granted)
        },
      }
      const leave = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiters.push(waiter)
    })
  }

  #fits(sizeBytes: number): boolean {
    const reserveBytes = sizeBytes === SMALLEST_BYTES ? 0 : this.#limits.reserveBytes
    return this.#usedBytes + sizeBytes <= this.#limits.budgetBytes - reserveBytes
  }

  #lend(sizeBytes: number): PooledBuffer {
    this.#usedBytes += sizeBytes
    const reused = this.#idle.get(sizeBytes)?.pop()
    if (reused) {
      this.#idleBytes -= sizeBytes
    }
    const bytes = reused ?? Buffer.allocUnsafeSlow(sizeBytes)
    let onLoan = true
    const end = (reuse: boolean) => {
      assert(onLoan, 'a buffer was given back twice')
      onLoan = false
      this.#takeBack(bytes, reuse)
    }
    return { bytes, release: () => end(true), forget: () => end(false) }
  }

  #takeBack(bytes: Buffer, reuse: boolean): void {
    const sizeBytes = bytes.byteLength
    this.#usedBytes -= sizeBytes
    if (reuse && this.#idleBytes + sizeBytes <= this.#limits.idleBytes) {
      this.#idle.get(sizeBytes)?.push(bytes)
      this.#idleBytes += sizeBytes
    }
    while (this.#waiters.length > 0 && this.#fits(SMALLEST_BYTES)) {
      this.#waiters.shift()?.grant(this.#lend(SMALLEST_BYTES))
    }
  }
}

/** The smallest class that holds `wantedBytes` (or the largest there is), then all smaller ones, descending. */
function classesFor(wantedBytes: number): number[] {
  const best = CLASSES_BYTES.find((size) => size >= wantedBytes) ?? Math.max(...CLASSES_BYTES)
  return CLASSES_BYTES.filter((size) => size <= best).toReversed()
}

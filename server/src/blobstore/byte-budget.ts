interface Waiter {
  readonly bytes: number
  grant(): void
}

/**
 * A bounded amount of something counted in bytes (or in slots of one), shared by many. First come, first served: a
 * large request at the head of the queue is not passed by small ones behind it.
 */
export class ByteBudget {
  readonly totalBytes: number
  #usedBytes = 0
  #waiters: Waiter[] = []

  constructor(totalBytes: number) {
    this.totalBytes = totalBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Takes `bytes` if they are free and nobody waits. */
  tryAcquire(bytes: number): boolean {
    if (this.#waiters.length > 0 || this.#usedBytes + bytes > this.totalBytes) {
      return false
    }
    this.#usedBytes += bytes
    return true
  }

  /** Takes `bytes`, waiting in line. Rejects with the signal's reason when it is aborted before its turn. */
  acquire(bytes: number, signal?: AbortSignal): Promise<void> {
    if (bytes > this.totalBytes) {
      return Promise.reject(new RangeError(`${bytes} bytes can never be had of ${this.totalBytes}`))
    }
    if (signal?.aborted) {
      return Promise.reject(signal.reason)
    }
    if (this.tryAcquire(bytes)) {
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        bytes,
        grant() {
          signal?.removeEventListener('abort', leave)
          resolve()
        },
      }
      const leave = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        reject(signal?.reason)
        this.#grantWaiters()
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.#waiters.push(waiter)
    })
  }

  /** Gives `bytes` back. */
  release(bytes: number): void {
    if (bytes > this.#usedBytes) {
      throw new RangeError('more bytes were released than taken')
    }
    this.#usedBytes -= bytes
    this.#grantWaiters()
  }

  #grantWaiters(): void {
    for (;;) {
      const waiter = this.#waiters[0]
      if (!waiter || this.#usedBytes + waiter.bytes > this.totalBytes) {
        return
      }
      this.#waiters.shift()
      this.#usedBytes += waiter.bytes
      waiter.grant()
    }
  }
}

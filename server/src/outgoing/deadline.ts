/** A time limit that can be moved, joined with somebody else's signal. Must be cleared. */
export class Deadline {
  readonly #controller = new AbortController()
  readonly #errorAfter: (timeoutMs: number) => Error
  readonly #outer: AbortSignal | undefined
  readonly #onOuterAbort: () => void
  #timer: NodeJS.Timeout

  /** Aborts with `errorAfter(timeoutMs)`, or with the outer signal's own reason. */
  constructor(timeoutMs: number, errorAfter: (timeoutMs: number) => Error, outer?: AbortSignal) {
    this.#errorAfter = errorAfter
    this.#outer = outer
    this.#onOuterAbort = () => this.#controller.abort(outer?.reason)
    outer?.addEventListener('abort', this.#onOuterAbort, { once: true })
    if (outer?.aborted) this.#onOuterAbort()
    this.#timer = this.#start(timeoutMs)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Begins anew with another limit. */
  restart(timeoutMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = this.#start(timeoutMs)
  }

  clear(): void {
    clearTimeout(this.#timer)
    this.#outer?.removeEventListener('abort', this.#onOuterAbort)
  }

  /** The promise's outcome, or a rejection with the signal's reason when that comes first. */
  async race<Value>(promise: Promise<Value>): Promise<Value> {
    const { signal } = this
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    try {
      return await Promise.race([promise, aborted])
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  #start(timeoutMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#controller.abort(this.#errorAfter(timeoutMs)), timeoutMs)
  }
}

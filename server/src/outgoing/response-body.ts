import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { OutgoingError, toOutgoingError } from './outgoing-error.ts'

export interface BodyLimits {
  readonly host: string
  readonly maxBytes: number
  /** The source brings nothing for this long while it is waited for. */
  readonly idleTimeoutMs: number
}

/**
 * The body of an answer, bounded in size and in the time between two pieces. Time that the reader takes does not count.
 * Errors are `OutgoingError`s; a body that ends early is one. A body that fails while nobody reads it ends nothing else.
 */
export class ResponseBody extends Readable {
  readonly #source: IncomingMessage
  readonly #limits: BodyLimits
  #idle: NodeJS.Timeout | null = null
  #seenBytes = 0

  constructor(source: IncomingMessage, limits: BodyLimits) {
    super()
    this.#source = source
    this.#limits = limits
    this.on('error', () => {})
    source.on('data', (chunk: Buffer) => this.#take(chunk))
    source.on('end', () => {
      this.#stopIdle()
      if (source.complete) this.push(null)
      else this.destroy(cutOff(limits.host))
    })
    source.on('error', (error) => this.destroy(toOutgoingError(error, limits.host)))
    source.on('close', () => {
      if (!source.complete) this.destroy(cutOff(limits.host))
    })
    source.pause()
  }

  override _read(): void {
    this.#waitForMore()
    this.#source.resume()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stopIdle()
    this.#source.destroy()
    callback(error)
  }

  #take(chunk: Buffer): void {
    this.#stopIdle()
    const { host, maxBytes } = this.#limits
    this.#seenBytes += chunk.byteLength
    if (this.#seenBytes > maxBytes) {
      this.destroy(tooLarge(host, maxBytes))
    } else if (this.push(chunk)) {
      this.#waitForMore()
    } else {
      this.#source.pause()
    }
  }

  #waitForMore(): void {
    this.#stopIdle()
    const { host, idleTimeoutMs } = this.#limits
    this.#idle = setTimeout(() => {
      this.destroy(new OutgoingError('timeout', host, `${host} stopped sending in the middle of its answer`))
    }, idleTimeoutMs)
  }

  #stopIdle(): void {
    if (this.#idle !== null) clearTimeout(this.#idle)
    this.#idle = null
  }
}

/** The error for an answer that is longer than the caller takes. */
export function tooLarge(host: string, maxBytes: number): OutgoingError {
  return new OutgoingError('too_large', host, `the answer of ${host} is larger than ${maxBytes} bytes`)
}

function cutOff(host: string): OutgoingError {
  return new OutgoingError('connect', host, `${host} closed the connection before its answer was complete`)
}

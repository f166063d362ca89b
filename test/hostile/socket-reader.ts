/** Reads what a socket receives, in pieces of the caller's choice. */
import type { Socket } from 'node:net'

const readTimeoutMs = 30_000

/** What came is not well-formed HTTP, or the connection broke. */
export class RawHttpError extends Error {
  override readonly name = 'RawHttpError'
}

export class SocketReader {
  #received = Buffer.alloc(0)
  #ended = false
  #failure: Error | null = null
  #wake: () => void = () => {}

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('end', () => {
      this.#ended = true
      this.#wake()
    })
    socket.on('error', (error) => {
      this.#failure = error
      this.#wake()
    })
  }

  /** What has come and was not read. */
  get receivedBytes(): number {
    return this.#received.byteLength
  }

  async readBytes(lengthBytes: number): Promise<Buffer> {
    while (this.#received.byteLength < lengthBytes) await this.#more(`${lengthBytes} bytes`)
    return this.#take(lengthBytes)
  }

  /** Up to and without the delimiter, which is passed over. */
  async readUntil(delimiter: string): Promise<string> {
    for (;;) {
      const end = this.#received.indexOf(delimiter)
      if (end !== -1)
        return this.#take(end + delimiter.length)
          .toString('latin1')
          .slice(0, -delimiter.length)
      await this.#more(JSON.stringify(delimiter))
    }
  }

  /** All that still comes until a clean end. */
  async readRest(): Promise<Buffer> {
    while (!this.#ended) {
      if (this.#failure !== null) throw new RawHttpError(`not a clean end: ${this.#failure.message}`)
      await this.#change('the end of the connection')
    }
    return this.#take(this.#received.byteLength)
  }

  /** Resolves when the connection is over, cleanly or not. */
  async readUntilOver(): Promise<Buffer> {
    while (!this.#ended && this.#failure === null) await this.#change('the end of the connection')
    return this.#take(this.#received.byteLength)
  }

  #take(lengthBytes: number): Buffer {
    const taken = this.#received.subarray(0, lengthBytes)
    this.#received = this.#received.subarray(lengthBytes)
    return taken
  }

  async #more(wanted: string): Promise<void> {
    if (this.#failure !== null) throw this.#error(wanted, this.#failure.message)
    if (this.#ended) throw this.#error(wanted, 'the connection ended')
    await this.#change(wanted)
  }

  async #change(wanted: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(
      () => reject(this.#error(wanted, `nothing for ${readTimeoutMs} ms`)),
      readTimeoutMs,
    )
    this.#wake = resolve
    await promise.finally(() => clearTimeout(timer))
  }

  #error(wanted: string, why: string): RawHttpError {
    const start = JSON.stringify(this.#received.toString('latin1').slice(0, 200))
    return new RawHttpError(`waiting for ${wanted}: ${why} after ${start}`)
  }
}

import { type IncomingHttpHeaders, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { once } from 'node:events'

export interface Answer {
  /** 0: the connection was closed before an answer came. */
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** The beginning of the body. */
  readonly text: string
}

export interface Call {
  readonly authorization?: string
  readonly body?: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
  /** `Transfer-Encoding: chunked`, as docker streams a layer; else the body is one piece with its length. */
  readonly isChunked?: boolean
}

const MAX_TEXT_BYTES = 64 * 1024
const ANSWER_TIMEOUT_MS = 120_000

/** Sends requests to one origin, bodies as they come: what a proxy makes of them is what is looked for. */
export class Connection {
  readonly #origin: string

  constructor(origin: string) {
    this.#origin = origin
  }

  /** Any status is an answer; so is a connection that is closed while the body is sent. Throws when none is made. */
  async send(method: string, path: string, call: Call = {}): Promise<Answer> {
    const body =
      call.body === undefined ? [] : call.isChunked === true ? call.body : [await joined(call.body)]
    const length =
      call.isChunked === true ? {} : { 'content-length': (body as Uint8Array[])[0]?.byteLength ?? 0 }
    const request = (this.#origin.startsWith('https:') ? httpsRequest : httpRequest)(this.#origin + path, {
      method,
      headers: {
        ...(call.authorization === undefined ? {} : { authorization: call.authorization }),
        ...(call.body === undefined ? {} : { 'content-type': 'application/octet-stream' }),
        ...length,
      },
    })
    request.setTimeout(ANSWER_TIMEOUT_MS, () => request.destroy(new Error(`${this.#origin} does not answer`)))
    const answered = new Promise<Answer>((resolve, reject) => {
      request.once('response', (response) => {
        const chunks: Buffer[] = []
        let sizeBytes = 0
        response.on('data', (chunk: Buffer) => {
          if (sizeBytes < MAX_TEXT_BYTES) chunks.push(chunk)
          sizeBytes += chunk.byteLength
        })
        const { statusCode = 0, headers } = response
        response.once('close', () =>
          resolve({ status: statusCode, headers, text: Buffer.concat(chunks).toString() }),
        )
      })
      request.once('error', (error: NodeJS.ErrnoException) => {
        const isCut = error.code === 'ECONNRESET' || error.code === 'EPIPE'
        if (isCut && call.body !== undefined) resolve({ status: 0, headers: {}, text: '' })
        else reject(error)
      })
    })
    await Promise.race([this.#write(request, body), answered.catch(() => null)])
    return answered
  }

  async #write(
    request: ReturnType<typeof httpRequest>,
    body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const closed = once(request, 'close').catch(() => null)
    for await (const chunk of body) {
      if (request.destroyed) return
      if (!request.write(chunk)) await Promise.race([once(request, 'drain').catch(() => null), closed])
    }
    request.end()
  }
}

async function joined(body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

import http, { type IncomingHttpHeaders } from 'node:http'

export type RequestOptions = {
  /** Value of the Authorization header. */
  authorization?: string | undefined
  headers?: Readonly<Record<string, string>>
  body?: Uint8Array | undefined
  /** Send the body without Content-Length. */
  isStreamed?: boolean
  /** Called when the server has asked for the body and half of it was sent; the rest follows when it resolves. */
  midway?: (() => Promise<void>) | undefined
}

export type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer }

/** Connections to one port of loopback, used again and again. */
export type Connections = {
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>
  close(): void
}

/** No request of a model takes this long: whoever waits longer waits for ever. */
const TIMEOUT_MS = 60_000

export function createConnections(port: number): Connections {
  const agent = new http.Agent({ keepAlive: true })
  return {
    request: (method, path, options = {}) => send(agent, port, method, path, options),
    close: () => agent.destroy(),
  }
}

function send(
  agent: http.Agent,
  port: number,
  method: string,
  path: string,
  { authorization, headers, body, isStreamed, midway }: RequestOptions,
): Promise<Answer> {
  // Said in so many words: Node announces the length of a body that is there when the header is sent.
  const length =
    isStreamed === true
      ? { 'Transfer-Encoding': 'chunked' }
      : { 'Content-Length': String(body?.byteLength ?? 0) }
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: '127.0.0.1',
      port,
      method,
      path,
      agent,
      timeout: TIMEOUT_MS,
      headers: {
        ...(authorization === undefined ? {} : { Authorization: authorization }),
        ...(method === 'GET' || method === 'HEAD' ? {} : length),
        ...(midway === undefined ? {} : { Expect: '100-continue' }),
        ...headers,
      },
    })
    let isAnswered = false
    request.on('timeout', () =>
      request.destroy(new Error(`${method} ${path}: no answer in ${TIMEOUT_MS} ms`)),
    )
    request.on('response', (response) => {
      isAnswered = true
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
        }),
      )
    })
    // An answer may come before the body was sent; what happens to the connection then does not matter.
    request.on('error', (error) => {
      if (!isAnswered) reject(error)
    })
    if (body === undefined || midway === undefined) {
      request.end(body)
      return
    }
    const middle = Math.ceil(body.byteLength / 2)
    request.on('continue', () => {
      request.write(body.subarray(0, middle))
      midway().then(() => request.end(body.subarray(middle)), reject)
    })
    request.flushHeaders()
  })
}

/** Code of the first OCI error in an answer, or null. */
export function codeOf(answer: Answer): string | null {
  if (answer.body.byteLength === 0) return null
  try {
    const { errors } = JSON.parse(answer.body.toString('utf8')) as { errors?: { code?: string }[] }
    return errors?.[0]?.code ?? null
  } catch {
    return null
  }
}

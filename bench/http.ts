import { createHash } from 'node:crypto'
import { request, type IncomingHttpHeaders } from 'node:http'

const TIMEOUT_MS = 60_000

/** A request of set-up and checks, outside the measured time. The load itself is sent by load/. */
export interface Call {
  readonly port: number
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

/** A whole answer. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  text(): string
  /** The body parsed as JSON; throws SyntaxError when it is not. */
  json(): unknown
}

/** Sends one request to `127.0.0.1:port` as `localhost:port` and reads the whole answer into memory. */
export async function call(options: Call): Promise<Answer> {
  const parts: Buffer[] = []
  const { status, headers } = await receive(options, (bytes) => parts.push(bytes))
  const body = Buffer.concat(parts)
  return {
    status,
    headers,
    body,
    text: () => body.toString('utf8'),
    json: () => JSON.parse(body.toString('utf8')) as unknown,
  }
}

/** Sends one request and gives the sha256 digest of the answer's body, which is not kept. */
export async function callForDigest(options: Call): Promise<{ status: number; digest: string }> {
  const hash = createHash('sha256')
  const { status } = await receive(options, (bytes) => hash.update(bytes))
  return { status, digest: `sha256:${hash.digest('hex')}` }
}

function receive(
  options: Call,
  onBytes: (bytes: Buffer) => void,
): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: '127.0.0.1',
      port: options.port,
      method: options.method,
      path: options.path,
      agent: false,
      timeout: TIMEOUT_MS,
      headers: {
        host: `localhost:${options.port}`,
        ...(options.body === undefined ? {} : { 'content-length': String(options.body.length) }),
        ...options.headers,
      },
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${options.method} ${options.path}: no answer`)))
    outgoing.on('error', reject)
    outgoing.on('response', (incoming) => {
      incoming.on('data', onBytes)
      incoming.on('error', reject)
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers }))
    })
    outgoing.end(options.body)
  })
}

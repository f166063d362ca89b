import { readFileSync } from 'node:fs'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Certificate } from '../certificate.ts'

/** One request as it arrived. */
export type Received = {
  method: string
  url: string
  headers: http.IncomingHttpHeaders
  body: string
}

export type Responder = (request: Received, response: ServerResponse) => void | Promise<void>

/** A server on loopback that keeps everything it is sent. */
export type Recorder = AsyncDisposable & {
  /** host:port. */
  host: string
  port: number
  origin: string
  received: Received[]
  /** Whether a secret has arrived here: as it is, in Basic with any user name, or URL-encoded. */
  hasSeen(secret: string): boolean
  respondWith(responder: Responder): void
}

/** Starts one; with a certificate it speaks TLS. */
export async function startRecorder(tls: Certificate | null, responder: Responder): Promise<Recorder> {
  const received: Received[] = []
  let respond = responder
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const kept = { method, url, headers, body: Buffer.concat(chunks).toString() }
      received.push(kept)
      Promise.resolve(respond(kept, response)).catch(() => response.destroy())
    })
  }
  const server =
    tls === null
      ? http.createServer(listener)
      : https.createServer({ cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) }, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    host: `127.0.0.1:${port}`,
    port,
    origin: `${tls === null ? 'http' : 'https'}://127.0.0.1:${port}`,
    received,
    hasSeen: (secret) => received.some((request) => holds(request, secret)),
    respondWith(next) {
      respond = next
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Passes requests on to a server in plain HTTP and its answers back, with these headers added. */
export function forwardTo(origin: string, added: Record<string, string> = {}): Responder {
  return async (request, response) => {
    const headers = { ...request.headers }
    delete headers['connection']
    await new Promise<void>((resolve, reject) => {
      const forwarded = http.request(
        `${origin}${request.url}`,
        { method: request.method, headers },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...added })
          answer.pipe(response)
          answer.on('end', resolve)
          answer.on('error', reject)
        },
      )
      forwarded.on('error', reject)
      forwarded.end(request.body)
    })
  }
}

function holds(request: Received, secret: string): boolean {
  const text = `${request.url}\n${JSON.stringify(request.headers)}\n${request.body}`
  if (text.includes(secret) || text.includes(encodeURIComponent(secret))) return true
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  return basic !== undefined && Buffer.from(basic, 'base64').toString().includes(secret)
}

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * What happens to a request: the store says that it is busy; the store carries it out but the answer is lost; the
 * answer breaks off in the middle of its body; or it is complete, but shorter than what was asked for.
 */
export type ProxyFault = 'busy' | 'answer lost' | 'body cut' | 'body short'

/** For fault tests: a proxy in front of an object store that spoils one request. */
export class FaultyProxy {
  /** Requests so far: method and path with query. */
  readonly requests: string[] = []
  readonly #target: URL
  readonly #server: Server
  #plan: { at: number; fault: ProxyFault } | null = null

  constructor(target: string) {
    this.#target = new URL(target)
    this.#server = createServer((incoming, outgoing) => this.#forward(incoming, outgoing))
    this.#server.keepAliveTimeout = 0 // Connections end by the plan, and never because a slow test left them idle.
  }

  /** Begins to listen on a free port of loopback; answers its origin. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve)
    })
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Spoils the request that comes after `skip` more. */
  failAfter(skip: number, fault: ProxyFault): void {
    this.#plan = { at: this.requests.length + skip, fault }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => {
      this.#server.close(resolve)
    })
  }

  #forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const fault = this.#plan?.at === this.requests.length ? this.#plan.fault : null
    this.requests.push(`${incoming.method} ${incoming.url}`)
    if (fault === 'busy') {
      incoming.resume()
      incoming.on('end', () => {
        outgoing.writeHead(503, { 'content-type': 'application/xml' })
        outgoing.end('<Error><Code>SlowDown</Code><Message>made to fail</Message></Error>')
      })
      return
    }
    const { hostname, port } = this.#target
    const { method, url: path, headers } = incoming
    const onward = request({ agent: false, hostname, port, method, path, headers }, (answer) => {
      if (fault === 'answer lost') {
        answer.resume()
        answer.on('end', () => outgoing.destroy())
        return
      }
      if (fault === 'body short') {
        answer.once('data', (chunk: Buffer) => {
          outgoing.writeHead(answer.statusCode ?? 502, {
            ...answer.headers,
            'content-length': chunk.byteLength - 1,
          })
          outgoing.end(chunk.subarray(1))
          answer.destroy()
        })
        return
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      if (fault === 'body cut') {
        answer.once('data', (chunk: Buffer) => {
          outgoing.write(chunk.subarray(0, chunk.byteLength >> 1), () => outgoing.destroy())
          answer.destroy()
        })
        return
      }
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  }
}

import {
  Agent,
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Fault, FaultInjector } from './fault-injector.ts'

/**
 * What happens to a request: the store answers 500 or 503 without doing anything; the connection is reset before the
 * store hears of it; the store does it and the answer is lost; the answer breaks off in the middle; or nothing is
 * answered at all until the fault is over.
 */
export const s3FaultKinds = ['500', '503', 'reset', 'answer lost', 'truncated', 'silence'] as const
export type S3FaultKind = (typeof s3FaultKinds)[number]

/** An HTTP proxy in front of an object store. */
export type S3Faults = FaultInjector<S3FaultKind> & AsyncDisposable & { endpoint: string }

/** Starts the proxy on a free port of loopback. */
export async function startS3Faults(target: string): Promise<S3Faults> {
  const { hostname, port } = new URL(target)
  const agent = new Agent({ keepAlive: true })
  const silent = new Set<ServerResponse>()
  let fault: Fault<S3FaultKind> | null = null
  let operations = 0
  let spoiled: string[] = []

  const forward = (incoming: IncomingMessage, outgoing: ServerResponse, kind: S3FaultKind | null): void => {
    const { method, url: path, headers } = incoming
    const onward = request({ agent, hostname, port, method, path, headers }, (answer) => {
      if (kind === 'answer lost') {
        answer.resume()
        answer.once('end', () => outgoing.destroy())
        return
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      if (kind === 'truncated') {
        // Headers that promise a body, and half of it; without a body, no more than the headers.
        answer.once('data', (chunk: Buffer) => outgoing.write(chunk.subarray(0, chunk.byteLength >> 1)))
        answer.once('end', () => outgoing.destroy())
        answer.resume()
        return
      }
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => {
      if (!outgoing.writableFinished) onward.destroy()
    })
    incoming.pipe(onward)
  }

  const server = createServer((incoming, outgoing) => {
    operations += 1
    const isHit = fault !== null && (fault.persistent ? operations >= fault.n : operations === fault.n)
    const kind = isHit && fault !== null ? fault.kind : null
    if (kind !== null) spoiled.push(`${incoming.method} ${incoming.url}`)
    if (kind === 'reset') incoming.socket.resetAndDestroy()
    else if (kind === 'silence') {
      incoming.resume()
      silent.add(outgoing)
      outgoing.once('close', () => silent.delete(outgoing))
    } else if (kind === '500' || kind === '503') refuse(incoming, outgoing, kind)
    else forward(incoming, outgoing, kind)
  })
  server.keepAliveTimeout = 0 // Connections end by the plan, and never because a slow test left them idle.
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    kinds: s3FaultKinds,
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arm(next) {
      operations = 0
      spoiled = []
      fault = next
    },
    disarm() {
      fault = null
      for (const outgoing of silent) outgoing.destroy()
      return { operations, spoiled: spoiled.length }
    },
    describe: () => spoiled.slice(0, 3).join(', '),
    async [Symbol.asyncDispose]() {
      agent.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const errorHeaders: OutgoingHttpHeaders = { 'content-type': 'application/xml' }

function refuse(incoming: IncomingMessage, outgoing: ServerResponse, kind: '500' | '503'): void {
  const code = kind === '500' ? 'InternalError' : 'SlowDown'
  incoming.resume()
  incoming.once('end', () => {
    outgoing.writeHead(Number(kind), errorHeaders)
    outgoing.end(`<Error><Code>${code}</Code><Message>made to fail</Message></Error>`)
  })
}

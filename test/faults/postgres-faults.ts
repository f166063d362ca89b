import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Fault, FaultInjector } from './fault-injector.ts'

/**
 * What happens to a message of the client: the connection is cut before the server gets it; the server gets it and
 * the connection is cut when it has answered; or nothing passes any more on this connection until the fault is over.
 */
export const postgresFaultKinds = ['cut before', 'cut after', 'stall'] as const
export type PostgresFaultKind = (typeof postgresFaultKinds)[number]

/** A TCP proxy in front of PostgreSQL. What arrives in one piece counts as one message. */
export type PostgresFaults = FaultInjector<PostgresFaultKind> & AsyncDisposable & { port: number }

/** Starts the proxy on a free port of loopback. */
export async function startPostgresFaults(serverPort: number): Promise<PostgresFaults> {
  const sockets = new Set<Socket>()
  const stalled = new Set<Socket>()
  let fault: Fault<PostgresFaultKind> | null = null
  let operations = 0
  let spoiled = 0
  let last = ''

  const server = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1')
    let isMute = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        stalled.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (bytes) => {
      operations += 1
      const isHit = fault !== null && (fault.persistent ? operations >= fault.n : operations === fault.n)
      if (fault === null || !isHit) {
        if (!stalled.has(client)) upstream.write(bytes)
        return
      }
      spoiled += 1
      last = bytes
        .subarray(0, 200)
        .toString('latin1')
        .replaceAll(/[^ -~]+/g, ' ')
      if (fault.kind === 'cut before') client.destroy()
      else if (fault.kind === 'cut after') {
        isMute = true
        upstream.write(bytes)
      } else stalled.add(client)
    })
    upstream.on('data', (bytes) => {
      if (isMute) client.destroy()
      else if (!stalled.has(client)) client.write(bytes)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    kinds: postgresFaultKinds,
    port: (server.address() as AddressInfo).port,
    arm(next) {
      operations = 0
      spoiled = 0
      fault = next
    },
    disarm() {
      fault = null
      // What was swallowed is lost; a connection without it cannot go on.
      for (const socket of stalled) socket.destroy()
      return { operations, spoiled }
    },
    describe: () => last,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A proxy in front of the server that can cut connections at the worst moment. For tests. */
export interface FaultProxy {
  readonly port: number
  /** Cuts the next connection that sends this text, after the server got it and before its answer is passed on. */
  cutAfter(text: string): void
  /** Cuts everything that is connected. */
  cutAll(): void
  close(): Promise<void>
}

export async function startFaultProxy(serverPort: number): Promise<FaultProxy> {
  const sockets = new Set<Socket>()
  let trigger: string | null = null
  const server = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1')
    let mute = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (bytes) => {
      if (trigger !== null && bytes.includes(trigger)) {
        trigger = null
        mute = true
      }
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      // The server has answered, so the statement is done; nobody will hear of it.
      if (mute) client.destroy()
      else client.write(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cutAfter(text) {
      trigger = text
    },
    cutAll,
    async close() {
      cutAll()
      server.close()
      await once(server, 'close')
    },
  }
}

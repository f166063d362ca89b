import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A TCP proxy that stops what clients send after so many bytes, until it is opened: a transfer caught half way. */
export type Gate = AsyncDisposable & {
  /** host:port to connect to. */
  host: string
  /** Resolves when the gate has let `holdAfterBytes` through and holds the rest back. */
  readonly held: Promise<void>
  open(): void
  close(): Promise<void>
}

/**
 * Starts a gate in front of a server (`host:port`). The bytes of all connections count together. Answers pass freely.
 * Default direction: from the client to the server; `download` holds the answers back instead.
 */
export async function startGate(
  target: string,
  holdAfterBytes: number,
  direction: 'upload' | 'download' = 'upload',
): Promise<Gate> {
  const [targetHost, targetPort] = target.split(':') as [string, string]
  const sockets = new Set<Socket>()
  const waiting = new Set<() => void>()
  const held = Promise.withResolvers<void>()
  let passedBytes = 0
  let isOpen = false

  const forward = (from: Socket, to: Socket, isGated: boolean): void => {
    from.on('data', (chunk) => {
      if (isGated) passedBytes += chunk.length
      const isHeld = isGated && !isOpen && passedBytes >= holdAfterBytes
      const hasRoom = to.write(chunk)
      if (isHeld) {
        from.pause()
        waiting.add(() => from.resume())
        held.resolve()
      } else if (!hasRoom) {
        from.pause()
        to.once('drain', () => from.resume())
      }
    })
    from.once('end', () => to.end())
    from.once('close', () => to.destroy())
    from.on('error', () => to.destroy())
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ host: targetHost, port: Number(targetPort), allowHalfOpen: true })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
    forward(client, upstream, direction === 'upload')
    forward(upstream, client, direction === 'download')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const open = (): void => {
    isOpen = true
    for (const resume of waiting) resume()
    waiting.clear()
  }
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    held: held.promise,
    open,
    close,
    [Symbol.asyncDispose]: close,
  }
}

import { readFile, stat } from 'node:fs/promises'
import type { IncomingMessage, RequestListener, Server, ServerOptions, ServerResponse } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Logger } from '../telemetry/log.ts'
import { HTTP_LIMITS } from './limits.ts'
import { http, https } from './node-http.ts'
import { type RenderRefusal, refuseMalformed } from './refusal.ts'

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

export interface ListenerOptions {
  /** For messages: `registry`, `console`. */
  readonly name: string
  readonly host: string
  readonly port: number
  readonly tls: TlsFiles | null
  readonly handler: RequestListener
  /** How this surface words what is refused before its handler sees it. */
  readonly renderRefusal: RenderRefusal
  readonly log: Logger
}

/** The address cannot be listened on. The message says what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
}

export interface Listener {
  /** The port that was bound (useful when 0 was asked for). */
  readonly port: number
  /** Stops accepting, lets running requests finish for at most `drainMs`, then closes what is left. */
  stop(drainMs: number): Promise<void>
}

/** How often the certificate files are looked at for changes. */
const TLS_POLL_MS = 10_000

/** Binds and starts one HTTP or HTTPS listener. Throws `ListenError` when the port is taken or not allowed. */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const server = await createServer(options)
  refuseMalformed(server, options)
  const stopWatching =
    options.tls === null ? () => {} : watchCertificate(server as SecureServer, options.tls, options.log)
  const connections = trackConnections(server)
  await listen(server, options)
  return {
    port: (server.address() as AddressInfo).port,
    stop: async (drainMs) => {
      stopWatching()
      await drain(server, connections, drainMs, options)
    },
  }
}

async function createServer({ tls }: ListenerOptions): Promise<Server> {
  const options: ServerOptions = {
    maxHeaderSize: HTTP_LIMITS.maxHeaderBytes,
    headersTimeout: HTTP_LIMITS.headersTimeoutMs,
    keepAliveTimeout: HTTP_LIMITS.keepAliveTimeoutMs,
    // Long uploads are wanted; slow ones are cut by their progress, not by their length.
    requestTimeout: 0,
    noDelay: true,
    // Looked at in request-check.ts, to be refused in the words of the surface.
    requireHostHeader: false,
  }
  const server =
    tls === null
      ? http.createServer(options)
      : https.createServer({ ...options, ...(await readCertificate(tls)) })
  server.maxConnections = HTTP_LIMITS.maxConnections
  server.maxRequestsPerSocket = HTTP_LIMITS.maxRequestsPerSocket
  return server
}

async function readCertificate({ certFile, keyFile }: TlsFiles): Promise<{ cert: Buffer; key: Buffer }> {
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
  return { cert, key }
}

/** Polls rather than watches: certificate tools replace files by renames and symbolic links, which watches miss. */
function watchCertificate(server: SecureServer, files: TlsFiles, log: Logger): () => void {
  let seen = ''
  const timer = setInterval(() => void reload(), TLS_POLL_MS)
  timer.unref()

  async function version(): Promise<string> {
    const stats = await Promise.all([stat(files.certFile), stat(files.keyFile)])
    return stats.map(({ mtimeMs, ino, size }) => `${mtimeMs}/${ino}/${size}`).join(' ')
  }

  async function reload(): Promise<void> {
    try {
      const now = await version()
      if (seen === now) return
      server.setSecureContext(await readCertificate(files))
      if (seen !== '') log.info({ file: files.certFile }, 'certificate reloaded')
      seen = now
    } catch (error) {
      // The old certificate stays in use: a half-written file must not take the service down.
      log.error({ err: error, file: files.certFile }, 'certificate could not be reloaded')
    }
  }

  void reload()
  return () => clearInterval(timer)
}

function listen(server: Server, { name, host, port }: ListenerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new ListenError(listenMessage(error, name, host, port), { cause: error })),
    )
    server.listen({ host, port }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

function listenMessage(error: NodeJS.ErrnoException, name: string, host: string, port: number): string {
  const variable = `BERTH_${name.toUpperCase()}_ADDR`
  const address = `${host}:${port}`
  switch (error.code ?? '') {
    case 'EADDRINUSE':
      return `The ${name} cannot listen on ${address}: another program uses that port. Stop it, or choose another address with ${variable}.`
    case 'EACCES':
      return `The ${name} may not listen on ${address}: ports below 1024 need more rights. Choose another address with ${variable}.`
    case 'EADDRNOTAVAIL':
      return `The ${name} cannot listen on ${address}: this machine does not have that address. Choose another with ${variable}.`
    default:
      return `The ${name} cannot listen on ${address} (${error.code ?? error.message}). Choose another address with ${variable}.`
  }
}

/** Which connections serve a request just now. Node counts one that never sent anything as busy. */
interface Connections {
  /** Closes what is idle, now and whenever something becomes idle from now on. */
  closeIdle(): void
}

function trackConnections(server: Server): Connections {
  const running = new Map<Socket, number>()
  let closing = false

  function change(socket: Socket, by: number): void {
    const requests = running.get(socket)
    if (requests === undefined) return
    running.set(socket, requests + by)
    if (closing && requests + by === 0) socket.end(() => socket.destroy())
  }

  const connectionEvent = server instanceof https.Server ? 'secureConnection' : 'connection'
  server.on(connectionEvent, (socket: Socket) => {
    running.set(socket, 0)
    socket.once('close', () => running.delete(socket))
  })
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    change(request.socket, 1)
    response.once('close', () => change(request.socket, -1))
  }
  server.prependListener('request', onRequest)
  server.prependListener('checkContinue', onRequest)
  return {
    closeIdle: () => {
      closing = true
      for (const [socket, requests] of running) if (requests === 0) socket.destroy()
    },
  }
}

async function drain(
  server: Server,
  connections: Connections,
  drainMs: number,
  { log, name }: ListenerOptions,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  connections.closeIdle()
  const limit = setTimeout(() => {
    log.warn({ listener: name, drainMs }, 'transfers were cut at the end of the drain time')
    server.closeAllConnections()
  }, drainMs)
  await closed
  clearTimeout(limit)
}

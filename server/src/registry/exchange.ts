import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { clientAddress } from '../access/client-address.ts'
import type { Principal } from '../access/principal.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { PROGRESS_WINDOW_MS } from './limits.ts'
import { requestOrigin } from './request-origin.ts'
import type { RegionRuntime } from './runtime.ts'

/** One request and its answer, with what is known before either is looked at. */
export interface Exchange {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly requestId: string
  readonly clientAddress: string
  /** Scheme and host that the client may be sent to again; never what it merely claims. */
  readonly origin: string
  /** In which enough of a body has to move, in either direction. */
  readonly progressWindowMs: number
  readonly metrics: Metrics
  /** Who asks, once that is known. */
  readonly caller: { principal: Principal | null }
}

/** Begins an exchange. */
export function openExchange(runtime: RegionRuntime, req: IncomingMessage, res: ServerResponse): Exchange {
  // A lost connection is told by 'close'; without these listeners it would also be an uncaught error.
  req.on('error', ignore)
  res.on('error', ignore)
  return {
    req,
    res,
    requestId: randomUUID(),
    clientAddress: addressOf(runtime, req),
    origin: requestOrigin(runtime, req),
    progressWindowMs: runtime.limits.progressWindowMs ?? PROGRESS_WINDOW_MS,
    metrics: runtime.metrics,
    caller: { principal: null },
  }
}

const directAddresses = new WeakMap<Socket, string>()

/** The client's address. Of a connection without a proxy it stays the same, and reading it is not cheap. */
function addressOf({ trustedProxies }: RegionRuntime, req: IncomingMessage): string {
  const { socket } = req
  const forwardedFor = header(req, 'x-forwarded-for')
  if (forwardedFor !== undefined) return clientAddress(socket.remoteAddress, forwardedFor, trustedProxies)
  const known = directAddresses.get(socket)
  if (known !== undefined) return known
  const address = clientAddress(socket.remoteAddress, undefined, trustedProxies)
  directAddresses.set(socket, address)
  return address
}

/** The one value of a header, joined when it was sent more than once; undefined when it is absent. */
export function header(req: IncomingMessage, name: string): string | undefined {
  const value = req.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** Length of the request's body: null when it is chunked, 0 when there is none. */
export function bodyLength(req: IncomingMessage): number | null {
  if (req.headers['transfer-encoding'] !== undefined) return null
  const text = req.headers['content-length']
  return text === undefined ? 0 : Number(text)
}

/** Whether the client waits for `100 Continue` before it sends its body. */
export function expectsContinue(req: IncomingMessage): boolean {
  return req.headers.expect?.toLowerCase() === '100-continue'
}

/** Whether the client is gone, so that nothing can be answered any more. */
export function isGone(exchange: Exchange): boolean {
  return exchange.res.destroyed || exchange.req.socket.destroyed
}

function ignore(): void {}

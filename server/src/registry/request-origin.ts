import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { RegionRuntime } from './runtime.ts'

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]'])
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' }

/**
 * Scheme, host and port under which the client may be told to come again. The request's own Host counts only when it
 * is the region's host or a loopback alias of the port that was listened on; any other Host, and X-Forwarded-Host
 * from whomever, gives the region's own origin. The scheme is the connection's, or what a trusted proxy says.
 */
export function requestOrigin(
  runtime: Pick<RegionRuntime, 'region' | 'externalOrigin' | 'trustedProxies'>,
  req: Pick<IncomingMessage, 'headers' | 'socket'>,
): string {
  const host = req.headers.host?.toLowerCase()
  if (host === undefined) return runtime.externalOrigin
  const scheme = requestScheme(runtime, req)
  if (withoutDefaultPort(host, scheme) === withoutDefaultPort(runtime.region.host, scheme)) {
    return `${scheme}://${runtime.region.host}`
  }
  return isLoopbackAlias(runtime, host, req.socket.localPort) ? `${scheme}://${host}` : runtime.externalOrigin
}

function requestScheme(
  runtime: Pick<RegionRuntime, 'trustedProxies'>,
  req: Pick<IncomingMessage, 'headers' | 'socket'>,
): string {
  const own = (req.socket as TLSSocket).encrypted === true ? 'https' : 'http'
  const forwarded = req.headers['x-forwarded-proto']
  if (forwarded !== 'http' && forwarded !== 'https') return own
  return runtime.trustedProxies.contains(req.socket.remoteAddress ?? '') ? forwarded : own
}

function withoutDefaultPort(host: string, scheme: string): string {
  const port = `:${DEFAULT_PORTS[scheme]}`
  return host.endsWith(port) ? host.slice(0, -port.length) : host
}

function isLoopbackAlias(
  runtime: Pick<RegionRuntime, 'region'>,
  host: string,
  localPort: number | undefined,
): boolean {
  const colon = host.lastIndexOf(':')
  const hasPort = colon > host.lastIndexOf(']')
  const name = hasPort ? host.slice(0, colon) : host
  const port = hasPort ? host.slice(colon + 1) : ''
  if (!LOOPBACK_NAMES.has(name)) return false
  return port === String(localPort ?? '') || port === portOf(runtime.region.host)
}

function portOf(host: string): string {
  return /:(\d+)$/.exec(host)?.[1] ?? ''
}

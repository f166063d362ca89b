import { normalizeAddress, type AddressSet } from './cidr.ts'
import { MAX_FORWARDED_FOR_BYTES, MAX_FORWARDED_HOPS } from './limits.ts'

/**
 * The address of the client, for CIDR rules and limits. `X-Forwarded-For` counts only when the socket's peer is a
 * trusted proxy; read from the right, because only what trusted proxies appended cannot be chosen by the client. The
 * first address that is not a trusted proxy is the client. At something that is no address the reading stops: then
 * the client is the proxy that passed it on.
 */
export function clientAddress(
  socketAddress: string | undefined,
  forwardedFor: string | undefined,
  trustedProxies: AddressSet,
): string {
  let client = normalizeAddress(socketAddress ?? '')
  if (client === null) return 'unknown'
  if (forwardedFor === undefined) return client
  for (const hop of lastHops(forwardedFor)) {
    if (!trustedProxies.contains(client)) return client
    const address = normalizeAddress(withoutPort(hop.trim()))
    if (address === null) return client
    client = address
  }
  return client
}

/**
 * From the right. Of a header that is too long only the end: ignoring all of it would let a client pass for the proxy by
 * sending a long one of its own.
 */
function lastHops(forwardedFor: string): string[] {
  const hops = forwardedFor.slice(-MAX_FORWARDED_FOR_BYTES).split(',')
  // The first of what is left may be cut.
  if (forwardedFor.length > MAX_FORWARDED_FOR_BYTES) hops.shift()
  return hops.slice(-MAX_FORWARDED_HOPS).reverse()
}

/** Some proxies append the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(hop: string): string {
  const bracketed = /^\[([^\]]*)\](?::[0-9]{1,5})?$/.exec(hop)
  if (bracketed?.[1] !== undefined) return bracketed[1]
  const withPort = /^([0-9.]+):[0-9]{1,5}$/.exec(hop)
  return withPort?.[1] ?? hop
}

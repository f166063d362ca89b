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
  if (forwardedFor === undefined || forwardedFor.length > MAX_FORWARDED_FOR_BYTES) return client
  const hops = forwardedFor.split(',').slice(-MAX_FORWARDED_HOPS)
  for (const hop of hops.reverse()) {
    if (!trustedProxies.contains(client)) return client
    const address = normalizeAddress(withoutPort(hop.trim()))
    if (address === null) return client
    client = address
  }
  return client
}

/** Some proxies append the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(hop: string): string {
  const bracketed = /^\[([^\]]*)\](?::[0-9]{1,5})?$/.exec(hop)
  if (bracketed?.[1] !== undefined) return bracketed[1]
  const withPort = /^([0-9.]+):[0-9]{1,5}$/.exec(hop)
  return withPort?.[1] ?? hop
}

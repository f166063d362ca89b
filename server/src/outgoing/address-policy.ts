import ipaddr from 'ipaddr.js'

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6

/** `public`, `special` (not reachable from the internet, or not one host), or the address of a cloud's metadata service. */
export type AddressKind = 'public' | 'special' | 'metadata'

type Network<Address extends IpAddress> = readonly [Address, number]

// IANA's special-purpose registry, and what is reserved or multicast.
const SPECIAL_IPV4 = ipv4Networks([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
])
// Everything outside of this is local, reserved, multicast or a translation of IPv4.
const GLOBAL_IPV6: Network<ipaddr.IPv6> = ipv6Network('2000::/3')
// Inside of it: protocol assignments with Teredo and ORCHID, documentation, 6to4, the former 6bone.
const SPECIAL_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3ffe::/16', '3fff::/20'].map(ipv6Network)
const NAT64 = ipv6Network('64:ff9b::/96')
// AWS, Google, Azure and most others; AWS over IPv6; AWS ECS; Alibaba; Azure's wire server; Oracle.
const METADATA = new Set([
  '169.254.169.254',
  'fd00:ec2::254',
  '169.254.170.2',
  '169.254.170.23',
  'fd00:ec2::23',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
])

/**
 * Parses an address in its plain spelling. An IPv4-mapped address and one behind the well-known NAT64 prefix are the
 * IPv4 address that they lead to. Null for anything else, zones included.
 */
export function parseIpAddress(text: string): IpAddress | null {
  if (!text.includes(':')) return ipaddr.IPv4.isValidFourPartDecimal(text) ? ipaddr.IPv4.parse(text) : null
  if (text.includes('%') || !ipaddr.IPv6.isValid(text)) return null
  const address = ipaddr.IPv6.parse(text)
  if (address.isIPv4MappedAddress()) return address.toIPv4Address()
  if (address.match(NAT64[0], NAT64[1])) return new ipaddr.IPv4(address.toByteArray().slice(-4))
  return address
}

/** Whether a user may aim a call at the address without the operator's leave. */
export function addressKind(address: IpAddress): AddressKind {
  if (METADATA.has(address.toString())) return 'metadata'
  if (address.kind() === 'ipv4') {
    const ipv4 = address as ipaddr.IPv4
    return SPECIAL_IPV4.some(([network, bits]) => ipv4.match(network, bits)) ? 'special' : 'public'
  }
  const ipv6 = address as ipaddr.IPv6
  if (!ipv6.match(GLOBAL_IPV6[0], GLOBAL_IPV6[1])) return 'special'
  return SPECIAL_IPV6.some(([network, bits]) => ipv6.match(network, bits)) ? 'special' : 'public'
}

function ipv4Networks(texts: readonly string[]): readonly Network<ipaddr.IPv4>[] {
  return texts.map((text) => ipaddr.IPv4.parseCIDR(text))
}

function ipv6Network(text: string): Network<ipaddr.IPv6> {
  return ipaddr.IPv6.parseCIDR(text)
}

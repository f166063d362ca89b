import ipaddr from 'ipaddr.js'
import { MAX_CIDRS_PER_LIST } from './limits.ts'

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** A set of networks. */
export interface AddressSet {
  /** False for a text that is no address. An IPv4-mapped IPv6 address counts as the IPv4 address. */
  contains(address: string): boolean
}

// Limits of identity: an IPv6 host may choose any address of its /64.
const IPV6_IDENTITY_BITS = 64

/**
 * Parses networks such as `10.0.0.0/8`, `2001:db8::/32` or a single address. Null when one of them is malformed or
 * there are more than MAX_CIDRS_PER_LIST.
 */
export function parseCidrs(texts: readonly string[]): AddressSet | null {
  if (texts.length > MAX_CIDRS_PER_LIST) return null
  const networks: { readonly address: Address; readonly bits: number }[] = []
  for (const text of texts) {
    const network = parseCidr(text)
    if (network === null) return null
    networks.push(network)
  }
  return {
    contains(text) {
      const address = parseAddress(text)
      if (address === null) return false
      return networks.some(
        (network) => network.address.kind() === address.kind() && matchesBits(address, network),
      )
    },
  }
}

/** The address in one spelling (IPv4-mapped as IPv4, no zone), or null. */
export function normalizeAddress(text: string): string | null {
  return parseAddress(text)?.toString() ?? null
}

/** What counts as one client for limits: the IPv4 address, the /64 of an IPv6 address. */
export function addressIdentity(text: string): string {
  const address = parseAddress(text)
  if (address === null) return 'unknown'
  if (address.kind() === 'ipv4') return address.toString()
  const bytes = address.toByteArray().map((byte, i) => (i < IPV6_IDENTITY_BITS / 8 ? byte : 0))
  return `${ipaddr.fromByteArray(bytes).toString()}/${IPV6_IDENTITY_BITS}`
}

function parseCidr(text: string): { address: Address; bits: number } | null {
  const slash = text.indexOf('/')
  const address = parseAddress(slash === -1 ? text : text.slice(0, slash), { mapped: false })
  if (address === null) return null
  const width = address.kind() === 'ipv4' ? 32 : 128
  const bitsText = slash === -1 ? String(width) : text.slice(slash + 1)
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(bitsText) || Number(bitsText) > width) return null
  const bits = Number(bitsText)
  // A network inside ::ffff:0:0/96 is the IPv4 network that it stands for, as addresses are.
  if (address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress() && bits >= 96) {
    return { address: (address as ipaddr.IPv6).toIPv4Address(), bits: bits - 96 }
  }
  return { address, bits }
}

function matchesBits(address: Address, network: { address: Address; bits: number }): boolean {
  return address.kind() === 'ipv4'
    ? (address as ipaddr.IPv4).match(network.address as ipaddr.IPv4, network.bits)
    : (address as ipaddr.IPv6).match(network.address as ipaddr.IPv6, network.bits)
}

function parseAddress(text: string, { mapped = true } = {}): Address | null {
  const percent = text.indexOf('%')
  const bare = percent === -1 ? text : text.slice(0, percent)
  const isAddress = bare.includes(':') ? ipaddr.IPv6.isValid(bare) : ipaddr.IPv4.isValidFourPartDecimal(bare)
  if (!isAddress) return null
  return mapped ? ipaddr.process(bare) : ipaddr.parse(bare)
}

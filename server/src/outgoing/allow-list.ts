import ipaddr from 'ipaddr.js'
import { addressKind, type IpAddress, parseIpAddress } from './address-policy.ts'
import { MAX_ALLOW_ENTRIES } from './limits.ts'

/** What the operator allows beside https to public addresses. */
export interface AllowEntry {
  /** A canonical host (name in lower case, or address), or null for a network. */
  readonly host: string | null
  /** Null for a host. */
  readonly network: { readonly address: string; readonly bits: number } | null
  /** Null: any port. */
  readonly port: number | null
  /** Whether the host is spoken to in plain HTTP on that port. */
  readonly plainHttp: boolean
}

export type ParsedAllowList =
  | { readonly ok: true; readonly entries: readonly AllowEntry[] }
  | { readonly ok: false; readonly mistakes: readonly string[] }

/** One way to reach a host, as a URL names it. */
export interface Target {
  readonly plainHttp: boolean
  /** Canonical: see `canonicalHost`. */
  readonly host: string
  readonly port: number
}

const HTTPS_PORT = 443
const HTTP_PORT = 80
// Ports on which public registries, issuers and webhook receivers are found. Everything below 1024 beside HTTPS is
// some other protocol, and so are these above it.
const FIRST_UNPRIVILEGED_PORT = 1024
const OTHER_PROTOCOL_PORTS = new Set([
  1433, 1521, 1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000,
  6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9100, 9200, 10080, 10250, 11211, 27017,
])
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*$/

/**
 * Parses a comma-separated allow-list: `10.0.0.0/8`, `10.0.0.5`, `[fd00::5]:5000`, `registry.corp.example`,
 * `registry.corp.example:5000`, `http://10.0.0.5:5000`. Reports every entry that is none of these.
 */
export function parseAllowList(text: string): ParsedAllowList {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  const entries: AllowEntry[] = []
  const mistakes: string[] = []
  for (const part of parts) {
    const entry = parseEntry(part)
    if (typeof entry === 'string') mistakes.push(`has "${part}", ${entry}`)
    else entries.push(entry)
  }
  if (parts.length > MAX_ALLOW_ENTRIES) mistakes.push(`may have at most ${MAX_ALLOW_ENTRIES} entries`)
  return mistakes.length === 0 ? { ok: true, entries } : { ok: false, mistakes }
}

/** A URL's host in one spelling: no brackets, no final dot; null when it is no name and no address. */
export function canonicalHost(hostname: string): string | null {
  if (hostname.startsWith('[')) return parseIpAddress(hostname.slice(1, -1))?.toString() ?? null
  const host = hostname.replace(/\.$/, '').toLowerCase()
  const address = parseIpAddress(host)
  if (address !== null) return address.toString()
  return HOST_NAME.test(host) ? host : null
}

/** Whether the operator wants plain HTTP with exactly this host and port. */
export function allowsPlainHttp(entries: readonly AllowEntry[], host: string, port: number): boolean {
  return entries.some((entry) => entry.plainHttp && entry.host === host && entry.port === port)
}

/** Whether the operator names this host (by its name or address) for this port. */
export function namesHost(entries: readonly AllowEntry[], { host, port }: Target): boolean {
  return entries.some((entry) => entry.host === host && (entry.port === null || entry.port === port))
}

/** Whether the port is one that users may aim at, or that the operator allows for this host. */
export function allowsPort(entries: readonly AllowEntry[], target: Target): boolean {
  const { port, plainHttp } = target
  if (port === (plainHttp ? HTTP_PORT : HTTPS_PORT)) return true
  if (port >= FIRST_UNPRIVILEGED_PORT && !OTHER_PROTOCOL_PORTS.has(port)) return true
  return entries.some(({ host, port: allowed }) => allowed === port && host === target.host)
}

/**
 * Whether a call to the target may go to the address. A metadata service needs an entry that names exactly its
 * address: neither a network nor a host name is enough, since whoever runs the name could aim it there.
 */
export function allowsAddress(entries: readonly AllowEntry[], target: Target, address: IpAddress): boolean {
  const kind = addressKind(address)
  if (kind === 'public') return true
  const text = address.toString()
  const onPort = entries.filter(({ port }) => port === null || port === target.port)
  if (onPort.some(({ host }) => host === text)) return true
  if (kind === 'metadata') return false
  return onPort.some((entry) =>
    entry.network === null ? entry.host === target.host : isInNetwork(address, entry.network),
  )
}

function parseEntry(part: string): AllowEntry | string {
  if (/^https?:/i.test(part)) return parseUrlEntry(part)
  if (part.includes('/')) {
    if (!ipaddr.isValidCIDR(part)) return 'which is no network such as 10.0.0.0/8'
    const [address, bits] = ipaddr.parseCIDR(part)
    return { host: null, network: canonicalNetwork(address, bits), port: null, plainHttp: false }
  }
  const bare = part.includes(':') ? parseIpAddress(part) : null
  if (bare !== null) return { host: bare.toString(), network: null, port: null, plainHttp: false }
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:@[\]]+)(?::(\d{1,5}))?$/.exec(part)
  const host = match?.[1] === undefined ? null : canonicalHost(match[1].toLowerCase())
  const port = match?.[2] === undefined ? null : Number(match[2])
  if (host === null || port === 0 || (port ?? 0) > 65_535 || isOddNumber(host)) {
    return 'which must be a network (10.0.0.0/8), an address, a host, host:port, or http://host:port'
  }
  return { host, network: null, port, plainHttp: false }
}

function parseUrlEntry(part: string): AllowEntry | string {
  const url = URL.canParse(part) ? new URL(part) : null
  const host = url === null ? null : canonicalHost(url.hostname)
  const isBare =
    url !== null && url.pathname === '/' && `${url.search}${url.hash}${url.username}${url.password}` === ''
  if (url === null || host === null || !isBare || url.port === '0') {
    return 'which must be http:// or https:// with a host and perhaps a port, and nothing else'
  }
  const plainHttp = url.protocol === 'http:'
  const port = url.port === '' ? (plainHttp ? HTTP_PORT : HTTPS_PORT) : Number(url.port)
  return { host, network: null, port, plainHttp }
}

/** `10.0.5` or `0x7f` look like names to the grammar, and like addresses to a URL parser. */
function isOddNumber(host: string): boolean {
  return parseIpAddress(host) === null && /(^|\.)(0x[0-9a-f]*|[0-9]+)$/.test(host)
}

/** A network of IPv4-mapped addresses is the IPv4 network that it stands for, as addresses are. */
function canonicalNetwork(address: IpAddress, bits: number): { address: string; bits: number } {
  const mapped = address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress() && bits >= 96
  return mapped
    ? { address: (address as ipaddr.IPv6).toIPv4Address().toString(), bits: bits - 96 }
    : { address: address.toString(), bits }
}

function isInNetwork(
  address: IpAddress,
  { address: text, bits }: { address: string; bits: number },
): boolean {
  const network = ipaddr.parse(text)
  if (network.kind() !== address.kind()) return false
  return address.kind() === 'ipv4'
    ? (address as ipaddr.IPv4).match(network as ipaddr.IPv4, bits)
    : (address as ipaddr.IPv6).match(network as ipaddr.IPv6, bits)
}

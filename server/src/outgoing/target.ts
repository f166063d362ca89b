import { addressKind, parseIpAddress } from './address-policy.ts'
import {
  type AllowEntry,
  allowsAddress,
  allowsPlainHttp,
  allowsPort,
  canonicalHost,
  namesHost,
  type Target,
} from './allow-list.ts'
import { MAX_ADDRESSES_PER_NAME, MAX_URL_LENGTH } from './limits.ts'
import { OutgoingError, quoted } from './outgoing-error.ts'

/** Looks up all addresses of a name, IPv4 and IPv6. Rejects with an error whose `code` says why. */
export type Resolve = (name: string) => Promise<readonly string[]>

/** A URL that may be called, before its name is looked up. */
export interface CheckedUrl extends Target {
  readonly url: URL
  /** For messages: the host, with its port unless that is the scheme's own. */
  readonly label: string
}

const LOOPBACK = ['127.0.0.1', '::1']
const DEFAULT_PORTS = { 'https:': 443, 'http:': 80 }
const ALLOW_HINT = 'an operator can allow it with BERTH_OUTGOING_ALLOW'

/**
 * Checks everything about a URL that needs no network: the scheme, the port, that it holds no credentials and that its
 * host is a name or an address. Throws `OutgoingError` (`refused_url`).
 */
export function checkUrl(input: string | URL, allow: readonly AllowEntry[]): CheckedUrl {
  const text = String(input)
  if (text.length > MAX_URL_LENGTH)
    throw refusedUrl('', `the URL is longer than ${MAX_URL_LENGTH} characters`)
  // A copy: the caller could change its own object while the name is looked up.
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null) throw refusedUrl('', 'this is not a URL')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw refusedUrl(quoted(url.host), 'the URL must begin with https://')
  }
  const host = canonicalHost(url.hostname)
  if (host === null) throw refusedUrl(quoted(url.host), `"${quoted(url.hostname)}" is not a host name`)
  const port = url.port === '' ? DEFAULT_PORTS[url.protocol] : Number(url.port)
  const plainHttp = url.protocol === 'http:'
  const shownHost = host.includes(':') ? `[${host}]` : host
  const label = port === DEFAULT_PORTS[url.protocol] ? shownHost : `${shownHost}:${port}`
  if (url.username !== '' || url.password !== '') {
    throw refusedUrl(label, 'the URL must not hold a user name or password')
  }
  const checked = { url, host, port, plainHttp, label }
  if (plainHttp && !allowsPlainHttp(allow, host, port)) {
    throw refusedUrl(
      label,
      `${label} would be called without TLS; ${ALLOW_HINT} as http://${shownHost}:${port}`,
    )
  }
  if (!allowsPort(allow, checked)) {
    throw refusedUrl(label, `port ${port} is not one that Berth calls; ${ALLOW_HINT} as ${shownHost}:${port}`)
  }
  return checked
}

/**
 * The addresses that a call to the URL may connect to, looked up once. If any of them is not public and not allowed, none
 * is used. Throws `OutgoingError` (`dns`, `refused_address`).
 */
export async function resolveTarget(
  target: CheckedUrl,
  allow: readonly AllowEntry[],
  resolve: Resolve,
): Promise<readonly string[]> {
  const literal = parseIpAddress(target.host)
  if (literal !== null) {
    if (!allowsAddress(allow, target, literal)) throw refusedAddress(target)
    return [target.host]
  }
  if (isLocalhost(target.host)) return loopbackAddresses(target, allow)
  if (isMetadataName(target.host) && !namesHost(allow, target)) throw refusedAddress(target)
  const addresses = await lookUp(target, resolve)
  for (const text of addresses) {
    const address = parseIpAddress(text)
    // Null: a link-local address with its zone, or what is no address at all.
    if (address === null || !allowsAddress(allow, target, address)) throw refusedAddress(target)
  }
  return addresses
}

async function lookUp(target: CheckedUrl, resolve: Resolve): Promise<readonly string[]> {
  let addresses: readonly string[]
  try {
    addresses = await resolve(target.host)
  } catch (error) {
    if (error instanceof OutgoingError) throw error
    throw dnsError(target, (error as NodeJS.ErrnoException).code ?? '')
  }
  if (addresses.length === 0) throw dnsError(target, 'ENODATA')
  // All were to be checked, so a name with more than these is refused as a whole rather than cut.
  if (addresses.length > MAX_ADDRESSES_PER_NAME) {
    throw new OutgoingError(
      'dns',
      target.label,
      `${target.host} has more than ${MAX_ADDRESSES_PER_NAME} addresses`,
    )
  }
  return addresses
}

/** Never asks DNS for `localhost` (RFC 6761, section 6.3). Of the two addresses, the allowed ones. */
function loopbackAddresses(target: CheckedUrl, allow: readonly AllowEntry[]): readonly string[] {
  const allowed = LOOPBACK.filter((text) => {
    const address = parseIpAddress(text)
    return address !== null && addressKind(address) === 'special' && allowsAddress(allow, target, address)
  })
  if (allowed.length === 0) throw refusedAddress(target)
  return allowed
}

function isLocalhost(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost')
}

function isMetadataName(host: string): boolean {
  return host === 'metadata' || host === 'instance-data' || host.startsWith('metadata.google.')
}

function refusedUrl(host: string, message: string): OutgoingError {
  return new OutgoingError('refused_url', host, message)
}

/** Says the same whatever kind of address it is: a stranger shall not learn the network behind a name. */
function refusedAddress(target: CheckedUrl): OutgoingError {
  return new OutgoingError(
    'refused_address',
    target.label,
    `${target.label} is not at a public address, so Berth does not call it; ${ALLOW_HINT}`,
  )
}

function dnsError(target: CheckedUrl, code: string): OutgoingError {
  const unknown = code === 'ENOTFOUND' || code === 'ENODATA'
  const message = unknown
    ? `there is no host named ${target.host}`
    : `the name ${target.host} could not be looked up (${code === '' ? 'unknown reason' : code})`
  return new OutgoingError('dns', target.label, message)
}

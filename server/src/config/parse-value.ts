import ipaddr from 'ipaddr.js'

/** The text of a variable is not acceptable. The message completes "BERTH_X …". */
export class InvalidValue extends Error {}

export interface Address {
  readonly host: string
  readonly port: number
}

export interface RegionSetting {
  readonly id: string
  readonly name: string
  /** host[:port] that clients use. */
  readonly host: string
  /** A listener of its own; null: chosen by the request's Host on the shared listener. */
  readonly listen: Address | null
}

/** A region as it is written down: without a host it gets one below the domain. */
export type NamedRegion = Omit<RegionSetting, 'host'> & { readonly host: string | null }

export const KIB = 1024
export const MIB = 1024 * KIB
export const GIB = 1024 * MIB
export const SECOND_MS = 1000
export const HOUR_MS = 3600 * SECOND_MS
export const DAY_MS = 24 * HOUR_MS

export function text(value: string): string {
  return value
}

export function oneOf<const Choice extends string>(...choices: Choice[]): (value: string) => Choice {
  return (value) => {
    const found = choices.find((choice) => choice === value)
    if (found === undefined) throw new InvalidValue(`must be one of ${choices.join(', ')}`)
    return found
  }
}

export function parseBoolean(value: string): boolean {
  if (value === 'true' || value === '1') return true
  if (value === 'false' || value === '0') return false
  throw new InvalidValue('must be true or false')
}

export function integerBetween(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
    if (!(number >= min && number <= max))
      throw new InvalidValue(`must be a whole number from ${min} to ${max}`)
    return number
  }
}

const DURATION_UNITS_MS: Record<string, number> = {
  ms: 1,
  s: SECOND_MS,
  m: 60 * SECOND_MS,
  h: HOUR_MS,
  d: DAY_MS,
}

/** `90s`, `15m`, `24h`, `7d`, `250ms` → milliseconds. */
export function parseDurationMs(value: string): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(value)
  const unitMs = DURATION_UNITS_MS[match?.[2] ?? '']
  if (match === null || unitMs === undefined)
    throw new InvalidValue('must be a duration such as 30s, 15m, 24h or 7d')
  return Number(match[1]) * unitMs
}

export function durationBetween(minMs: number, maxMs: number): (value: string) => number {
  return (value) => {
    const ms = parseDurationMs(value)
    if (ms < minMs || ms > maxMs)
      throw new InvalidValue(`must be between ${minMs / SECOND_MS}s and ${maxMs / SECOND_MS}s`)
    return ms
  }
}

const SIZE_UNITS_BYTES: Record<string, number> = {
  '': 1,
  B: 1,
  KiB: KIB,
  MiB: MIB,
  GiB: GIB,
  TiB: 1024 * GIB,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
}

/** `16KiB`, `10GiB`, `500MB`, `1048576` → bytes. */
export function parseSizeBytes(value: string): number {
  const match = /^(\d{1,15})\s?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?$/.exec(value)
  const unitBytes = SIZE_UNITS_BYTES[match?.[2] ?? '']
  if (match === null || unitBytes === undefined)
    throw new InvalidValue('must be a size such as 16KiB, 500MB or 10GiB')
  const bytes = Number(match[1]) * unitBytes
  if (!Number.isSafeInteger(bytes)) throw new InvalidValue('is too large')
  return bytes
}

export function sizeBetween(minBytes: number, maxBytes: number): (value: string) => number {
  return (value) => {
    const bytes = parseSizeBytes(value)
    if (bytes < minBytes || bytes > maxBytes)
      throw new InvalidValue(`must be between ${minBytes} and ${maxBytes} bytes`)
    return bytes
  }
}

const HOST_PATTERN = /^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)$/

/** `127.0.0.1:5000`, `[::1]:5000`, `:5000` (every address). */
export function parseAddress(value: string): Address {
  const colon = value.lastIndexOf(':')
  const portText = value.slice(colon + 1)
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : Number.NaN
  const hostText = colon < 0 ? '' : value.slice(0, colon)
  if (colon < 0 || !(port >= 0 && port <= 65535) || (hostText !== '' && !HOST_PATTERN.test(hostText))) {
    throw new InvalidValue('must be an address and port such as 127.0.0.1:5000 or [::1]:5000')
  }
  const host = hostText.startsWith('[') ? hostText.slice(1, -1) : hostText
  return { host: host === '' ? '::' : host, port }
}

const REGION_PATTERN = /^([a-z0-9]+(?:-[a-z0-9]+)*)=([^@;,]{1,64})(?:@([^;,@]+))?(?:;listen=([^;,]+))?$/
const REGION_ID_MAX_LENGTH = 40
const REGIONS_MAX = 100

/** `eu=Europe@registry.eu.example.com;listen=0.0.0.0:5001,us=…`. The first region is the default one. */
export function parseRegions(value: string): readonly NamedRegion[] {
  const regions = value.split(',').map(parseRegion)
  if (regions.length > REGIONS_MAX) throw new InvalidValue(`may name at most ${REGIONS_MAX} regions`)
  for (const field of ['id', 'host'] as const) {
    const seen = new Set<string>()
    for (const { [field]: value } of regions) {
      if (value !== null && seen.has(value)) throw new InvalidValue(`names ${value} twice`)
      if (value !== null) seen.add(value)
    }
  }
  return regions
}

/** A host name or address, optionally with a port, in lower case. */
export function parseHost(value: string): string {
  const [hostName, portText] = splitHostPort(value)
  if (!HOST_PATTERN.test(hostName) || (portText !== null && !/^\d{1,5}$/.test(portText))) {
    throw new InvalidValue(`has the host "${value}", which must be a host name, optionally with a port`)
  }
  return value.toLowerCase()
}

function parseRegion(part: string): NamedRegion {
  const match = REGION_PATTERN.exec(part.trim())
  const [, id, name, host, listen] = match ?? []
  if (id === undefined || name === undefined || id.length > REGION_ID_MAX_LENGTH) {
    throw new InvalidValue(
      `has "${part.trim()}", which must look like slug=Name@host:port, optionally with ;listen=address:port`,
    )
  }
  return {
    id,
    name: name.trim(),
    host: host === undefined ? null : parseHost(host),
    listen: listen === undefined ? null : parseAddress(listen),
  }
}

function splitHostPort(host: string): [string, string | null] {
  const match = /^(.*?)(?::(\d+))?$/.exec(host)
  return [match?.[1] ?? host, match?.[2] ?? null]
}

export function parseCidrs(value: string): readonly string[] {
  const cidrs = value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  for (const cidr of cidrs) {
    if (!ipaddr.isValidCIDR(cidr) && !ipaddr.isValid(cidr))
      throw new InvalidValue(`has "${cidr}", which is not an address or CIDR`)
  }
  return cidrs.map((cidr) => (ipaddr.isValidCIDR(cidr) ? cidr : `${cidr}/${cidr.includes(':') ? 128 : 32}`))
}

export function parseDomains(value: string): readonly string[] {
  const domains = value
    .split(',')
    .map((domain) => domain.trim().toLowerCase())
    .filter((domain) => domain !== '')
  const wrong = domains.find((domain) => !/^(?=.{1,253}$)[a-z0-9-]+(?:\.[a-z0-9-]+)+$/.test(domain))
  if (wrong !== undefined) throw new InvalidValue(`has "${wrong}", which is no domain such as example.org`)
  return domains
}

export function parseHttpUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '') {
    throw new InvalidValue('must be an http:// or https:// URL without credentials')
  }
  return value.replace(/\/+$/, '')
}

export function parseDatabaseUrl(value: string): string {
  if (!/^postgres(ql)?:\/\//.test(value) || !URL.canParse(value))
    throw new InvalidValue('must be a postgres:// URL')
  return value
}

export function parsePathPrefix(value: string): string {
  if (!/^\/[\w./-]*\/$/.test(value))
    throw new InvalidValue('must be a path that starts and ends with a slash')
  return value
}

const OPERATOR_TOKEN_MIN_LENGTH = 24

export function parseToken(value: string): string {
  if (value.length < OPERATOR_TOKEN_MIN_LENGTH || !/^[\x21-\x7e]+$/.test(value)) {
    throw new InvalidValue(`must be at least ${OPERATOR_TOKEN_MIN_LENGTH} visible ASCII characters`)
  }
  return value
}

export function parseRootKey(value: string): string {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(value))
    throw new InvalidValue(
      'must be 32 bytes in base64 (44 characters); make one with: openssl rand -base64 32',
    )
  return value
}

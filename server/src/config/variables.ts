import ipaddr from 'ipaddr.js'

/**
 * One configuration variable: an environment variable, and a key of berth.yaml with the same meaning. `parse` gets the
 * text and throws `InvalidValue` with a sentence that says what would be right.
 */
export interface Variable<Value> {
  readonly env: string
  /** Key in berth.yaml. */
  readonly key: string
  readonly description: string
  /** Shown in the documentation; the value itself comes from `defaultValue`. */
  readonly defaultText: string
  readonly defaultValue: Value
  /** Also readable from a file named by `<env>_FILE`; never printed. */
  readonly secret: boolean
  readonly parse: (text: string) => Value
}

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

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const SECOND_MS = 1000
const HOUR_MS = 3600 * SECOND_MS
const DAY_MS = 24 * HOUR_MS

/**
 * Every setting of the server, in the order of the documentation. `docs/reference/configuration.md` is generated from
 * this table.
 */
export const VARIABLES = {
  role: variable(
    'BERTH_ROLE',
    'role',
    'Which parts this process runs: `all`, `control` (console only) or `region` (registry only).',
    'all',
    'all' as 'all' | 'control' | 'region',
    oneOf('all', 'control', 'region'),
  ),
  dataDir: variable(
    'BERTH_DATA_DIR',
    'dataDir',
    'Folder for SQLite databases, blobs and generated secrets.',
    './berth-data',
    './berth-data',
    text,
  ),
  registryAddr: variable(
    'BERTH_REGISTRY_ADDR',
    'registryAddr',
    'Address and port on which the registry listens.',
    '127.0.0.1:5000',
    { host: '127.0.0.1', port: 5000 },
    parseAddress,
  ),
  consoleAddr: variable(
    'BERTH_CONSOLE_ADDR',
    'consoleAddr',
    'Address and port on which the console listens.',
    '127.0.0.1:8080',
    { host: '127.0.0.1', port: 8080 },
    parseAddress,
  ),
  consoleUrl: variable(
    'BERTH_CONSOLE_URL',
    'consoleUrl',
    'URL at which people reach the console, when it is not the listening address (a proxy in front).',
    '(the console address)',
    null as string | null,
    parseHttpUrl,
  ),
  regions: variable(
    'BERTH_REGIONS',
    'regions',
    'Regions as `slug=Name@host:port`, comma-separated, each with an optional `;listen=address:port`. The host is what clients use.',
    'local=Local@localhost:5000',
    null as readonly RegionSetting[] | null,
    parseRegions,
  ),
  operatorToken: secret(
    'BERTH_OPERATOR_TOKEN',
    'operatorToken',
    'Bearer token of the operator, at least 24 characters. Made and printed once when unset.',
    parseToken,
  ),
  rootKey: secret(
    'BERTH_ROOT_KEY',
    'rootKey',
    'Root key: 32 bytes in base64. Everything secret at rest depends on it. Made in the data folder when neither it nor BERTH_ROOT_KEY_FILE is set.',
    parseRootKey,
  ),
  databaseUrl: secret(
    'BERTH_DATABASE_URL',
    'databaseUrl',
    'PostgreSQL connection URL. Unset: SQLite files in the data folder.',
    parseDatabaseUrl,
  ),
  databasePoolSize: variable(
    'BERTH_DATABASE_POOL_SIZE',
    'databasePoolSize',
    'PostgreSQL connections per database of this process.',
    '10',
    10,
    integerBetween(2, 200),
  ),
  s3Endpoint: variable(
    'BERTH_S3_ENDPOINT',
    's3Endpoint',
    'URL of an S3-compatible store. Unset with a bucket: AWS.',
    '(none)',
    null as string | null,
    parseHttpUrl,
  ),
  s3Bucket: variable(
    'BERTH_S3_BUCKET',
    's3Bucket',
    'Bucket for blobs. Unset: blobs in the data folder.',
    '(none)',
    null as string | null,
    text,
  ),
  s3Region: variable(
    'BERTH_S3_REGION',
    's3Region',
    'Region name of the object store.',
    'us-east-1',
    'us-east-1',
    text,
  ),
  s3AccessKeyId: variable(
    'BERTH_S3_ACCESS_KEY_ID',
    's3AccessKeyId',
    'Access key id of the object store.',
    '(none)',
    null as string | null,
    text,
  ),
  s3SecretAccessKey: secret(
    'BERTH_S3_SECRET_ACCESS_KEY',
    's3SecretAccessKey',
    'Secret access key of the object store.',
    text,
  ),
  s3ForcePathStyle: variable(
    'BERTH_S3_FORCE_PATH_STYLE',
    's3ForcePathStyle',
    'Use `endpoint/bucket/key` URLs (most self-hosted stores need it). Default: true when an endpoint is set.',
    '(see text)',
    null as boolean | null,
    parseBoolean,
  ),
  blobDelivery: variable(
    'BERTH_BLOB_DELIVERY',
    'blobDelivery',
    'How blobs reach clients: `stream` through Berth, `accel` by an X-Accel-Redirect header for nginx, `redirect` to a presigned S3 URL.',
    'stream',
    'stream' as 'stream' | 'accel' | 'redirect',
    oneOf('stream', 'accel', 'redirect'),
  ),
  accelPrefix: variable(
    'BERTH_ACCEL_PREFIX',
    'accelPrefix',
    'Internal location of nginx that serves the blob folder (with `accel`). The region id follows it.',
    '/_berth/blobs/',
    '/_berth/blobs/',
    parsePathPrefix,
  ),
  redirectSeconds: variable(
    'BERTH_REDIRECT_SECONDS',
    'redirectSeconds',
    'Lifetime of presigned URLs (with `redirect`).',
    '60',
    60,
    integerBetween(5, 60),
  ),
  tlsCertFile: variable(
    'BERTH_TLS_CERT_FILE',
    'tlsCertFile',
    'PEM certificate chain for both listeners, read again when it changes.',
    '(none: plain HTTP)',
    null as string | null,
    text,
  ),
  tlsKeyFile: variable(
    'BERTH_TLS_KEY_FILE',
    'tlsKeyFile',
    'PEM private key for both listeners, read again when it changes.',
    '(none)',
    null as string | null,
    text,
  ),
  trustedProxies: variable(
    'BERTH_TRUSTED_PROXIES',
    'trustedProxies',
    'Comma-separated CIDRs whose X-Forwarded-For and X-Forwarded-Proto are believed.',
    '(none)',
    [] as readonly string[],
    parseCidrs,
  ),
  metricsAllow: variable(
    'BERTH_METRICS_ALLOW',
    'metricsAllow',
    'Comma-separated CIDRs that may read /metrics and the details of /readyz without the operator token. Loopback always may, unless a trusted proxy forwards the request.',
    '(loopback only)',
    [] as readonly string[],
    parseCidrs,
  ),
  rootKeyFile: variable(
    'BERTH_ROOT_KEY_FILE',
    'rootKeyFile',
    'File that holds the root key, as BERTH_ROOT_KEY.',
    '<data folder>/root.key',
    null as string | null,
    text,
  ),
  logLevel: variable(
    'BERTH_LOG_LEVEL',
    'logLevel',
    '`debug`, `info`, `warn` or `error`.',
    'info',
    'info' as 'debug' | 'info' | 'warn' | 'error',
    oneOf('debug', 'info', 'warn', 'error'),
  ),
  drainMs: variable(
    'BERTH_DRAIN_TIMEOUT',
    'drainTimeout',
    'How long running transfers may go on after SIGTERM.',
    '30s',
    30 * SECOND_MS,
    parseDurationMs,
  ),
  tokenTtlMs: variable(
    'BERTH_TOKEN_TTL',
    'tokenTtl',
    'Lifetime of registry tokens (60s to 1h).',
    '15m',
    900 * SECOND_MS,
    durationBetween(60 * SECOND_MS, HOUR_MS),
  ),
  inlineLimitBytes: variable(
    'BERTH_INLINE_LIMIT',
    'inlineLimit',
    'Blobs up to this size live in the metadata database.',
    '16KiB',
    16 * KIB,
    sizeBetween(0, MIB),
  ),
  diskReserveBytes: variable(
    'BERTH_DISK_RESERVE',
    'diskReserve',
    'Free space below which new uploads are refused while pulls and deletes go on.',
    '1GiB',
    GIB,
    sizeBetween(0, 1024 * GIB),
  ),
  maxUploadsPerKey: variable(
    'BERTH_MAX_UPLOADS_PER_KEY',
    'maxUploadsPerKey',
    'Upload sessions that one key may have open at once.',
    '1000',
    1000,
    integerBetween(1, 1_000_000),
  ),
  maxBlobBytes: variable(
    'BERTH_MAX_BLOB_SIZE',
    'maxBlobSize',
    'Largest blob accepted.',
    '512GiB',
    512 * GIB,
    sizeBetween(MIB, 5 * 1024 * GIB),
  ),
  uploadTtlMs: variable(
    'BERTH_UPLOAD_TTL',
    'uploadTtl',
    'An upload session that received nothing for this long is collected.',
    '24h',
    DAY_MS,
    durationBetween(60 * SECOND_MS, 30 * DAY_MS),
  ),
  blobLeaseMs: variable(
    'BERTH_BLOB_LEASE',
    'blobLease',
    'How long an acknowledged blob is kept before any manifest refers to it.',
    '24h',
    DAY_MS,
    durationBetween(0, 30 * DAY_MS),
  ),
  trashMs: variable(
    'BERTH_TRASH_PERIOD',
    'trashPeriod',
    'How long deleted manifests can be undeleted and unreferenced blobs stay recoverable.',
    '7d',
    7 * DAY_MS,
    durationBetween(0, 365 * DAY_MS),
  ),
  gcIntervalMs: variable(
    'BERTH_GC_INTERVAL',
    'gcInterval',
    'Pause between garbage collection cycles.',
    '1m',
    60 * SECOND_MS,
    durationBetween(SECOND_MS, DAY_MS),
  ),
  gcMaxShare: variable(
    'BERTH_GC_MAX_SHARE',
    'gcMaxShare',
    'A cycle that would remove more than this percentage of a region’s blobs stops and says so (small regions under 100 blobs are exempt).',
    '25',
    25,
    integerBetween(1, 100),
  ),
} as const

/** Values by name, after defaults: what `config.ts` builds the configuration from. */
export type Settings = {
  readonly [Name in keyof typeof VARIABLES]:
    | (typeof VARIABLES)[Name]['defaultValue']
    | ReturnType<(typeof VARIABLES)[Name]['parse']>
}

function variable<Value, Parsed extends Value>(
  env: string,
  key: string,
  description: string,
  defaultText: string,
  defaultValue: Value,
  parse: (text: string) => Parsed,
): Variable<Value> & { parse: (text: string) => Parsed } {
  return { env, key, description, defaultText, defaultValue, secret: false, parse }
}

function secret(
  env: string,
  key: string,
  description: string,
  parse: (text: string) => string,
): Variable<string | null> & { parse: (text: string) => string } {
  return { env, key, description, defaultText: '(none)', defaultValue: null, secret: true, parse }
}

function text(value: string): string {
  return value
}

function oneOf<const Choice extends string>(...choices: Choice[]): (value: string) => Choice {
  return (value) => {
    const found = choices.find((choice) => choice === value)
    if (found === undefined) throw new InvalidValue(`must be one of ${choices.join(', ')}`)
    return found
  }
}

function parseBoolean(value: string): boolean {
  if (value === 'true' || value === '1') return true
  if (value === 'false' || value === '0') return false
  throw new InvalidValue('must be true or false')
}

function integerBetween(min: number, max: number): (value: string) => number {
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

function durationBetween(minMs: number, maxMs: number): (value: string) => number {
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

function sizeBetween(minBytes: number, maxBytes: number): (value: string) => number {
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

const REGION_PATTERN = /^([a-z0-9]+(?:-[a-z0-9]+)*)=([^@;,]{1,64})@([^;,@]+)(?:;listen=([^;,]+))?$/
const REGION_ID_MAX_LENGTH = 40
const REGIONS_MAX = 100

/** `eu=Europe@registry.eu.example.com;listen=0.0.0.0:5001,us=…`. The first region is the default one. */
export function parseRegions(value: string): readonly RegionSetting[] {
  const regions = value.split(',').map(parseRegion)
  if (regions.length > REGIONS_MAX) throw new InvalidValue(`may name at most ${REGIONS_MAX} regions`)
  for (const field of ['id', 'host'] as const) {
    const seen = new Set<string>()
    for (const region of regions) {
      if (seen.has(region[field])) throw new InvalidValue(`names ${region[field]} twice`)
      seen.add(region[field])
    }
  }
  return regions
}

function parseRegion(part: string): RegionSetting {
  const match = REGION_PATTERN.exec(part.trim())
  const [, id, name, host, listen] = match ?? []
  if (id === undefined || name === undefined || host === undefined || id.length > REGION_ID_MAX_LENGTH) {
    throw new InvalidValue(
      `has "${part.trim()}", which must look like slug=Name@host:port, optionally with ;listen=address:port`,
    )
  }
  const [hostName, portText] = splitHostPort(host)
  if (!HOST_PATTERN.test(hostName) || (portText !== null && !/^\d{1,5}$/.test(portText))) {
    throw new InvalidValue(`has the host "${host}", which must be a host name, optionally with a port`)
  }
  return {
    id,
    name: name.trim(),
    host: host.toLowerCase(),
    listen: listen === undefined ? null : parseAddress(listen),
  }
}

function splitHostPort(host: string): [string, string | null] {
  const match = /^(.*?)(?::(\d+))?$/.exec(host)
  return [match?.[1] ?? host, match?.[2] ?? null]
}

function parseCidrs(value: string): readonly string[] {
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

function parseHttpUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '') {
    throw new InvalidValue('must be an http:// or https:// URL without credentials')
  }
  return value.replace(/\/+$/, '')
}

function parseDatabaseUrl(value: string): string {
  if (!/^postgres(ql)?:\/\//.test(value) || !URL.canParse(value))
    throw new InvalidValue('must be a postgres:// URL')
  return value
}

function parsePathPrefix(value: string): string {
  if (!/^\/[\w./-]*\/$/.test(value))
    throw new InvalidValue('must be a path that starts and ends with a slash')
  return value
}

const OPERATOR_TOKEN_MIN_LENGTH = 24

function parseToken(value: string): string {
  if (value.length < OPERATOR_TOKEN_MIN_LENGTH || !/^[\x21-\x7e]+$/.test(value)) {
    throw new InvalidValue(`must be at least ${OPERATOR_TOKEN_MIN_LENGTH} visible ASCII characters`)
  }
  return value
}

function parseRootKey(value: string): string {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(value))
    throw new InvalidValue(
      'must be 32 bytes in base64 (44 characters); make one with: openssl rand -base64 32',
    )
  return value
}

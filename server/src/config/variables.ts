import type { AllowEntry } from '../outgoing/allow-list.ts'
import { parseOutgoingAllow, parseUpstreamEndpoints } from './outgoing-values.ts'
import {
  DAY_MS,
  durationBetween,
  GIB,
  HOUR_MS,
  integerBetween,
  KIB,
  MIB,
  oneOf,
  parseAddress,
  parseBoolean,
  parseCidrs,
  parseDatabaseUrl,
  parseDomains,
  parseDurationMs,
  parseHost,
  parseHttpUrl,
  parsePathPrefix,
  parseRegions,
  parseRootKey,
  parseToken,
  type NamedRegion,
  SECOND_MS,
  sizeBetween,
  text,
} from './parse-value.ts'

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
    'Regions as `slug=Name@host:port`, comma-separated, each with an optional `;listen=address:port`. The host is what clients use; with BERTH_REGISTRY_DOMAIN it can be left out.',
    'local=Local@localhost:5000',
    null as readonly NamedRegion[] | null,
    parseRegions,
  ),
  registryDomain: variable(
    'BERTH_REGISTRY_DOMAIN',
    'registryDomain',
    'Domain (and port) of the registries: a region without a host of its own is `registry.<slug>.<domain>`, and `registry.<domain>` leads each project to its home region.',
    '(none)',
    null as string | null,
    parseHost,
  ),
  registryHost: variable(
    'BERTH_REGISTRY_HOST',
    'registryHost',
    'The host without a region, which leads each project to its home region, when it is not `registry.<domain>`.',
    '(from BERTH_REGISTRY_DOMAIN)',
    null as string | null,
    parseHost,
  ),
  projectCreation: variable(
    'BERTH_PROJECT_CREATION',
    'projectCreation',
    'Who may create projects: `anyone` with an account, or `operators` only.',
    'anyone',
    'anyone' as 'anyone' | 'operators',
    oneOf('anyone', 'operators'),
  ),
  namespaceReservationMs: variable(
    'BERTH_NAMESPACE_RESERVATION',
    'namespaceReservation',
    'How long the namespace of a deleted project is kept from others (1d to 3650d). One that anyone could pull from without a credential is kept for ever, and so is one whose images are not all removed yet.',
    '90d',
    90 * DAY_MS,
    durationBetween(DAY_MS, 3650 * DAY_MS),
  ),
  operatorToken: secret(
    'BERTH_OPERATOR_TOKEN',
    'operatorToken',
    'Bearer token of the operator, at least 24 characters. Made and printed once when unset.',
    parseToken,
  ),
  ssoIssuer: variable(
    'BERTH_SSO_ISSUER',
    'ssoIssuer',
    'Issuer of single sign-on for people (OpenID Connect). Its redirect URI is `<console URL>/api/auth/callback/sso`.',
    '(none)',
    null as string | null,
    parseHttpUrl,
  ),
  ssoClientId: variable(
    'BERTH_SSO_CLIENT_ID',
    'ssoClientId',
    'Client id that the issuer of single sign-on knows the console by.',
    '(none)',
    null as string | null,
    text,
  ),
  ssoClientSecret: secret(
    'BERTH_SSO_CLIENT_SECRET',
    'ssoClientSecret',
    'Client secret at the issuer of single sign-on. Unset: a public client, with PKCE alone.',
    text,
  ),
  ssoName: variable(
    'BERTH_SSO_NAME',
    'ssoName',
    'What the button of single sign-on is called.',
    'single sign-on',
    'single sign-on',
    text,
  ),
  ssoDomains: variable(
    'BERTH_SSO_DOMAINS',
    'ssoDomains',
    'Comma-separated e-mail domains. Whoever the issuer gives a verified address in one of them gets an account by signing in, and nobody outside of them gets in. Unset: only people who have an account already, by their verified address.',
    '(none)',
    [] as readonly string[],
    parseDomains,
  ),
  rootKey: secret(
    'BERTH_ROOT_KEY',
    'rootKey',
    'Root key: 32 bytes in base64. Everything secret at rest depends on it. Made in the data folder when neither it nor BERTH_ROOT_KEY_FILE is set.',
    parseRootKey,
  ),
  rootKeyPrevious: secret(
    'BERTH_ROOT_KEY_PREVIOUS',
    'rootKeyPrevious',
    'The root key before, while it is changed: until `berth vault rekey` has finished.',
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
  outgoingAllow: variable(
    'BERTH_OUTGOING_ALLOW',
    'outgoingAllow',
    'What may be called beside HTTPS at public addresses: comma-separated CIDRs, addresses, host names (with `:port` for that port only), and `http://host:port` for a host without TLS.',
    '(public addresses only)',
    [] as readonly AllowEntry[],
    parseOutgoingAllow,
  ),
  outgoingCaFile: variable(
    'BERTH_OUTGOING_CA_FILE',
    'outgoingCaFile',
    'PEM certificates of authorities that are trusted for outgoing calls, beside the usual ones. Read at the start.',
    '(none)',
    null as string | null,
    text,
  ),
  upstreamEndpoints: variable(
    'BERTH_UPSTREAM_ENDPOINTS',
    'upstreamEndpoints',
    'Other places for the hosts of third-party registries, such as a mirror: `docker.io=https://mirror.example,ghcr.io=https://10.0.0.5:5443`, comma-separated. Credentials stored for the host are sent to that place; BERTH_OUTGOING_ALLOW holds for it, too.',
    '(none)',
    {} as Readonly<Record<string, string>>,
    parseUpstreamEndpoints,
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
  pullThroughKeepMs: variable(
    'BERTH_PULL_THROUGH_KEEP',
    'pullThroughKeep',
    'How long a copy from a connected registry is kept that nobody pulls.',
    '30d',
    30 * DAY_MS,
    durationBetween(60 * 60 * SECOND_MS, 3650 * DAY_MS),
  ),
  gcIntervalMs: variable(
    'BERTH_GC_INTERVAL',
    'gcInterval',
    'Pause between garbage collection cycles.',
    '1m',
    60 * SECOND_MS,
    durationBetween(SECOND_MS, DAY_MS),
  ),
  auditRetentionMs: variable(
    'BERTH_AUDIT_RETENTION',
    'auditRetention',
    'How long audit events are kept (1d to 3650d). The oldest are then removed from the beginning of each chain, which is an audit event itself. For ever when it is not set.',
    '(for ever)',
    null as number | null,
    durationBetween(DAY_MS, 3650 * DAY_MS),
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

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import type yaml from 'yaml'
import { readCaFile } from './outgoing-values.ts'
import { type Address, InvalidValue, type NamedRegion, type RegionSetting } from './parse-value.ts'
import type { Variable } from './variable.ts'
import { type Settings, VARIABLES } from './variables.ts'

/** The validated configuration of one process: frozen, and the only place that the rest of the code reads settings from. */
export interface Config extends Omit<Settings, 'regions' | 'dataDir' | 'rootKeyFile' | 'consoleUrl'> {
  /** Absolute. */
  readonly dataDir: string
  readonly rootKeyFile: string
  readonly regions: readonly RegionSetting[]
  readonly consoleUrl: string
  /** The content of the file that `outgoingCaFile` names. */
  readonly outgoingCaPem: string | null
  /** `http` or `https`: what the listeners themselves speak. */
  readonly scheme: 'http' | 'https'
}

/** Everything that is wrong with the configuration, at once. */
export class ConfigError extends Error {
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(
      `The configuration has ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`}:\n${mistakes.map((mistake) => `  - ${mistake}`).join('\n')}`,
    )
    this.name = 'ConfigError'
    this.mistakes = mistakes
  }
}

/**
 * Reads the environment and berth.yaml (the file that BERTH_CONFIG names, else `berth.yaml` in the working folder when it
 * is there). The environment wins. Unknown BERTH_ variables and unknown keys are mistakes: a typo must not pass
 * for a default. Throws `ConfigError` with every mistake.
 */
export function loadConfig(env: NodeJS.ProcessEnv, workingDir: string): Config {
  const mistakes: string[] = []
  const file = readConfigFile(env, workingDir, mistakes)
  reportUnknown(env, file, mistakes)
  const entries = Object.entries(VARIABLES).map(([name, variable]) => [
    name,
    readVariable(variable, env, file, mistakes),
  ])
  const settings = Object.fromEntries(entries) as Settings
  checkTogether(settings, mistakes)
  const outgoingCaPem = readOutgoingCa(settings.outgoingCaFile, workingDir, mistakes)
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return Object.freeze({ ...complete(settings, workingDir), outgoingCaPem })
}

/** Variables that other programs of the project read, not the server. */
const FOREIGN_VARIABLES = new Set([
  'BERTH_CONFIG',
  'BERTH_TOKEN',
  'BERTH_PROJECT',
  'BERTH_CONTEXT',
  'BERTH_REGISTRY_PASSWORD',
  'BERTH_REQUIRE_ALL',
])

function readConfigFile(
  env: NodeJS.ProcessEnv,
  workingDir: string,
  mistakes: string[],
): Record<string, unknown> {
  const named = env['BERTH_CONFIG']
  const path = resolve(workingDir, named ?? 'berth.yaml')
  let content: string
  try {
    content = readFileSync(path, 'utf8')
  } catch (error) {
    if (named !== undefined || (error as NodeJS.ErrnoException).code !== 'ENOENT')
      mistakes.push(
        `the configuration file ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      )
    return {}
  }
  try {
    // Most installations have no file, and need no parser for it.
    const { parse } = createRequire(import.meta.url)('yaml') as typeof yaml
    const value: unknown = parse(content) ?? {}
    if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
    mistakes.push(`${path} must hold keys and values`)
  } catch (error) {
    mistakes.push(`${path} is not valid YAML: ${(error as Error).message.split('\n')[0]}`)
  }
  return {}
}

function reportUnknown(env: NodeJS.ProcessEnv, file: Record<string, unknown>, mistakes: string[]): void {
  const variables: Variable<unknown>[] = Object.values(VARIABLES)
  const names = new Set(
    variables.flatMap((variable) =>
      variable.secret ? [variable.env, `${variable.env}_FILE`] : [variable.env],
    ),
  )
  for (const name of Object.keys(env)) {
    if (
      name.startsWith('BERTH_') &&
      !names.has(name) &&
      !FOREIGN_VARIABLES.has(name) &&
      !name.startsWith('BERTH_TEST_')
    ) {
      mistakes.push(`${name} is not a setting of Berth${nearest(name, [...names])}`)
    }
  }
  const keys = variables.flatMap((variable) =>
    variable.secret ? [variable.key, `${variable.key}File`] : [variable.key],
  )
  for (const key of Object.keys(file)) {
    if (!keys.includes(key))
      mistakes.push(`berth.yaml: "${key}" is not a setting of Berth${nearest(key, keys)}`)
  }
}

function nearest(name: string, known: string[]): string {
  const close = known.find(
    (candidate) =>
      candidate.startsWith(name) ||
      name.startsWith(candidate) ||
      candidate.replaceAll('_', '') === name.replaceAll('_', ''),
  )
  return close === undefined ? '' : ` (did you mean ${close}?)`
}

function readVariable(
  variable: Variable<unknown>,
  env: NodeJS.ProcessEnv,
  file: Record<string, unknown>,
  mistakes: string[],
): unknown {
  const source = rawValue(variable, env, file, mistakes)
  if (source === null) return variable.defaultValue
  try {
    return variable.parse(source.text)
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error
    mistakes.push(`${source.origin} ${error.message}`)
    return variable.defaultValue
  }
}

function rawValue(
  variable: Variable<unknown>,
  env: NodeJS.ProcessEnv,
  file: Record<string, unknown>,
  mistakes: string[],
): { text: string; origin: string } | null {
  const direct = env[variable.env]
  const filePath = variable.secret ? env[`${variable.env}_FILE`] : undefined
  if (direct !== undefined && direct !== '' && filePath !== undefined && variable.env !== 'BERTH_ROOT_KEY') {
    mistakes.push(`${variable.env} and ${variable.env}_FILE are both set; set one of them`)
  }
  if (direct !== undefined && direct !== '') return { text: direct, origin: variable.env }
  // The root key's file is a setting of its own: it is created when it is missing.
  if (filePath !== undefined && variable.env !== 'BERTH_ROOT_KEY')
    return readSecretFile(filePath, `${variable.env}_FILE`, mistakes)
  const fromFile = fileValue(file[variable.key])
  if (fromFile !== null) return { text: fromFile, origin: `berth.yaml: ${variable.key}` }
  const secretFile = variable.secret ? file[`${variable.key}File`] : undefined
  if (typeof secretFile === 'string' && variable.env !== 'BERTH_ROOT_KEY')
    return readSecretFile(secretFile, `berth.yaml: ${variable.key}File`, mistakes)
  return null
}

/** A scalar or a list of scalars as the text that the environment would hold; null: not set. */
function fileValue(value: unknown): string | null {
  if (value === undefined || value === null) return null
  if (Array.isArray(value)) return value.map((item) => fileValue(item) ?? '').join(',')
  return typeof value === 'object' ? JSON.stringify(value) : String(value as string | number | boolean)
}

function readSecretFile(
  path: string,
  origin: string,
  mistakes: string[],
): { text: string; origin: string } | null {
  try {
    return { text: readFileSync(path, 'utf8').trim(), origin }
  } catch (error) {
    mistakes.push(`${origin} names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code})`)
    return null
  }
}

function readOutgoingCa(path: string | null, workingDir: string, mistakes: string[]): string | null {
  if (path === null) return null
  try {
    return readCaFile(resolve(workingDir, path))
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error
    mistakes.push(`BERTH_OUTGOING_CA_FILE ${error.message}`)
    return null
  }
}

function checkTogether(settings: Settings, mistakes: string[]): void {
  if ((settings.tlsCertFile === null) !== (settings.tlsKeyFile === null))
    mistakes.push('BERTH_TLS_CERT_FILE and BERTH_TLS_KEY_FILE must be set together')
  if (settings.s3Bucket === null && settings.s3Endpoint !== null)
    mistakes.push('BERTH_S3_ENDPOINT needs BERTH_S3_BUCKET')
  if (
    settings.s3Bucket !== null &&
    (settings.s3AccessKeyId === null) !== (settings.s3SecretAccessKey === null)
  ) {
    mistakes.push('BERTH_S3_ACCESS_KEY_ID and BERTH_S3_SECRET_ACCESS_KEY must be set together')
  }
  if (settings.blobDelivery === 'redirect' && settings.s3Bucket === null)
    mistakes.push('BERTH_BLOB_DELIVERY=redirect needs BERTH_S3_BUCKET')
  if (settings.blobDelivery === 'accel' && settings.s3Bucket !== null)
    mistakes.push('BERTH_BLOB_DELIVERY=accel works with blobs in the data folder, not with BERTH_S3_BUCKET')
  if (settings.role !== 'all' && settings.databaseUrl === null)
    mistakes.push(
      `BERTH_ROLE=${settings.role} needs BERTH_DATABASE_URL: separate processes cannot share SQLite files`,
    )
  if ((settings.ssoIssuer === null) !== (settings.ssoClientId === null))
    mistakes.push('BERTH_SSO_ISSUER and BERTH_SSO_CLIENT_ID must be set together')
  if (settings.ssoIssuer !== null && isPlainRemote(settings.ssoIssuer))
    mistakes.push('BERTH_SSO_ISSUER must be an https URL: whoever can change its answers can be anybody')
  const homeless = (settings.regions ?? []).filter(({ host }) => host === null)
  if (homeless.length > 0 && settings.registryDomain === null) {
    const ids = homeless.map(({ id }) => id).join(', ')
    mistakes.push(
      `BERTH_REGIONS names no host for ${ids}: write slug=Name@host, or set BERTH_REGISTRY_DOMAIN`,
    )
  }
  const listeners = [
    settings.registryAddr,
    settings.consoleAddr,
    ...(settings.regions ?? []).map((region) => region.listen),
  ].filter((address) => address !== null)
  const taken = new Set<string>()
  for (const { host, port } of listeners) {
    if (port !== 0 && taken.has(`${host}:${port}`))
      mistakes.push(
        `two listeners want ${host}:${port}; the registry and the console need ports of their own`,
      )
    taken.add(`${host}:${port}`)
  }
}

/** Whether a URL is not encrypted and leaves this machine. */
function isPlainRemote(text: string): boolean {
  const { protocol, hostname } = new URL(text)
  return protocol === 'http:' && !/^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}

function complete(settings: Settings, workingDir: string): Omit<Config, 'outgoingCaPem'> {
  const scheme = settings.tlsCertFile === null ? 'http' : 'https'
  const dataDir = resolve(workingDir, settings.dataDir)
  const { registryDomain } = settings
  return {
    ...settings,
    dataDir,
    rootKeyFile: resolve(workingDir, settings.rootKeyFile ?? resolve(dataDir, 'root.key')),
    regions: settings.regions?.map((region) => withHost(region, registryDomain)) ?? [
      defaultRegion(settings.registryAddr),
    ],
    registryHost: settings.registryHost ?? (registryDomain === null ? null : `registry.${registryDomain}`),
    consoleUrl: settings.consoleUrl ?? `${scheme}://${displayHost(settings.consoleAddr)}`,
    scheme,
  }
}

/** `checkTogether` has made sure that there is a host or a domain. */
function withHost({ host, ...region }: NamedRegion, domain: string | null): RegionSetting {
  return { ...region, host: host ?? `registry.${region.id}.${domain}` }
}

function defaultRegion(registryAddr: Address): RegionSetting {
  return { id: 'local', name: 'Local', host: displayHost(registryAddr), listen: null }
}

/** What a person types to reach a listening address on this machine: loopback and "every address" become localhost. */
function displayHost({ host, port }: Address): string {
  const local = ['127.0.0.1', '::1', '0.0.0.0', '::'].includes(host)
  const name = local ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return `${name}:${port}`
}

/** The effective configuration as text lines, secrets replaced, for `berth config print`. */
export function printConfig(config: Config): string {
  const lines = Object.entries(VARIABLES).map(([name, variable]) => {
    const value: unknown = config[name as keyof Config]
    const shown = variable.secret ? (value === null ? 'unset' : '(secret)') : JSON.stringify(value)
    return `${variable.key}: ${shown}`
  })
  return `${lines.join('\n')}\n`
}

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  type CommandOptions,
  type CommandResult,
  freePort,
  runCommand,
  type ServerProcess,
  startProcess,
  temporaryFolder,
  waitUntilReady,
} from './process.ts'
import { currentStack, stackEnvironment } from './stack.ts'
import type { Stack } from './suite-files.ts'

const repository = join(import.meta.dirname, '..', '..')
const entryPoint = join(repository, 'cli', 'bin', 'berth.js')
const readyTimeoutMs = 30_000
const stopTimeoutMs = 30_000

export type BerthOptions = {
  /** Stops the server when the test ends, and shows the end of its log when the test failed. */
  test?: TestContext
  /** Default: a new folder, removed in the end. */
  dataDir?: string
  /** Default: the stack of this run. */
  stack?: Stack
  /** Slugs of the regions, each with a listener of its own. Default: `local` alone. */
  regions?: readonly string[]
  /** host:port that clients use for the only region, when a proxy stands before the listener. */
  regionHost?: string
  /** What the listeners speak; `https` with BERTH_TLS_* in `env`. */
  scheme?: 'http' | 'https'
  /** More environment; `undefined` takes a variable away. */
  env?: Record<string, string | undefined>
  /** Arguments of node before the entry point, such as `--import` of a module that makes faults. */
  nodeArguments?: readonly string[]
}

export type ApiAnswer = { status: number; headers: Headers; body: unknown }
export type ProjectAnswer = { id: string; namespace: string; name: string }
export type KeyAnswer = {
  id: string
  key: string
  /** `Basic …` for an Authorization header. */
  authorization: string
}
export type KeyOptions = {
  name?: string
  actions?: readonly ('pull' | 'push' | 'delete')[]
  repositories?: readonly string[]
  regions?: readonly string[]
  cidrs?: readonly string[]
  expiresAt?: string
}

export type Berth = AsyncDisposable & {
  readonly stack: Stack
  /** Of the first region: `http://127.0.0.1:PORT`, and the `127.0.0.1:PORT` that image references begin with. */
  readonly registryUrl: string
  readonly registryHost: string
  /** host:port of each region by its slug. */
  readonly regionHosts: ReadonlyMap<string, string>
  readonly consoleUrl: string
  readonly operatorToken: string
  readonly dataDir: string
  /** The server's configuration, for other processes that shall have the same. */
  env(): Readonly<Record<string, string | undefined>>
  /** The process's id; another one after `restart`. */
  readonly pid: number
  /** SIGTERM, and waits. The data stays, `restart` goes on with it. Answers the exit code or the signal's name. */
  stop(): Promise<number | string>
  kill9(): Promise<void>
  /** Stops it when it runs, and starts it on the same data and ports. Ready when it returns. */
  restart(env?: Record<string, string | undefined>): Promise<void>
  /** Calls the console's API as the operator: `api('GET', '/projects')`. Any status is an answer. */
  api(method: string, path: string, body?: unknown): Promise<ApiAnswer>
  /** Makes a project whose name is its namespace. */
  createProject(namespace: string, more?: Record<string, unknown>): Promise<ProjectAnswer>
  createKey(project: string, options?: KeyOptions): Promise<KeyAnswer>
  revokeKey(project: string, id: string): Promise<void>
  /** Runs the `berth` command with this server's configuration: `cli(['fsck'])`. */
  cli(args: readonly string[], options?: Omit<CommandOptions, 'cwd'>): Promise<CommandResult>
  /** What it has written to standard output and standard error, of the process that ran last. */
  log(): string
}

/** Starts the real Berth server as a process of its own and waits until its console and every region are ready. */
export async function startBerth(options: BerthOptions = {}): Promise<Berth> {
  const stack = options.stack ?? currentStack()
  const folder = options.dataDir === undefined ? temporaryFolder('data') : null
  const dataDir = options.dataDir ?? (folder?.path as string)
  const operatorToken = randomBytes(24).toString('hex')
  const regionHosts = new Map<string, string>()
  for (const slug of options.regions ?? ['local']) regionHosts.set(slug, `127.0.0.1:${await freePort()}`)
  const hosts = [...regionHosts.values()]
  const consoleAddress = `127.0.0.1:${await freePort()}`
  const base = {
    ...withoutBerth(process.env),
    ...addressEnvironment(consoleAddress, regionHosts),
    ...(options.regionHost === undefined ? {} : { BERTH_REGIONS: `local=Local@${options.regionHost}` }),
    BERTH_DATA_DIR: dataDir,
    BERTH_OPERATOR_TOKEN: operatorToken,
    ...(await stackEnvironment(stack)),
    ...options.env,
  }
  let env: Record<string, string | undefined> = base
  const scheme = options.scheme ?? 'http'
  const node = ['--max-semi-space-size=4', ...(options.nodeArguments ?? []), entryPoint]
  const launch = async (): Promise<ServerProcess> => {
    const started = await startProcess(process.execPath, [...node, 'serve'], {
      cwd: dataDir,
      env,
      name: 'berth',
    })
    await waitUntilReady(started, () => allReady(scheme, [consoleAddress, ...hosts]), readyTimeoutMs)
    return started
  }
  let server = await launch()
  const stop = (): Promise<number | string> => server.stop('SIGTERM', stopTimeoutMs)
  const dispose = async (): Promise<void> => {
    await stop()
    folder?.remove()
  }
  options.test?.after(async () => {
    const { passed } = options.test as { passed?: boolean } // Not in Node's type declarations yet.
    if (!passed) options.test?.diagnostic(`--- last lines of berth ---\n${server.tail()}`)
    await dispose()
  })
  return {
    stack,
    registryUrl: `${scheme}://${hosts[0]}`,
    registryHost: hosts[0] as string,
    regionHosts,
    consoleUrl: `${scheme}://${consoleAddress}`,
    operatorToken,
    dataDir,
    env: () => env,
    get pid() {
      return server.pid
    },
    stop,
    async kill9() {
      await server.kill9()
    },
    async restart(more = {}) {
      if (server.ended() === null) await stop()
      env = { ...base, ...more }
      server = await launch()
    },
    cli: (args, run = {}) =>
      runCommand(process.execPath, [entryPoint, ...args], { ...run, env: { ...env, ...run.env } }),
    log: () => server.output(),
    ...consoleCalls(`${scheme}://${consoleAddress}`, operatorToken),
    [Symbol.asyncDispose]: dispose,
  }
}

/** `Basic …` of an API key, whose user name is always `api`. */
export function basicAuthorization(key: string): string {
  return `Basic ${Buffer.from(`api:${key}`).toString('base64')}`
}

function consoleCalls(
  consoleUrl: string,
  operatorToken: string,
): Pick<Berth, 'api' | 'createProject' | 'createKey' | 'revokeKey'> {
  const api = async (method: string, path: string, body?: unknown): Promise<ApiAnswer> => {
    const response = await fetch(`${consoleUrl}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${operatorToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, headers: response.headers, body: parseBody(await response.text()) }
  }
  const succeed = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const answer = await api(method, path, body)
    if (answer.status >= 200 && answer.status < 300) return answer.body
    throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  }
  return {
    api,
    async createProject(namespace, more = {}) {
      return (await succeed('POST', '/projects', { name: namespace, namespace, ...more })) as ProjectAnswer
    },
    async createKey(project, options = {}) {
      const body = { name: 'test', ...options }
      const { id, key } = (await succeed('POST', `/projects/${project}/api-keys`, body)) as KeyAnswer
      return { id, key, authorization: basicAuthorization(key) }
    },
    async revokeKey(project, id) {
      await succeed('DELETE', `/projects/${project}/api-keys/${id}`)
    },
  }
}

async function allReady(scheme: string, addresses: readonly string[]): Promise<boolean> {
  for (const address of addresses) {
    const response = await fetch(`${scheme}://${address}/readyz`)
    await response.arrayBuffer()
    if (response.status !== 200) return false
  }
  return true
}

/** The first region is served by the main listener, each further one by a listener of its own. */
function addressEnvironment(
  consoleAddress: string,
  hosts: ReadonlyMap<string, string>,
): Record<string, string | undefined> {
  const regions = [...hosts].map(([slug, host], index) => {
    const name = `${slug.slice(0, 1).toUpperCase()}${slug.slice(1)}`
    return `${slug}=${name}@${host}${index === 0 ? '' : `;listen=${host}`}`
  })
  return {
    BERTH_CONSOLE_ADDR: consoleAddress,
    BERTH_REGISTRY_ADDR: [...hosts.values()][0],
    BERTH_REGIONS: regions.join(','),
  }
}

/** The caller's environment without BERTH_ variables: a developer's own settings must not change a test. */
function withoutBerth(env: NodeJS.ProcessEnv): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('BERTH_')))
}

function parseBody(text: string): unknown {
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

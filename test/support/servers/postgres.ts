import { chownSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import {
  freePort,
  runCommand,
  type ServerProcess,
  startProcess,
  temporaryFolder,
  waitUntilReady,
} from '../process.ts'
import { findCommand, requireTools } from '../tools.ts'

export type PostgresOptions = {
  /** Off by default: faster, and safe against kill -9 of Berth, though not against a power cut. */
  fsync?: boolean
  /** Nobody stops it: it ends with the test process, and does not keep that running. */
  shared?: boolean
  /** Further settings, such as `{ max_connections: '50' }`. */
  settings?: Record<string, string>
}

export type Postgres = AsyncDisposable & {
  port: number
  socketFolder: string
  /** Address of a database of this cluster (over TCP, as the superuser `postgres`). */
  url(database: string): string
  /** Makes an empty database and returns its address. Without a name it gets one of its own. */
  createDatabase(name?: string): Promise<string>
  dropDatabase(name: string): Promise<void>
  /** Ends every server process at once, as a crash would, and keeps the data. */
  kill9(): Promise<void>
  /** Starts again on the same data and port, after `kill9`. */
  start(): Promise<void>
  stop(): Promise<void>
  log(): string
}

/** Starts a PostgreSQL cluster of its own on a free loopback port and a Unix socket; ready when it returns. */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const { postgres } = await requireTools('postgres')
  const initdb = findCommand('initdb') as string
  const folder = temporaryFolder('postgres')
  const identity = serverIdentity()
  const dataFolder = join(folder.path, 'data')
  mkdirSync(dataFolder, { mode: 0o700 })
  if (identity.uid !== undefined) {
    chownSync(folder.path, identity.uid, identity.gid as number)
    chownSync(dataFolder, identity.uid, identity.gid as number)
  }
  const initArgs = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync']
  await runCommand(initdb, [...initArgs, '-D', dataFolder], { cwd: folder.path, ...identity })
  const port = await freePort()
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: folder.path,
    fsync: options.fsync ? 'on' : 'off',
    max_connections: '200',
    shared_buffers: '64MB',
    ...options.settings,
  }
  const args = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])
  const url = (database: string): string => `postgres://postgres@127.0.0.1:${port}/${database}`
  const launch = async (): Promise<ServerProcess> => {
    const started = await startProcess(postgres, ['-D', dataFolder, ...args], {
      cwd: folder.path,
      ...identity,
    })
    await waitUntilReady(started, () => answers(url('postgres')))
    if (options.shared) started.unref()
    return started
  }
  let server = await launch()
  let databases = 0
  const stop = async (): Promise<void> => {
    await server.stop('SIGINT') // "Fast shutdown": connections are closed, data is written.
    folder.remove()
  }
  return {
    port,
    socketFolder: folder.path,
    url,
    async createDatabase(name = `berth_test_${process.pid}_${++databases}`) {
      await execute(url('postgres'), `CREATE DATABASE ${identifier(name)}`)
      return url(name)
    },
    async dropDatabase(name) {
      await execute(url('postgres'), `DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`)
    },
    async kill9() {
      await server.kill9()
    },
    async start() {
      if (server.ended() !== null) server = await launch()
    },
    stop,
    log: () => server.output(),
    [Symbol.asyncDispose]: stop,
  }
}

/** PostgreSQL refuses to run as root: as root its own user is used, otherwise the current one. */
function serverIdentity(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((line) => line.startsWith('postgres:'))
  if (entry === undefined) throw new Error('there is no user "postgres" to run PostgreSQL as')
  const [, , uid, gid] = entry.split(':')
  return { uid: Number(uid), gid: Number(gid) }
}

async function answers(url: string): Promise<boolean> {
  await execute(url, 'SELECT 1')
  return true
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {}) // A connection cut while the server starts or stops; the query itself rejects.
  try {
    await client.connect()
    await client.query(sql)
  } finally {
    await client.end().catch(() => {})
  }
}

function identifier(name: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) throw new Error(`not a plain database name: ${name}`)
  return `"${name}"`
}

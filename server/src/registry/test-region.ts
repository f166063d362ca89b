import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import http, { type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { parseCidrs } from '../access/cidr.ts'
import type { MintedKey } from '../access/key.ts'
import { createRegionRefusalLog } from '../access/refusal-log.ts'
import { createRegionAccess, type RegionAccess } from '../access/region-access.ts'
import type { BlobStore } from '../blobstore/blobstore.ts'
import { createFilesystemBlobStore } from '../blobstore/filesystem/filesystem-blobstore.ts'
import type { Database } from '../metastore/database.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { UploadSessionStore } from '../metastore/session-store.ts'
import { openSqliteDatabase } from '../metastore/sqlite/database.ts'
import { openSqliteSessionStore } from '../metastore/sqlite/session-store.ts'
import { startSqliteWriter } from '../metastore/sqlite/writer.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { DEFAULT_LIMITS, type RegistryLimits } from './limits.ts'
import { createLastPulls } from './last-pulls.ts'
import { type NewRegistry, outgoingCalls } from './pull-through/test-registries.ts'
import { createRegistryHandler } from './routes.ts'
import type { BlobDelivery, RegionRuntime } from './runtime.ts'
import { type ControlPlane, createControlPlane, type NewKey, type NewProject } from './test-control-plane.ts'

/*
 * Test support: one region over real drivers (SQLite and files in a temporary folder) behind a real HTTP server on a
 * free port of loopback. Projects and keys come from a control plane that is a list in memory.
 */

export interface TestRegionOptions {
  readonly limits?: Partial<RegistryLimits>
  readonly delivery?: BlobDelivery
  /** Wraps or replaces the blob store. */
  readonly wrapBlobs?: (blobs: BlobStore) => BlobStore
  readonly wrapSessions?: (sessions: UploadSessionStore) => UploadSessionStore
  readonly tokenLifetimeSeconds?: number
  readonly port?: number
  readonly trustedProxies?: readonly string[]
  /** What BERTH_OUTGOING_ALLOW says. */
  readonly outgoingAllow?: string
  /** Certificate authorities that outgoing calls trust beside the usual ones. */
  readonly outgoingCaPem?: string
  readonly upstreamEndpoints?: ReadonlyMap<string, string>
}

/** The databases of one region, opened. */
export interface TestDatabases {
  readonly db: Database<RegionSchema>
  readonly sessions: UploadSessionStore
  /** Closes both. */
  close(): Promise<void>
}

/** Opens the databases of the region whose data is in a folder. Called again for each restart. */
export type OpenDatabases = (folder: string) => Promise<TestDatabases>

let openDatabases: OpenDatabases = openSqlite

/** Makes regions that are opened from now on use other databases than SQLite. */
export function useDatabases(open: OpenDatabases): void {
  openDatabases = open
}

async function openSqlite(folder: string): Promise<TestDatabases> {
  const writer = startSqliteWriter()
  const db = await openSqliteDatabase('region', { path: join(folder, 'region.db'), writer })
  const sessions = await openSqliteSessionStore({ path: join(folder, 'sessions.db') })
  return {
    db,
    sessions,
    async close() {
      await sessions.close()
      await db.close()
      await writer.close()
    },
  }
}

export interface CallOptions {
  /** Value of the Authorization header; null: none. Default: the last key that was made. */
  readonly authorization?: string | null
  readonly headers?: Readonly<Record<string, string | number | string[]>>
  readonly body?: Uint8Array | string
  /** Send the body without Content-Length. */
  readonly chunked?: boolean
}

export interface CallAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The body as JSON, untyped: tests look into it. */
  // oxlint-disable-next-line typescript/no-explicit-any -- each test knows the shape of what it asked for
  json(): any
  /** Code of the first OCI error in the body, or null. */
  code(): string | null
}

export interface TestRegion {
  readonly runtime: RegionRuntime
  readonly port: number
  /** Everything that was logged. */
  readonly logged: () => string
  /** Moves the region's clock ahead. Tokens and keys see it too. */
  advance(ms: number): void
  createProject(namespace: string, settings?: NewProject): Promise<string>
  updateProject(namespace: string, settings: NewProject & { deletedAt?: number }): Promise<void>
  createKey(namespace: string, rules?: NewKey): Promise<MintedKey>
  revokeKey(id: string): Promise<void>
  /** Connects a registry, or changes one. Answers the id of its record. */
  connectRegistry(namespace: string, registry: NewRegistry): Promise<string>
  disconnectRegistry(id: string): Promise<void>
  call(method: string, path: string, options?: CallOptions): Promise<CallAnswer>
  /** Open connections of the server. */
  connections(): Promise<number>
  /** Stops the process's part (server, memory) and starts it again over the same data. */
  restart(): Promise<void>
  close(): Promise<void>
}

/** The header that `docker` sends for `docker login -u api -p <key>`. */
export function basic(key: MintedKey | string): string {
  const password = typeof key === 'string' ? key : key.text
  return `Basic ${Buffer.from(`api:${password}`).toString('base64')}`
}

interface Stack {
  readonly runtime: RegionRuntime
  readonly access: RegionAccess
  readonly port: number
  connections(): Promise<number>
  stop(): Promise<void>
}

/** Opens a region. `close` it in every case, or the temporary folder stays. */
export async function openTestRegion(options: TestRegionOptions = {}): Promise<TestRegion> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-registry-'))
  const control = createControlPlane()
  const clock = { aheadMs: 0, nowMs: () => Date.now() + clock.aheadMs }
  const lines: string[] = []
  let stack = await startStack(folder, control, clock, lines, options)
  let authorization: string | null = null

  return {
    get runtime() {
      return stack.runtime
    },
    get port() {
      return stack.port
    },
    logged: () => lines.join(''),
    advance(ms) {
      clock.aheadMs += ms
    },
    async createProject(namespace, settings = {}) {
      const id = control.setProject(namespace, settings)
      await stack.access.refresh()
      return id
    },
    async updateProject(namespace, settings) {
      control.setProject(namespace, settings)
      await stack.access.refresh()
    },
    async createKey(namespace, rules = {}) {
      const key = control.addKey(namespace, rules)
      await stack.access.refresh()
      authorization = basic(key)
      return key
    },
    async revokeKey(id) {
      control.revokeKey(id, clock.nowMs())
      await stack.access.refresh()
    },
    async connectRegistry(namespace, registry) {
      const id = control.registries.set(namespace, registry)
      await stack.access.refresh()
      return id
    },
    async disconnectRegistry(id) {
      control.registries.remove(id)
      await stack.access.refresh()
    },
    call(method, path, more = {}) {
      return callPort(stack.port, method, path, { authorization, ...more })
    },
    connections: () => stack.connections(),
    async restart() {
      await stack.stop()
      stack = await startStack(folder, control, clock, lines, { ...options, port: stack.port })
    },
    async close() {
      await stack.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function listenOnLoopback(wanted: number): Promise<{ server: http.Server; port: number }> {
  const server = http.createServer({ requestTimeout: 0, noDelay: true })
  await new Promise<void>((resolve) => server.listen(wanted, '127.0.0.1', resolve))
  return { server, port: (server.address() as AddressInfo).port }
}

async function startStack(
  folder: string,
  control: ControlPlane,
  clock: { nowMs(): number },
  lines: string[],
  options: TestRegionOptions,
): Promise<Stack> {
  const databases = await openDatabases(folder)
  const { db } = databases
  const files = await createFilesystemBlobStore({ root: join(folder, 'blobs'), nowMs: clock.nowMs })
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const { server, port } = await listenOnLoopback(options.port ?? 0)
  const region = { id: 'local', name: 'Local', host: `localhost:${port}` }
  const access = createRegionAccess({
    region,
    db,
    source: control.source,
    rootSecret: new Uint8Array(32).fill(3),
    peppers: control.peppers,
    replica: { id: randomUUID(), version: 'test' },
    log,
    nowMs: clock.nowMs,
    ...(options.tokenLifetimeSeconds === undefined
      ? {}
      : { tokenLifetimeSeconds: options.tokenLifetimeSeconds }),
  })
  await access.refresh()
  const refusals = createRegionRefusalLog(db, { log, nowMs: clock.nowMs })
  const lastPulls = createLastPulls(db, log)
  const calls = outgoingCalls(options)
  const runtime: RegionRuntime = {
    region,
    externalOrigin: `http://${region.host}`,
    db,
    sessions: options.wrapSessions?.(databases.sessions) ?? databases.sessions,
    blobs: options.wrapBlobs?.(files) ?? files,
    access,
    refusals,
    lastPulls,
    limits: { ...DEFAULT_LIMITS, diskReserveBytes: 0, ...options.limits },
    delivery: options.delivery ?? { mode: 'stream' },
    clock,
    log,
    metrics: createMetrics(),
    trustedProxies: parseCidrs(options.trustedProxies ?? []) ?? { contains: () => false },
    ...calls,
  }
  const handler = createRegistryHandler(runtime)
  server.on('request', handler)
  server.on('checkContinue', handler)
  return {
    runtime,
    access,
    port,
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
      }),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await access.close()
      await refusals.close()
      await calls.upstreams.close()
      await lastPulls.close()
      await files.close()
      await databases.close()
    },
  }
}

/** One request on a connection of its own. The path is sent as it is. */
export function callPort(
  port: number,
  method: string,
  path: string,
  options: CallOptions = {},
): Promise<CallAnswer> {
  const { authorization, body, chunked, headers } = options
  return new Promise((resolve, reject) => {
    const length = body === undefined || chunked === true ? {} : { 'Content-Length': Buffer.byteLength(body) }
    const req = http.request({
      host: '127.0.0.1',
      port,
      method,
      path,
      agent: false,
      headers: {
        ...(authorization ? { Authorization: authorization } : {}),
        ...length,
        ...headers,
      },
    })
    if (
      body === undefined &&
      !['GET', 'HEAD', 'DELETE'].includes(method) &&
      headers?.['Transfer-Encoding'] === undefined
    ) {
      req.setHeader('Content-Length', 0)
    }
    let answered = false
    req.on('response', (res) => {
      answered = true
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('error', reject)
      res.on('end', () => resolve(toAnswer(res.statusCode ?? 0, res.headers, Buffer.concat(chunks))))
    })
    // An answer may come before the body was sent; what happens to the connection then does not matter.
    req.on('error', (error) => {
      if (!answered) reject(error)
    })
    req.end(body)
  })
}

function toAnswer(status: number, headers: IncomingHttpHeaders, body: Buffer): CallAnswer {
  const json = () => JSON.parse(body.toString('utf8'))
  return {
    status,
    headers,
    body,
    json,
    code() {
      try {
        return json().errors[0].code
      } catch {
        return null
      }
    },
  }
}

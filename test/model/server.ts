import { createSecretKey, type KeyObject, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Client, createClient } from '@berth/api/client'
import { pino } from 'pino'
import { type AccessSource, createDatabaseAccessSource } from '../../server/src/access/access-source.ts'
import { type AddressSet, parseCidrs } from '../../server/src/access/cidr.ts'
import { createControlRefusalLog, createRegionRefusalLog } from '../../server/src/access/refusal-log.ts'
import { createRegionAccess } from '../../server/src/access/region-access.ts'
import { waitUntilApplied } from '../../server/src/access/revocation.ts'
import { type Config, loadConfig } from '../../server/src/config/config.ts'
import { createConsole } from '../../server/src/control/console.ts'
import { type Installation, openInstallation } from '../../server/src/control/installation/service.ts'
import { derivePeopleSettings } from '../../server/src/control/people/settings.ts'
import type { ControlRuntime } from '../../server/src/control/runtime.ts'
import { projectKeyStore } from '../../server/src/metastore/queries/project-key.ts'
import { createVault } from '../../server/src/vault/vault.ts'
import { createDrivers, type RegionStorage } from '../../server/src/drivers.ts'
import { GarbageCollector, type GcCycleOptions } from '../../server/src/jobs/gc.ts'
import { expireUploads } from '../../server/src/jobs/upload-expiry.ts'
import type { ControlSchema } from '../../server/src/metastore/control-schema.ts'
import type { Database } from '../../server/src/metastore/database.ts'
import { listReplicas } from '../../server/src/metastore/queries/access-replica.ts'
import { syncRegions } from '../../server/src/metastore/queries/region.ts'
import type { RegionSchema } from '../../server/src/metastore/region-schema.ts'
import { createOutgoing } from '../../server/src/outgoing/create-outgoing.ts'
import { createLastPulls } from '../../server/src/registry/last-pulls.ts'
import { createUpstreams } from '../../server/src/registry/pull-through/upstreams.ts'
import { createRegistryHandler } from '../../server/src/registry/routes.ts'
import type { Logger } from '../../server/src/telemetry/log.ts'
import { createMetrics, type Metrics } from '../../server/src/telemetry/metrics.ts'
import { stackEnvironment } from '../support/stack.ts'
import type { Stack } from '../support/suite-files.ts'
import { createConnections, type Connections } from './connections.ts'

/*
 * A whole Berth in this process: the real drivers of a stack, the registry and the console on real sockets, and a clock
 * that stands still until the test moves it, so that what a lease or a time in the trash allows is exact.
 */

/** How long the server keeps things, in milliseconds. */
export const PERIODS = {
  leaseMs: 24 * 3_600_000,
  trashMs: 7 * 24 * 3_600_000,
  uploadTtlMs: 24 * 3_600_000,
  tokenMs: 900_000,
} as const

/** Content up to this size is kept in the database. */
export const INLINE_LIMIT_BYTES = 16 * 1024

const OPERATOR_TOKEN = 'berth-operator-of-the-model-tests'
const HOST = 'registry.example:5000'
const REGION = { id: 'local', name: 'Local', host: HOST }
const PEPPER_VERSION = 1
const UNLIMITED_FAILURES = 1_000_000

export type ModelServer = AsyncDisposable & {
  readonly stack: Stack
  /** Requests to the registry. */
  readonly registry: Connections
  /** The console as the operator. */
  readonly console: Client
  /** For recounts: everything that the region knows. */
  readonly db: Database<RegionSchema>
  nowMs(): number
  advance(ms: number): void
  /** A cycle of garbage collection by the console, and of upload expiry. */
  collect(): Promise<void>
  /** Stops everything that a process holds, and starts again over the same data. */
  restart(): Promise<void>
  /** The last lines that were logged. */
  log(): string
}

type Running = Pick<ModelServer, 'registry' | 'console' | 'db'> & {
  expire(): Promise<void>
  stop(): Promise<void>
}

type Clock = { nowMs(): number }

/** Starts it on data of its own; disposing removes them. */
export async function openModelServer(stack: Stack): Promise<ModelServer> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-model-'))
  const env = {
    ...(await stackEnvironment(stack)),
    BERTH_DATA_DIR: folder,
    BERTH_OPERATOR_TOKEN: OPERATOR_TOKEN,
    BERTH_REGIONS: `local=Local@${HOST}`,
    BERTH_DISK_RESERVE: '0',
  }
  const config = loadConfig(env, folder)
  let nowMs = Date.now()
  const clock = { nowMs: () => nowMs }
  const lines: string[] = []
  let running = await start(config, clock, lines)
  return {
    stack,
    get registry() {
      return running.registry
    },
    get console() {
      return running.console
    },
    get db() {
      return running.db
    },
    nowMs: clock.nowMs,
    advance(ms) {
      nowMs += ms
    },
    async collect() {
      await running.expire()
      await running.console.call('gc.run', { body: { force: true } })
    },
    async restart() {
      await running.stop()
      running = await start(config, clock, lines)
    },
    log: () => lines.slice(-KEPT_LINES).join(''),
    async [Symbol.asyncDispose]() {
      await running.stop()
      await rm(folder, { recursive: true })
    },
  }
}

const KEPT_LINES = 15
const MAX_LINES = 2000

/** What the parts of one process share. */
type Parts = {
  config: Config
  clock: Clock
  log: Logger
  metrics: Metrics
  installation: Installation
  pepper: KeyObject
  source: AccessSource
  controlDb: Database<ControlSchema>
  storage: RegionStorage
  /** The region's database by the test's clock. */
  db: Database<RegionSchema>
}

async function start(config: Config, clock: Clock, lines: string[]): Promise<Running> {
  await using cleanup = new AsyncDisposableStack()
  const parts = await openParts(config, clock, lines, cleanup)
  const handler = await createRegistry(parts, cleanup)
  const console = await createConsole(createControl(parts))
  cleanup.defer(() => console.close())
  const consolePort = await listen(console.routing, cleanup)
  const registry = createConnections(await listen(handler, cleanup))
  cleanup.defer(async () => registry.close())
  const { storage, db, log } = parts
  const orphanAgeMs = 2 * PERIODS.uploadTtlMs
  const uploads = { regionId: REGION.id, ...storage, db, orphanAgeMs, log }
  const running = cleanup.move()
  return {
    registry,
    console: createClient({ baseUrl: `http://127.0.0.1:${consolePort}`, token: OPERATOR_TOKEN }),
    db,
    async expire() {
      await expireUploads(uploads, new AbortController().signal)
    },
    stop: () => running.disposeAsync(),
  }
}

async function openParts(
  config: Config,
  clock: Clock,
  lines: string[],
  cleanup: AsyncDisposableStack,
): Promise<Parts> {
  const drivers = await createDrivers(config)
  cleanup.defer(() => drivers.close())
  const controlDb = await drivers.openControlDatabase()
  cleanup.defer(() => controlDb.close())
  const rootKey = { text: config.rootKey, file: config.rootKeyFile, previousText: config.rootKeyPrevious }
  const installation = await openInstallation({ db: controlDb, rootKey, operatorToken: OPERATOR_TOKEN })
  const origin = { actor: 'configuration', requestId: 'start', nowMs: clock.nowMs() }
  await controlDb.run(syncRegions, { regions: config.regions, origin })
  const storage = await drivers.openRegion(REGION.id)
  cleanup.defer(async () => {
    await storage.sessions.close()
    await storage.blobs.close()
    await storage.db.close()
  })
  return {
    config,
    clock,
    log: pino({ level: 'warn' }, { write: (line: string) => keep(lines, line) }),
    metrics: createMetrics(),
    installation,
    pepper: createSecretKey(Buffer.alloc(32, 5)),
    source: createDatabaseAccessSource(controlDb),
    controlDb,
    storage,
    db: withClock(storage.db, clock),
  }
}

async function createRegistry(parts: Parts, cleanup: AsyncDisposableStack): Promise<RequestListener> {
  const { config, clock, log, metrics, storage, db } = parts
  // Leases of replicas run by the real time of the database, which is not the test's to move.
  const access = createRegionAccess({
    region: REGION,
    db: storage.db,
    source: parts.source,
    rootSecret: parts.installation.installationKey,
    peppers: new Map([[PEPPER_VERSION, parts.pepper]]),
    replica: { id: randomUUID(), version: 'test' },
    log,
    nowMs: clock.nowMs,
    tokenLifetimeSeconds: PERIODS.tokenMs / 1000,
    failureLimits: {
      failuresPerCredential: UNLIMITED_FAILURES,
      failingCredentialsPerAddress: UNLIMITED_FAILURES,
      countedFailures: UNLIMITED_FAILURES,
    },
  })
  cleanup.defer(() => access.close())
  await access.refresh()
  const refusals = createRegionRefusalLog(db, { log, nowMs: clock.nowMs })
  cleanup.defer(() => refusals.close())
  const lastPulls = createLastPulls(db, log)
  cleanup.defer(() => lastPulls.close())
  const outgoing = createOutgoing({ allow: [], extraCaPem: null, userAgent: 'berth/test' })
  return createRegistryHandler({
    region: REGION,
    externalOrigin: `http://${HOST}`,
    ...storage,
    db,
    access,
    refusals,
    lastPulls,
    limits: {
      ...config,
      inlineLimitBytes: INLINE_LIMIT_BYTES,
      blobLeaseMs: PERIODS.leaseMs,
      trashMs: PERIODS.trashMs,
      uploadTtlMs: PERIODS.uploadTtlMs,
    },
    delivery: { mode: 'stream' },
    clock,
    log,
    metrics,
    trustedProxies: noProxies(),
    outgoing,
    upstreamEndpoints: new Map(),
    upstreams: createUpstreams({
      outgoing,
      rootKeys: parts.installation.rootKeys,
      endpoints: new Map(),
    }),
  })
}

function createControl(parts: Parts): ControlRuntime {
  const { config, clock, log, metrics, storage, db, installation, source } = parts
  const collector = new GarbageCollector({
    regionId: REGION.id,
    db,
    blobs: storage.blobs,
    trashMs: PERIODS.trashMs,
    maxSharePercent: config.gcMaxShare,
    log,
    metrics,
  })
  const gc = {
    preview: () => Promise.reject(new Error('the model asks for no preview')),
    runCycle: (options: GcCycleOptions) => collector.runCycle(options),
  }
  const origin = `http://${REGION.host}`
  const region = {
    region: { ...REGION, origin },
    db,
    sessions: storage.sessions,
    gc,
    trashMs: PERIODS.trashMs,
  }
  return {
    installation: { id: installation.id, version: 'test' },
    consoleUrl: 'http://console.example',
    sharedHost: null,
    db: withClock(parts.controlDb, clock),
    regions: new Map([[REGION.id, region]]),
    operatorAuth: installation.operatorAuth,
    projectCreation: 'anyone',
    namespaceReservationMs: 90 * 24 * 3_600_000,
    setupTokenHmac: null,
    pepper: { version: PEPPER_VERSION, key: parts.pepper },
    people: derivePeopleSettings(installation.installationKey, config),
    refusals: createControlRefusalLog(parts.controlDb, { log, nowMs: clock.nowMs }),
    revocation: {
      async waitUntilApplied(seq) {
        const regions = [{ id: REGION.id, db: storage.db }]
        const applied = await waitUntilApplied({ source, regions, seq })
        const replicas = await listReplicas(storage.db.reader)
        const pendingRegions = applied.ok ? [] : applied.pending.map(({ regionId }) => regionId)
        return { replicas: replicas.length, pendingRegions }
      },
    },
    clock,
    log,
    metrics,
    trustedProxies: noProxies(),
    outgoing: createOutgoing({ allow: [], extraCaPem: null, userAgent: 'berth/test' }),
    upstreamEndpoints: new Map(),
    vault: createVault({ roots: installation.rootKeys, keys: projectKeyStore(parts.controlDb) }),
    rootKeys: parts.installation.rootKeys,
  }
}

function noProxies(): AddressSet {
  const none = parseCidrs([])
  if (none === null) throw new TypeError('no addresses are a list')
  return none
}

/** The same database, whose time is the clock's. */
function withClock<Schema>(db: Database<Schema>, clock: Clock): Database<Schema> {
  return new Proxy(db, {
    get: (target, name) => {
      if (name === 'nowMs') return async () => clock.nowMs()
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

async function listen(handler: RequestListener, cleanup: AsyncDisposableStack): Promise<number> {
  const server = createServer({ requestTimeout: 0, noDelay: true })
  server.on('request', handler)
  server.on('checkContinue', handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanup.defer(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

function keep(lines: string[], line: string): void {
  lines.push(line)
  if (lines.length > MAX_LINES) lines.splice(0, MAX_LINES / 2)
}

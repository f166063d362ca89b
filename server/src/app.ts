import { createSecretKey, randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { type AccessSource, createDatabaseAccessSource } from './access/access-source.ts'
import { type AddressSet, parseCidrs } from './access/cidr.ts'
import { createControlRefusalLog, createRegionRefusalLog } from './access/refusal-log.ts'
import { createFetchDocument } from './access/fetch-document.ts'
import { type AccessUnderHost, createRegionAccess, type RegionAccess } from './access/region-access.ts'
import { waitUntilApplied } from './access/revocation.ts'
import type { Config } from './config/config.ts'
import { openDataDir } from './config/data-dir.ts'
import type { RegionSetting } from './config/parse-value.ts'
import { type Installation, openInstallation } from './control/installation/service.ts'
import { derivePeopleSettings } from './control/people/settings.ts'
import { bearerToken } from './control/operator-auth.ts'
import type { ControlRegion, ControlRuntime } from './control/runtime.ts'
import { createDrivers, type Drivers, type RegionStorage } from './drivers.ts'
import { createHealthHandler, type ReadinessCheck } from './http/health.ts'
import { type Listener, startListener } from './http/listener.ts'
import type { Refusal, RefusalAnswer } from './http/refusal.ts'
import { chooseHomeRegion } from './http/regionless-host.ts'
import { chooseRegion } from './http/region-router.ts'
import { startControlJobs } from './jobs/control-jobs.ts'
import { GarbageCollector } from './jobs/gc.ts'
import { previewGc } from './jobs/gc-preview.ts'
import { startRegionJobs } from './jobs/region-jobs.ts'
import type { ControlSchema } from './metastore/control-schema.ts'
import type { Database } from './metastore/database.ts'
import { type DatabaseClock, startDatabaseClock } from './metastore/database-clock.ts'
import { listReplicas } from './metastore/queries/access-replica.ts'
import { projectKeyStore } from './metastore/queries/project-key.ts'
import { syncRegions } from './metastore/queries/region.ts'
import { createOutgoing } from './outgoing/create-outgoing.ts'
import type { Outgoing } from './outgoing/outgoing.ts'
import { renderRegistryRefusal } from './registry/http-refusal.ts'
import { createLastPulls } from './registry/last-pulls.ts'
import { createUpstreams } from './registry/pull-through/upstreams.ts'
import { createRegistryHandler } from './registry/routes.ts'
import type { BlobDelivery } from './registry/runtime.ts'
import type { Logger } from './telemetry/log.ts'
import { createMetrics, type Metrics } from './telemetry/metrics.ts'
import type { UpstreamEndpoints } from './upstream/registry-place.ts'
import { deriveKey } from './vault/root-key.ts'
import { createWebhookDispatcher } from './webhooks/dispatcher.ts'
import { createVault, type Vault } from './vault/vault.ts'

/** A running process. */
export interface App {
  readonly installation: Installation
  /** For what is done in process at the first start; null in role `region`. */
  readonly control: ControlRuntime | null
  /** Drains the listeners and ends everything in the reverse order of the start. */
  stop(): Promise<void>
}

export interface AppOptions {
  readonly config: Config
  readonly log: Logger
  readonly version: string
  /** Told before each step that may take long or fail. */
  readonly onStep: (step: string) => void
}

const PEPPER_VERSION = 1

/**
 * Starts the parts that the role names. What was started is stopped again when a later step fails. Throws
 * `DataDirError`, `RootKeyError`, `ListenError` and what the drivers throw: each message says what to do.
 */
export async function startApp(options: AppOptions): Promise<App> {
  await using cleanup = new AsyncDisposableStack()
  const app = await start(options, cleanup)
  const running = cleanup.move()
  return { ...app, stop: () => running.disposeAsync() }
}

/** What all regions of a process share. */
interface Shared extends AppOptions {
  readonly installation: Installation
  readonly metrics: Metrics
  readonly source: AccessSource
  readonly trustedProxies: AddressSet
  readonly outgoing: Outgoing
  readonly upstreamEndpoints: UpstreamEndpoints
  readonly vault: Vault
  readonly replicaId: string
}

interface RunningRegion {
  readonly id: string
  readonly host: string
  readonly setting: RegionSetting
  readonly storage: RegionStorage
  readonly collector: GarbageCollector
  /** Null in role `control`. */
  readonly handler: RequestListener | null
  /** The same for the host without a region. */
  readonly sharedHandler: RequestListener | null
  readonly homeOf: RegionAccess['homeOf']
}

async function start(options: AppOptions, cleanup: AsyncDisposableStack): Promise<Omit<App, 'stop'>> {
  const { config, onStep } = options
  if (config.databaseUrl === null) {
    const dataDir = openDataDir(config.dataDir)
    cleanup.defer(() => dataDir.release())
  }
  onStep(config.databaseUrl === null ? `opening ${config.dataDir}` : 'connecting to the database')
  const drivers = await createDrivers(config)
  cleanup.defer(() => drivers.close())
  const controlDb = await drivers.openControlDatabase()
  cleanup.defer(() => controlDb.close())
  const installation = await openInstallation({
    db: controlDb,
    rootKey: { text: config.rootKey, file: config.rootKeyFile, previousText: config.rootKeyPrevious },
    operatorToken: config.operatorToken,
  })
  await controlDb.run(syncRegions, {
    regions: config.regions,
    origin: { actor: 'configuration', requestId: 'start', nowMs: await controlDb.nowMs() },
  })
  const shared: Shared = {
    ...options,
    installation,
    metrics: createMetrics(),
    source: createDatabaseAccessSource(controlDb),
    trustedProxies: addressSet(config.trustedProxies),
    outgoing: createOutgoing({
      allow: config.outgoingAllow,
      extraCaPem: config.outgoingCaPem,
      userAgent: `berth/${options.version}`,
    }),
    upstreamEndpoints: new Map(Object.entries(config.upstreamEndpoints)),
    vault: createVault({ roots: installation.rootKeys, keys: projectKeyStore(controlDb) }),
    replicaId: randomUUID(),
  }
  const regions: RunningRegion[] = []
  for (const setting of config.regions) {
    onStep(`opening region ${setting.id}`)
    regions.push(await startRegion(setting, drivers, shared, cleanup))
  }
  const control = config.role === 'region' ? null : await createControl(controlDb, regions, shared, cleanup)
  await listen(shared, { regions, control, controlDb }, cleanup)
  return { installation, control }
}

async function startRegion(
  setting: RegionSetting,
  drivers: Drivers,
  shared: Shared,
  cleanup: AsyncDisposableStack,
): Promise<RunningRegion> {
  const { config, log, metrics } = shared
  const storage = await drivers.openRegion(setting.id)
  cleanup.defer(async () => {
    await storage.sessions.close()
    await storage.blobs.close()
    await storage.db.close()
  })
  const collector = new GarbageCollector({
    regionId: setting.id,
    db: storage.db,
    blobs: storage.blobs,
    trashMs: config.trashMs,
    maxSharePercent: config.gcMaxShare,
    log,
    metrics,
  })
  const region = { id: setting.id, host: setting.host, setting, storage, collector }
  if (config.role === 'control')
    return { ...region, handler: null, sharedHandler: null, homeOf: async () => null }
  const { handler, sharedHandler, access } = await startRegistry(setting, storage, shared, cleanup)
  const { gcIntervalMs, uploadTtlMs, trashMs, auditRetentionMs } = config
  cleanup.defer(
    startRegionJobs({
      regionId: setting.id,
      ...storage,
      collector,
      gcIntervalMs,
      pullThroughKeepMs: config.pullThroughKeepMs,
      uploadTtlMs,
      trashMs,
      auditRetentionMs,
      log,
      metrics,
    }),
  )
  return { ...region, handler, sharedHandler, homeOf: access.homeOf }
}

async function startRegistry(
  setting: RegionSetting,
  storage: RegionStorage,
  shared: Shared,
  cleanup: AsyncDisposableStack,
): Promise<{ handler: RequestListener; sharedHandler: RequestListener; access: RegionAccess }> {
  const { config, log, metrics } = shared
  const clock = await startDatabaseClock(storage.db)
  cleanup.defer(() => clock.close())
  const access = startAccess(setting, storage, clock, shared)
  cleanup.defer(() => access.close())
  const upstreams = createUpstreams({
    outgoing: shared.outgoing,
    rootKeys: shared.installation.rootKeys,
    endpoints: shared.upstreamEndpoints,
  })
  cleanup.defer(() => upstreams.close())
  const refusals = createRegionRefusalLog(storage.db, { log, nowMs: () => clock.nowMs() })
  cleanup.defer(() => refusals.close())
  const lastPulls = createLastPulls(storage.db, log)
  cleanup.defer(() => lastPulls.close())
  const underHost = (host: string, accessThere: AccessUnderHost) => ({
    region: { id: setting.id, name: setting.name, host },
    externalOrigin: `${config.scheme}://${host}`,
    access: accessThere,
  })
  const runtime = {
    ...storage,
    refusals,
    lastPulls,
    limits: config,
    delivery: deliveryOf(config, setting.id),
    clock,
    log,
    metrics,
    trustedProxies: shared.trustedProxies,
    outgoing: shared.outgoing,
    upstreams,
    upstreamEndpoints: shared.upstreamEndpoints,
  }
  const handler = createRegistryHandler({ ...runtime, ...underHost(setting.host, access) })
  const { registryHost } = config
  const sharedHandler =
    registryHost === null
      ? handler
      : createRegistryHandler({ ...runtime, ...underHost(registryHost, access.underHost(registryHost)) })
  return { handler, sharedHandler, access }
}

function startAccess(
  setting: RegionSetting,
  storage: RegionStorage,
  clock: DatabaseClock,
  shared: Shared,
): RegionAccess {
  const { installation, config, source, log, replicaId, version } = shared
  return createRegionAccess({
    region: { id: setting.id, host: setting.host },
    db: storage.db,
    source,
    rootSecret: installation.installationKey,
    peppers: new Map([[PEPPER_VERSION, pepperOf(installation)]]),
    replica: { id: replicaId, version },
    log,
    nowMs: () => clock.nowMs(),
    tokenLifetimeSeconds: config.tokenTtlMs / 1000,
    fetchDocument: createFetchDocument(shared.outgoing),
  })
}

function pepperOf(installation: Installation) {
  return createSecretKey(deriveKey(installation.installationKey, `pepper/v${PEPPER_VERSION}`))
}

function deliveryOf(config: Config, regionId: string): BlobDelivery {
  switch (config.blobDelivery) {
    case 'stream':
      return { mode: 'stream' }
    case 'accel':
      return { mode: 'accel', prefix: `${config.accelPrefix}${regionId}/` }
    case 'redirect':
      return { mode: 'redirect', expiresSeconds: config.redirectSeconds }
  }
}

async function createControl(
  db: Database<ControlSchema>,
  regions: readonly RunningRegion[],
  shared: Shared,
  cleanup: AsyncDisposableStack,
): Promise<ControlRuntime> {
  const { config, installation, source, version, log, metrics, trustedProxies } = shared
  const clock = await startDatabaseClock(db)
  cleanup.defer(() => clock.close())
  const refusals = createControlRefusalLog(db, { log, nowMs: () => clock.nowMs() })
  cleanup.defer(() => refusals.close())
  const { auditRetentionMs } = config
  const pepper = { version: PEPPER_VERSION, key: pepperOf(installation) }
  const { vault, outgoing } = shared
  const sources = [
    { name: 'control', db },
    ...regions.map(({ id, storage }) => ({ name: id, db: storage.db })),
  ]
  const { consoleUrl } = config
  const webhooks = createWebhookDispatcher({ db, sources, vault, outgoing, consoleUrl, log })
  cleanup.defer(startControlJobs({ db, auditRetentionMs, webhooks, vault, pepper, log, metrics }))
  const watched = regions.map(({ id, storage }) => ({ id, db: storage.db }))
  return {
    installation: { id: installation.id, version },
    consoleUrl: config.consoleUrl,
    db,
    regions: new Map(regions.map((region) => [region.id, toControlRegion(region, config)])),
    operatorAuth: installation.operatorAuth,
    projectCreation: config.projectCreation,
    namespaceReservationMs: config.namespaceReservationMs,
    setupTokenHmac: installation.setupTokenHmac,
    pepper,
    people: derivePeopleSettings(installation.installationKey, config),
    refusals,
    revocation: {
      waitUntilApplied: async (seq) => {
        const applied = await waitUntilApplied({ source, regions: watched, seq })
        if (!applied.ok)
          return { replicas: 0, pendingRegions: applied.pending.map(({ regionId }) => regionId) }
        const replicas = await Promise.all(watched.map((region) => listReplicas(region.db.reader)))
        return { replicas: replicas.flat().length, pendingRegions: [] }
      },
    },
    clock,
    log,
    metrics,
    trustedProxies,
    outgoing: shared.outgoing,
    upstreamEndpoints: shared.upstreamEndpoints,
    vault: shared.vault,
    rootKeys: installation.rootKeys,
  }
}

function toControlRegion({ id, setting, storage, collector }: RunningRegion, config: Config): ControlRegion {
  return {
    region: {
      id,
      name: setting.name,
      host: setting.host,
      origin: `${config.scheme}://${setting.host}`,
    },
    db: storage.db,
    sessions: storage.sessions,
    gc: {
      preview: async () => {
        const { examined, candidates } = await previewGc(storage.db.reader, await storage.db.nowMs())
        return { examined, candidates: [...candidates] }
      },
      runCycle: (cycle) => collector.runCycle(cycle),
    },
    trashMs: config.trashMs,
  }
}

interface Served {
  readonly regions: readonly RunningRegion[]
  readonly control: ControlRuntime | null
  readonly controlDb: Database<ControlSchema>
}

async function listen(shared: Shared, served: Served, cleanup: AsyncDisposableStack): Promise<void> {
  const { config, onStep, log } = shared
  let draining = false
  const health = createHealthHandler({
    checks: readinessChecks(served),
    metrics: shared.metrics,
    isOperator: async (request: IncomingMessage) => {
      const token = bearerToken(request.headers.authorization)
      return token !== null && shared.installation.operatorAuth.isOperatorToken(token)
    },
    allow: config.metricsAllow,
    isProxy: (address) => shared.trustedProxies.contains(address),
    isDraining: () => draining,
  })
  const tls =
    config.tlsCertFile === null || config.tlsKeyFile === null
      ? null
      : { certFile: config.tlsCertFile, keyFile: config.tlsKeyFile }
  const listeners: Listener[] = []
  const add = async (name: string, address: { host: string; port: number }, handler: RequestListener) => {
    onStep(`listening on ${address.host}:${address.port}`)
    const renderRefusal = name === 'console' ? renderForConsole : renderRegistryRefusal
    const options = { name, ...address, tls, log, renderRefusal, handler: withHealth(health, handler) }
    listeners.push(await startListener(options))
  }
  // All listeners drain together: the last thing to start is the first to stop.
  cleanup.defer(async () => {
    draining = true
    await Promise.all(listeners.map((listener) => listener.stop(config.drainMs)))
  })
  if (served.control !== null) {
    const console = openConsoleLazily(served.control)
    cleanup.defer(() => console.close())
    await add('console', config.consoleAddr, console.handler)
  }
  await listenForRegions(served.regions, config, add)
}

/** Loaded by the first use, like the console itself. */
async function renderForConsole(refusal: Refusal): Promise<RefusalAnswer> {
  const { renderConsoleRefusal } = await import('./control/http-refusal.ts')
  return renderConsoleRefusal(refusal)
}

/**
 * The console, loaded by its first request: its web framework and schemas are a fifth of the idle memory and most of the
 * time of a start, and a process that only serves pushes and pulls never needs them.
 */
function openConsoleLazily(runtime: ControlRuntime): {
  handler: RequestListener
  close: () => Promise<void>
} {
  const open = async () => {
    const { createConsole } = await import('./control/console.ts')
    return createConsole(runtime)
  }
  let opened: ReturnType<typeof open> | null = null
  return {
    handler: (request, response) => {
      opened ??= open()
      opened.then(
        (console) => console.routing(request, response),
        (error: unknown) => {
          // The next request tries again.
          opened = null
          runtime.log.error({ err: error }, 'the console could not be loaded')
          response.destroy()
        },
      )
    },
    close: async () => {
      if (opened !== null) await (await opened).close()
    },
  }
}

async function listenForRegions(
  regions: readonly RunningRegion[],
  config: Config,
  add: (name: string, address: { host: string; port: number }, handler: RequestListener) => Promise<void>,
): Promise<void> {
  for (const region of regions) {
    if (region.handler !== null && region.setting.listen !== null)
      await add('registry', region.setting.listen, region.handler)
  }
  const sharing = regions.filter((region) => region.setting.listen === null && region.handler !== null)
  const everywhere = regions.filter((region) => region.handler !== null)
  if (everywhere.length === 0 || (sharing.length === 0 && config.registryHost === null)) return
  const byHost = sharing.length === 0 ? everywhere : sharing
  await add('registry', config.registryAddr, (request, response) => {
    if (config.registryHost === null || request.headers.host?.toLowerCase() !== config.registryHost) {
      chooseRegion(byHost, request)?.handler?.(request, response)
      return
    }
    chooseHomeRegion(everywhere, request).then(
      (region) => region?.sharedHandler?.(request, response),
      // It cannot be known where the project is at home: any region says that it is unavailable.
      () => everywhere[0]?.sharedHandler?.(request, response),
    )
  })
}

function withHealth(
  health: (request: IncomingMessage, response: ServerResponse) => boolean,
  handler: RequestListener,
): RequestListener {
  return (request, response) => {
    if (!health(request, response)) handler(request, response)
  }
}

function readinessChecks({ regions, controlDb }: Served): ReadinessCheck[] {
  return [
    { name: 'control database', check: () => unlessFull(controlDb.ping()) },
    ...regions.flatMap(({ id, storage }) => [
      { name: `region ${id} database`, check: () => unlessFull(storage.db.ping()) },
      { name: `region ${id} blob store`, check: () => unlessFull(storage.blobs.ping()) },
    ]),
  ]
}

/** A full disk refuses pushes with a message of its own. Pulls work, so the process must stay in the load balancer. */
async function unlessFull(ping: Promise<void>): Promise<void> {
  try {
    await ping
  } catch (error) {
    if ((error as { reason?: unknown }).reason !== 'full') throw error
  }
}

function addressSet(cidrs: readonly string[]): AddressSet {
  const set = parseCidrs(cidrs)
  if (set === null) throw new Error('the configuration has checked these addresses')
  return set
}

import { randomUUID } from 'node:crypto'
import { createDatabaseAccessSource } from './access/access-source.ts'
import { type AddressSet, parseCidrs } from './access/cidr.ts'
import { createControlRefusalLog } from './access/refusal-log.ts'
import { waitUntilApplied } from './access/revocation.ts'
import type { Config } from './config/config.ts'
import { openDataDir } from './config/data-dir.ts'
import { type Installation, openInstallation } from './control/installation/service.ts'
import { derivePeopleSettings } from './control/people/settings.ts'
import type { ControlRegion, ControlRuntime } from './control/runtime.ts'
import { createDrivers } from './drivers.ts'
import { startControlJobs } from './jobs/control-jobs.ts'
import { previewGc } from './jobs/gc-preview.ts'
import type { ControlSchema } from './metastore/control-schema.ts'
import type { Database } from './metastore/database.ts'
import { startDatabaseClock } from './metastore/database-clock.ts'
import { listReplicas } from './metastore/queries/access-replica.ts'
import { projectKeyStore } from './metastore/queries/project-key.ts'
import { syncRegions } from './metastore/queries/region.ts'
import { createOutgoing } from './outgoing/create-outgoing.ts'
import type { Logger } from './telemetry/log.ts'
import { listen } from './listen.ts'
import {
  PEPPER_VERSION,
  pepperOf,
  type ProcessParts,
  type RunningRegion,
  startRegion,
} from './start-region.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { createWebhookDispatcher } from './webhooks/dispatcher.ts'
import { createVault } from './vault/vault.ts'

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
  const shared: ProcessParts = {
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

async function createControl(
  db: Database<ControlSchema>,
  regions: readonly RunningRegion[],
  shared: ProcessParts,
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
    sharedHost:
      config.registryHost === null
        ? null
        : { host: config.registryHost, origin: `${config.scheme}://${config.registryHost}` },
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

function addressSet(cidrs: readonly string[]): AddressSet {
  const set = parseCidrs(cidrs)
  if (set === null) throw new Error('the configuration has checked these addresses')
  return set
}

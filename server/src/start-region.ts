import { createSecretKey, type KeyObject } from 'node:crypto'
import type { RequestListener } from 'node:http'
import type { AccessSource } from './access/access-source.ts'
import type { AddressSet } from './access/cidr.ts'
import { createFetchDocument } from './access/fetch-document.ts'
import { createRegionRefusalLog } from './access/refusal-log.ts'
import { type AccessUnderHost, createRegionAccess, type RegionAccess } from './access/region-access.ts'
import type { Config } from './config/config.ts'
import type { RegionSetting } from './config/parse-value.ts'
import type { Installation } from './control/installation/service.ts'
import type { Drivers, RegionStorage } from './drivers.ts'
import { GarbageCollector } from './jobs/gc.ts'
import { startRegionJobs } from './jobs/region-jobs.ts'
import { type DatabaseClock, startDatabaseClock } from './metastore/database-clock.ts'
import type { Outgoing } from './outgoing/outgoing.ts'
import { createLastPulls } from './registry/last-pulls.ts'
import { createUpstreams } from './registry/pull-through/upstreams.ts'
import { createRegistryHandler } from './registry/routes.ts'
import type { BlobDelivery } from './registry/runtime.ts'
import type { Logger } from './telemetry/log.ts'
import type { Metrics } from './telemetry/metrics.ts'
import type { UpstreamEndpoints } from './upstream/registry-place.ts'
import { deriveKey } from './vault/root-key.ts'
import type { Vault } from './vault/vault.ts'

/** The version of the pepper that new keys are hashed with. */
export const PEPPER_VERSION = 1

/** What all parts of a process share. */
export interface ProcessParts {
  readonly config: Config
  readonly log: Logger
  readonly version: string
  /** Told before each step that may take long or fail. */
  readonly onStep: (step: string) => void
  readonly installation: Installation
  readonly metrics: Metrics
  readonly source: AccessSource
  readonly trustedProxies: AddressSet
  readonly outgoing: Outgoing
  readonly upstreamEndpoints: UpstreamEndpoints
  readonly vault: Vault
  readonly replicaId: string
}

/** A region that this process has opened. */
export interface RunningRegion {
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

/** Opens a region's storage and, unless the role is `control`, serves it. Throws what the drivers throw. */
export async function startRegion(
  setting: RegionSetting,
  drivers: Drivers,
  shared: ProcessParts,
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
  shared: ProcessParts,
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
  shared: ProcessParts,
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

/** What secrets of keys are hashed with, from outside the database. */
export function pepperOf(installation: Installation): KeyObject {
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

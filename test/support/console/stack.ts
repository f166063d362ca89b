import { createSecretKey, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createClient, type Client } from '@berth/api/client'
import type { FastifyInstance } from 'fastify'
import pg from 'pg'
import { pino } from 'pino'
import { createDatabaseAccessSource } from '../../../server/src/access/access-source.ts'
import { parseCidrs } from '../../../server/src/access/cidr.ts'
import { createControlRefusalLog } from '../../../server/src/access/refusal-log.ts'
import { createRegionAccess, type RegionAccess } from '../../../server/src/access/region-access.ts'
import { waitUntilApplied } from '../../../server/src/access/revocation.ts'
import type { ControlSchema } from '../../../server/src/metastore/control-schema.ts'
import type { Database } from '../../../server/src/metastore/database.ts'
import { listReplicas } from '../../../server/src/metastore/queries/access-replica.ts'
import { initializeInstallation } from '../../../server/src/metastore/queries/installation.ts'
import { projectKeyStore } from '../../../server/src/metastore/queries/project-key.ts'
import { syncRegions } from '../../../server/src/metastore/queries/region.ts'
import { openPostgresDatabase } from '../../../server/src/metastore/postgres/database.ts'
import { createPostgresSessionStore } from '../../../server/src/metastore/postgres/session-store.ts'
import type { RegionSchema } from '../../../server/src/metastore/region-schema.ts'
import type { UploadSessionStore } from '../../../server/src/metastore/session-store.ts'
import { openSqliteDatabase } from '../../../server/src/metastore/sqlite/database.ts'
import { openSqliteSessionStore } from '../../../server/src/metastore/sqlite/session-store.ts'
import { startSqliteWriter } from '../../../server/src/metastore/sqlite/writer.ts'
import { type AllowEntry, parseAllowList } from '../../../server/src/outgoing/allow-list.ts'
import { createOutgoing } from '../../../server/src/outgoing/create-outgoing.ts'
import type { RootKey } from '../../../server/src/vault/root-key.ts'
import { nameRootKey, newInstallationKey, rootKeyFacts } from '../../../server/src/vault/root-keys.ts'
import { createVault } from '../../../server/src/vault/vault.ts'
import { createMetrics } from '../../../server/src/telemetry/metrics.ts'
import { createConsole } from '../../../server/src/control/console.ts'
import { createOperatorAuth, hashToken } from '../../../server/src/control/operator-auth.ts'
import type { SsoSettings } from '../../../server/src/control/people/settings.ts'
import type { ControlRegion, ControlRuntime } from '../../../server/src/control/runtime.ts'
import { createTestCollector, type TestCollector } from './collector.ts'

/*
 * A console over real databases: the control plane and two regions, each region with a replica that follows the access
 * feed. Tests move the clock and look at the log.
 */

export const OPERATOR_TOKEN = 'berth-operator-of-the-tests'
export const SETUP_TOKEN = 'berth-setup-of-the-tests'
export const TRASH_MS = 7 * 24 * 3_600_000
export const NAMESPACE_RESERVATION_MS = 90 * 24 * 3_600_000
const REGIONS = [
  { id: 'near', name: 'Near', host: 'near.example:5000', origin: 'http://near.example:5000' },
  { id: 'far', name: 'Far Away', host: 'far.example', origin: 'https://far.example' },
]
const ROOT_KEYS = { current: nameRootKey(new Uint8Array(32).fill(11) as RootKey), previous: null }
const PEPPER = createSecretKey(Buffer.alloc(32, 5))
const TOKEN_KEY = createSecretKey(Buffer.alloc(32, 7))

export interface TestRegion {
  readonly control: ControlRegion
  readonly access: RegionAccess
  readonly collector: TestCollector
}

export interface TestConsole {
  readonly app: FastifyInstance
  readonly runtime: ControlRuntime
  /** With the operator's token, over a real socket. */
  readonly client: Client
  readonly baseUrl: string
  readonly near: TestRegion
  readonly far: TestRegion
  readonly logged: () => string
  /** Adds to what outgoing calls may reach, as BERTH_OUTGOING_ALLOW does: `http://127.0.0.1:1234`. */
  allowOutgoing(text: string): void
  /** Moves the console's clock; databases and replicas keep theirs. */
  advance(ms: number): void
  /** Runs SQL past the server, as somebody with access to the database could. */
  tamper(source: 'control' | 'near' | 'far', sql: string): Promise<void>
  close(): Promise<void>
}

export interface TestConsoleOptions {
  /** Default: none. */
  readonly sso?: SsoSettings | null
}

/** Where the metadata of a test console is. */
interface Storage {
  openControl(): Promise<Database<ControlSchema>>
  openRegion(id: string): Promise<{ db: Database<RegionSchema>; sessions: UploadSessionStore }>
  tamper(source: string, sql: string): Promise<void>
  close(): Promise<void>
}

/** Opens a console over SQLite files that listens on a free port of the loopback address. */
export async function openTestConsole(options: TestConsoleOptions = {}): Promise<TestConsole> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-console-'))
  const writer = startSqliteWriter()
  const storage = {
    openControl: () => openSqliteDatabase('control', { path: join(folder, 'control.db'), writer }),
    openRegion: async (id: string) => ({
      db: await openSqliteDatabase('region', { path: join(folder, `${id}.db`), writer }),
      sessions: await openSqliteSessionStore({ path: join(folder, `${id}-sessions.db`) }),
    }),
    async tamper(source: string, sql: string) {
      using file = new DatabaseSync(join(folder, `${source}.db`), { timeout: 5_000 })
      file.exec(sql)
    },
    async close() {
      await writer.close()
      await rm(folder, { recursive: true })
    },
  }
  return openConsoleOver(storage, options)
}

/** The same over schemas of one PostgreSQL database. */
export async function openPostgresTestConsole(url: string): Promise<TestConsole> {
  const options = { url, poolSize: 4, allowUnsafeDurability: true }
  return openConsoleOver({
    openControl: () => openPostgresDatabase('control', { ...options, schema: 'berth_control' }),
    async openRegion(id) {
      const db = await openPostgresDatabase('region', { ...options, schema: `berth_region_${id}` })
      return { db, sessions: createPostgresSessionStore(db) }
    },
    async tamper(source, sql) {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      try {
        const schema = source === 'control' ? 'berth_control' : `berth_region_${source}`
        await client.query(`set search_path to ${schema}; ${sql}`)
      } finally {
        await client.end()
      }
    },
    close: async () => undefined,
  })
}

async function openConsoleOver(
  storage: Storage,
  { sso = null }: TestConsoleOptions = {},
): Promise<TestConsole> {
  const db = await storage.openControl()
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  const near = await openRegion(REGIONS[0], { storage, db, log })
  const far = await openRegion(REGIONS[1], { storage, db, log })
  await db.run(initializeInstallation, {
    facts: { ...rootKeyFacts(ROOT_KEYS.current, newInstallationKey()) },
  })
  await db.run(syncRegions, {
    regions: REGIONS,
    origin: { actor: 'configuration', requestId: 'start', nowMs: Date.now() },
  })
  let offsetMs = 0
  const allow: AllowEntry[] = []
  const nowMs = () => Date.now() + offsetMs
  const runtime = createRuntime({ db, regions: [near, far], log, nowMs, allow, sso })
  const app = await createConsole(runtime)
  // As the listener of the server does, which leaves 100 (Continue) to the console.
  const server = createServer(app.routing)
  server.on('checkContinue', app.routing)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    app,
    runtime,
    client: createClient({ baseUrl, token: OPERATOR_TOKEN }),
    baseUrl,
    near,
    far,
    logged: () => lines.join(''),
    allowOutgoing(text) {
      const parsed = parseAllowList(text)
      if (!parsed.ok) throw new TypeError(parsed.mistakes.join('; '))
      allow.push(...parsed.entries)
    },
    tamper: (source, sql) => storage.tamper(source, sql),
    advance: (ms) => {
      offsetMs += ms
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await app.close()
      await runtime.refusals.close()
      for (const { access, control } of [near, far]) {
        await access.close()
        await control.sessions.close()
        await control.db.close()
      }
      await db.close()
      await storage.close()
    },
  }
}

interface Shared {
  readonly storage: Storage
  readonly db: Database<ControlSchema>
  readonly log: ControlRuntime['log']
}

async function openRegion(
  region: (typeof REGIONS)[number] | undefined,
  { storage, db, log }: Shared,
): Promise<TestRegion> {
  if (region === undefined) throw new TypeError('no such region')
  const { db: regionDb, sessions } = await storage.openRegion(region.id)
  const collector = createTestCollector()
  const access = createRegionAccess({
    db: regionDb,
    source: createDatabaseAccessSource(db),
    replica: { id: randomUUID(), version: 'test' },
    region,
    rootSecret: new Uint8Array(32).fill(3),
    peppers: new Map([[1, PEPPER]]),
    log,
  })
  // Until the first poll has ended the replica is not on the list that a revocation waits for.
  await access.refresh()
  return { control: { region, db: regionDb, sessions, gc: collector, trashMs: TRASH_MS }, access, collector }
}

function createRuntime(options: {
  readonly db: Database<ControlSchema>
  readonly regions: readonly TestRegion[]
  readonly log: ControlRuntime['log']
  readonly nowMs: () => number
  readonly allow: readonly AllowEntry[]
  readonly sso: SsoSettings | null
}): ControlRuntime {
  const { db, log, nowMs, allow, sso } = options
  const regions = options.regions.map(({ control }) => control)
  const trustedProxies = parseCidrs([])
  if (trustedProxies === null) throw new TypeError('no proxies are a list')
  return {
    installation: { id: 'test-installation', version: '0.0.0-test' },
    consoleUrl: 'http://console.example',
    sharedHost: { host: 'registry.example', origin: 'https://registry.example' },
    db,
    regions: new Map(regions.map((region) => [region.region.id, region])),
    operatorAuth: createOperatorAuth(TOKEN_KEY, hashToken(TOKEN_KEY, OPERATOR_TOKEN)),
    projectCreation: 'anyone',
    namespaceReservationMs: NAMESPACE_RESERVATION_MS,
    setupTokenHmac: hashToken(TOKEN_KEY, SETUP_TOKEN),
    pepper: { version: 1, key: PEPPER },
    people: {
      cookieSecret: 'the cookies of the tests are signed with this',
      tokenKey: createSecretKey(Buffer.alloc(32, 9)),
      sso,
    },
    refusals: createControlRefusalLog(db, { log, nowMs }),
    revocation: {
      async waitUntilApplied(seq) {
        const watched = regions.map(({ region, db: regionDb }) => ({ id: region.id, db: regionDb }))
        const applied = await waitUntilApplied({
          source: createDatabaseAccessSource(db),
          regions: watched,
          seq,
        })
        const replicas = await Promise.all(regions.map((region) => listReplicas(region.db.reader)))
        return {
          replicas: replicas.flat().length,
          pendingRegions: applied.ok ? [] : applied.pending.map(({ regionId }) => regionId),
        }
      },
    },
    clock: { nowMs },
    log,
    metrics: createMetrics(),
    trustedProxies,
    outgoing: createOutgoing({ allow, extraCaPem: null, userAgent: 'berth/test' }),
    upstreamEndpoints: new Map(),
    vault: createVault({ roots: ROOT_KEYS, keys: projectKeyStore(db) }),
    rootKeys: ROOT_KEYS,
  }
}

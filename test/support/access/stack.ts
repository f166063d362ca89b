import { createSecretKey, type KeyObject, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { ControlSchema } from '@berth/server/metastore/control-schema'
import type { Database } from '@berth/server/metastore/database'
import { openPostgresDatabase } from '@berth/server/metastore/postgres/database'
import { createApiKey, revokeApiKey, rotateApiKey } from '@berth/server/metastore/queries/api-key'
import { createProject, deleteProject, updateProject } from '@berth/server/metastore/queries/project'
import {
  createTrustRule,
  type NewTrustRule,
  removeTrustRule,
  type TrustRuleSettings,
  updateTrustRule,
} from '@berth/server/metastore/queries/trust-rule'
import type { RegionSchema } from '@berth/server/metastore/region-schema'
import { openSqliteDatabase } from '@berth/server/metastore/sqlite/database'
import { startSqliteWriter } from '@berth/server/metastore/sqlite/writer'
import { type AccessSource, createDatabaseAccessSource } from '@berth/server/access/access-source'
import { hashSecret, keyWithSecret, type MintedKey, mintKey, mintKeyId } from '@berth/server/access/key'
import {
  createRegionAccess,
  type RegionAccess,
  type RegionAccessOptions,
} from '@berth/server/access/region-access'
import { waitUntilApplied } from '@berth/server/access/revocation'

import { AUDIENCE } from './issuer.ts'

export const REGION = { id: 'local', host: 'localhost:5000' }
export const ROOT_SECRET = new Uint8Array(32).fill(3)
export const CLIENT = '192.0.2.1'

export interface NewKey {
  readonly actions?: readonly string[]
  readonly repositories?: readonly string[]
  readonly regions?: readonly string[]
  readonly cidrs?: readonly string[]
  readonly expiresAt?: number | null
}

/** A control plane and one region with real databases, and what the console does to them. */
export interface TestStack {
  readonly control: Database<ControlSchema>
  readonly source: AccessSource
  /** Everything that was logged. */
  readonly logged: () => string
  /** Another handle of the region's database, as another process has. */
  openRegion(): Promise<Database<RegionSchema>>
  openAccess(db: Database<RegionSchema>, more?: Partial<RegionAccessOptions>): RegionAccess
  createProject(namespace: string, publicRepositories?: readonly string[]): Promise<string>
  /** Returns the number of the change. */
  publish(projectId: string, publicRepositories: readonly string[]): Promise<number>
  deleteProject(projectId: string): Promise<number>
  createKey(projectId: string, key?: NewKey): Promise<MintedKey>
  revoke(projectId: string, keyId: string): Promise<number>
  rotate(
    projectId: string,
    keyId: string,
    overlapUntil: number | null,
  ): Promise<{ key: MintedKey; seq: number }>
  /** Trusts jobs of the repository 4711 at `issuer`, for pull and push in the whole project. */
  createRule(projectId: string, issuer: string, rule?: Partial<NewTrustRule>): Promise<NewTrustRule>
  /** Returns the number of the change. */
  updateRule(rule: NewTrustRule, settings: Partial<TrustRuleSettings>): Promise<number>
  removeRule(rule: NewTrustRule): Promise<number>
  /** Waits as the console does, in a region that a handle from `openRegion` belongs to. */
  settle(db: Database<RegionSchema>, seq?: number): Promise<void>
  /** Closes every handle that `openRegion` and `openAccess` gave out. */
  closeRegions(): Promise<void>
  close(): Promise<void>
}

interface Databases {
  readonly control: Database<ControlSchema>
  openRegion(): Promise<Database<RegionSchema>>
  close(): Promise<void>
}

/** On SQLite, with the writer thread in this process. */
export async function openSqliteStack(): Promise<TestStack> {
  const folder = mkdtempSync(join(tmpdir(), 'berth-access-'))
  const writer = startSqliteWriter({ commandsModule: new URL('./commands.ts', import.meta.url) })
  return stackOver({
    control: await openSqliteDatabase('control', { path: join(folder, 'control.db'), writer }),
    openRegion: () => openSqliteDatabase('region', { path: join(folder, 'region.db'), writer }),
    async close() {
      await writer.close()
      rmSync(folder, { recursive: true })
    },
  })
}

/** On PostgreSQL, in schemas of one database. */
export async function openPostgresStack(url: string): Promise<TestStack> {
  const options = { url, poolSize: 4, allowUnsafeDurability: true }
  return stackOver({
    control: await openPostgresDatabase('control', { ...options, schema: 'berth_control' }),
    openRegion: () => openPostgresDatabase('region', { ...options, schema: 'berth_region_local' }),
    close: async () => undefined,
  })
}

function stackOver(databases: Databases): TestStack {
  const { control } = databases
  const peppers = new Map<number, KeyObject>([[1, createSecretKey(Buffer.alloc(32, 5))]])
  const source = createDatabaseAccessSource(control)
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  const openRegions: Database<RegionSchema>[] = []
  const openAccesses: RegionAccess[] = []

  async function closeRegions(): Promise<void> {
    for (const access of openAccesses.splice(0)) await access.close()
    for (const db of openRegions.splice(0)) await db.close()
  }

  return {
    control,
    source,
    logged: () => lines.join(''),
    async openRegion() {
      const db = await databases.openRegion()
      openRegions.push(db)
      return db
    },
    openAccess(db, more = {}) {
      const replica = { id: randomUUID(), version: 'test' }
      const fixed = { region: REGION, rootSecret: ROOT_SECRET, peppers, log }
      const access = createRegionAccess({ db, source, replica, ...fixed, ...more })
      openAccesses.push(access)
      return access
    },
    ...consoleOver(control, peppers),
    ...rulesOver(control),
    async settle(db, seq) {
      const applied = await waitUntilApplied({
        source,
        regions: [{ id: REGION.id, db }],
        seq: seq ?? (await source.latestSeq()),
      })
      if (!applied.ok) throw new AggregateError(applied.pending.map(({ cause }) => cause))
    },
    closeRegions,
    async close() {
      await closeRegions()
      await control.close()
      await databases.close()
    },
  }
}

type Console = Pick<
  TestStack,
  | 'createProject'
  | 'publish'
  | 'deleteProject'
  | 'createKey'
  | 'revoke'
  | 'rotate'
  | 'createRule'
  | 'updateRule'
  | 'removeRule'
>

/** What the console does, on its database. */
function consoleOver(
  control: Database<ControlSchema>,
  peppers: ReadonlyMap<number, KeyObject>,
): Omit<Console, keyof RuleConsole> {
  const origin = () => ({ actor: 'operator', requestId: 'test', nowMs: Date.now() })
  const hmacOf = (key: MintedKey) => hashSecret(peppers.get(1) as KeyObject, key.secret)

  return {
    async createProject(namespace, publicRepositories = []) {
      const id = randomUUID().slice(-12)
      const settings = { name: namespace, quotaBytes: null, allowSparseIndexes: false }
      const project = { id, namespace, publicRepositories, ...settings }
      succeeded(await control.run(createProject, { project, origin: origin() }))
      return id
    },
    async publish(id, publicRepositories) {
      const outcome = succeeded(
        await control.run(updateProject, { id, change: { publicRepositories }, origin: origin() }),
      )
      return outcome.seq ?? Number.NaN
    },
    deleteProject: async (id) => succeeded(await control.run(deleteProject, { id, origin: origin() })).seq,
    async createKey(projectId, rules = {}) {
      const minted = mintKey('k')
      const defaults = {
        actions: ['pull', 'push'],
        repositories: ['**'],
        regions: [],
        cidrs: [],
        expiresAt: null,
      }
      const identity = {
        id: minted.id,
        projectId,
        name: 'test',
        pepperVersion: 1,
        secretHmac: hmacOf(minted),
      }
      const key = { ...identity, ...defaults, ...rules }
      succeeded(await control.run(createApiKey, { key, origin: origin() }))
      return minted
    },
    revoke: async (projectId, id) =>
      succeeded(await control.run(revokeApiKey, { projectId, id, origin: origin() })).seq,
    async rotate(projectId, id, overlapUntil) {
      const key = keyWithSecret('k', id)
      const secret = { secretHmac: hmacOf(key), pepperVersion: 1 }
      const args = { projectId, id, origin: origin(), overlapUntil, ...secret }
      return { key, seq: succeeded(await control.run(rotateApiKey, args)).seq }
    },
  }
}

type RuleConsole = Pick<TestStack, 'createRule' | 'updateRule' | 'removeRule'>

function rulesOver(control: Database<ControlSchema>): RuleConsole {
  const origin = () => ({ actor: 'operator', requestId: 'test', nowMs: Date.now() })
  return {
    async createRule(projectId, issuer, more = {}) {
      const rule: NewTrustRule = {
        id: `rule_${mintKeyId()}`,
        projectId,
        provider: 'github_actions',
        issuer,
        name: 'test',
        audience: AUDIENCE,
        conditions: { repository_id: '4711' },
        actions: ['pull', 'push'],
        repositories: ['**'],
        regions: [],
        cidrs: [],
        sessionSeconds: 900,
        exchangeOnly: false,
        enabled: true,
        ...more,
      }
      succeeded(await control.run(createTrustRule, { rule, origin: origin() }))
      return rule
    },
    async updateRule(rule, change) {
      const { id, projectId, provider: _provider, issuer: _issuer, ...settings } = rule
      const readAt = await control.reader
        .selectFrom('trust_rule')
        .select(['updated_at', 'version'])
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
      const args = { id, projectId, origin: origin(), settings: { ...settings, ...change }, readAt }
      return succeeded(await control.run(updateTrustRule, args)).seq
    },
    removeRule: async ({ id, projectId }) =>
      succeeded(await control.run(removeTrustRule, { id, projectId, origin: origin() })).seq,
  }
}

function succeeded<Outcome extends { readonly ok: boolean }>(
  outcome: Outcome,
): Extract<Outcome, { ok: true }> {
  if (!outcome.ok) throw new Error(`refused: ${JSON.stringify(outcome)}`)
  return outcome as Extract<Outcome, { ok: true }>
}

/** The header that `docker` sends for `docker login -u api -p <key>`. */
export function basic(password: string, username = 'api'): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

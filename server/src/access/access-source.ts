import type { ApiKeyRow, ControlSchema, ProjectRow, TrustRuleRow } from '../metastore/control-schema.ts'
import type { Database } from '../metastore/database.ts'
import type { AccessKeyRules } from '../metastore/queries/access-copy.ts'
import {
  ACCESS_FEED_CHANNEL,
  listAccessChanges,
  loadApiKeyForFeed,
  loadLatestAccessSeq,
  loadProjectForFeed,
} from '../metastore/queries/access-feed.ts'
import { loadRegistryForFeed } from '../metastore/queries/access-registry.ts'
import type { TrustRuleCopy } from '../metastore/queries/access-trust-rule.ts'
import { loadTrustRuleForFeed } from '../metastore/queries/trust-rule.ts'
import type { AccessProjectRow, AccessRegistryRow } from '../metastore/region-schema.ts'
import { CI_PROVIDERS } from './ci-provider.ts'

export interface AccessChange {
  readonly seq: number
  readonly kind: 'project' | 'key' | 'registry' | 'trust_rule'
  readonly entityId: string
}

/** Where a region gets the access rules from: the control plane, as far as regions need it. */
export interface AccessSource {
  /** Changes after `seq` in commit order, at most `limit`. */
  changesAfter(seq: number, limit: number): Promise<readonly AccessChange[]>
  /** The rules as they are now, for the region's copy. Null: there is no such project. */
  loadProject(id: string): Promise<AccessProjectRow | null>
  /** Null: there is no such key. */
  loadKey(id: string): Promise<AccessKeyRules | null>
  /** Null: there is no such trust rule. */
  loadTrustRule(id: string): Promise<TrustRuleCopy | null>
  /** Null: there is no such third-party registry. */
  loadRegistry(id: string): Promise<AccessRegistryRow | null>
  latestSeq(): Promise<number>
  /** Calls `listener` soon after a change; a hint only. Returns a function that ends it. */
  subscribe(listener: () => void): () => void
}

/** The access feed read directly from the control database. */
export function createDatabaseAccessSource(db: Database<ControlSchema>): AccessSource {
  return {
    async changesAfter(seq, limit) {
      const rows = await listAccessChanges(db.reader, seq, limit)
      return rows.map((row) => ({ seq: row.seq, kind: row.kind, entityId: row.entity_id }))
    },
    async loadProject(id) {
      const row = await loadProjectForFeed(db.reader, id)
      return row === null ? null : toProjectRules(row)
    },
    async loadKey(id) {
      const row = await loadApiKeyForFeed(db.reader, id)
      return row === null ? null : toKeyRules(row)
    },
    async loadTrustRule(id) {
      const row = await loadTrustRuleForFeed(db.reader, id)
      return row === null ? null : toTrustRuleCopy(row)
    },
    loadRegistry: (id) => loadRegistryForFeed(db.reader, id),
    latestSeq: () => loadLatestAccessSeq(db.reader),
    subscribe: (listener) => db.subscribe(ACCESS_FEED_CHANNEL, listener),
  }
}

function toProjectRules(row: ProjectRow): AccessProjectRow {
  return {
    id: row.id,
    namespace: row.namespace,
    deleted_at: row.deleted_at,
    quota_bytes: row.quota_bytes,
    public_repositories: row.public_repositories,
    allow_sparse_indexes: row.allow_sparse_indexes,
    home_region_id: row.home_region_id,
    immutable_tags: row.immutable_tags,
    retention: row.retention,
  }
}

function toKeyRules(row: ApiKeyRow): AccessKeyRules {
  return {
    id: row.id,
    project_id: row.project_id,
    kind: 'k',
    name: row.name,
    pepper_version: row.pepper_version,
    secret_version: row.secret_version,
    secret_hmac: row.secret_hmac,
    previous_hmac: row.previous_hmac,
    previous_expires_at: row.previous_expires_at,
    actions: row.actions,
    repositories: row.repositories,
    regions: row.regions,
    cidrs: row.cidrs,
    expires_at: row.expires_at,
    revoked_at: row.revoked_at,
  }
}

const NO_SECRET = new Uint8Array(0)

function stableIdOf({ provider, conditions }: TrustRuleRow): string {
  const [claim] = CI_PROVIDERS[provider].idClaims
  const value = claim === undefined ? undefined : (JSON.parse(conditions) as Record<string, unknown>)[claim]
  return typeof value === 'string' ? value : ''
}

/** A rule that is switched off or removed is revoked in regions: nothing there tells one from the other. */
function toTrustRuleCopy(row: TrustRuleRow): TrustRuleCopy {
  const { id, version } = row
  return {
    grant: {
      id,
      project_id: row.project_id,
      kind: 'r',
      name: row.name,
      pepper_version: 0,
      secret_version: version,
      secret_hmac: NO_SECRET,
      previous_hmac: null,
      previous_expires_at: null,
      actions: row.actions,
      repositories: row.repositories,
      regions: row.regions,
      cidrs: row.cidrs,
      expires_at: null,
      revoked_at: row.removed_at ?? row.disabled_at,
    },
    trust: {
      id,
      provider: row.provider,
      issuer: row.issuer,
      stable_id: stableIdOf(row),
      audience: row.audience,
      conditions: row.conditions,
      session_seconds: row.session_seconds,
      exchange_only: row.exchange_only,
      version,
      created_at: row.created_at,
    },
  }
}

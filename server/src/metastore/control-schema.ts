import type { Generated, Selectable } from 'kysely'
import type { AuditChainTable, AuditEventTable, AuditSealerTable, RefusalTable } from './audit-tables.ts'
import type { MemberTables } from './member-tables.ts'
import type { PeopleTables } from './people-tables.ts'
import type { WebhookTables } from './webhook-tables.ts'
import type { HealthCheckTable } from './region-schema.ts'

/*
 * The tables of the control plane's metadata database: the truth for who may do what.
 * Same conventions as in `region-schema.ts`.
 */

export interface ControlSchema extends PeopleTables, MemberTables, WebhookTables {
  health_check: HealthCheckTable
  installation: InstallationTable
  region: RegionTable
  project: ProjectTable
  registry: RegistryTable
  project_key: ProjectKeyTable
  api_key: ApiKeyTable
  trust_rule: TrustRuleTable
  access_counter: AccessCounterTable
  access_change: AccessChangeTable
  audit_event: AuditEventTable
  audit_chain: AuditChainTable
  audit_sealer: AuditSealerTable
  refusal: RefusalTable
}

/** Facts about this installation: `id`, `root_key_canary`, `operator_token_hmac`, `setup_token_hmac`… */
export interface InstallationTable {
  name: string
  value: string
}

export interface RegionTable {
  /** Slug. */
  id: string
  name: string
  /** Host (and port) that clients use. */
  host: string
  position: number
  created_at: number
}

export interface ProjectTable {
  id: string
  namespace: string
  name: string
  quota_bytes: number | null
  public_repositories: string
  allow_sparse_indexes: number
  /** Where the host without a region leads; null: to the first region. */
  home_region_id: string | null
  /** JSON ImmutableTagRule[] (access/image-rules.ts). */
  immutable_tags: Generated<string>
  /** JSON RetentionPolicy; null: everything is kept. */
  retention: Generated<string | null>
  created_at: number
  /** Set: deleted; the row stays, and keeps the namespace from other projects for as long as it is reserved. */
  deleted_at: number | null
  /** 1: anyone could pull something of it once, so its namespace is never given to another project. */
  was_public: Generated<number>
}

export interface RegistryTable {
  id: string
  project_id: string
  provider: 'managed' | 'docker_hub' | 'ghcr' | 'custom'
  region_id: string | null
  name: string
  host: string
  created_at: number
  /** Of third-party registries: the first path component of what is pulled through them. */
  slug: Generated<string | null>
  username: Generated<string | null>
  /** Third-party: the password or token. Managed: the text of its API key. */
  sealed_password: Generated<string | null>
  /** `ecr`: the stored login is exchanged for a short-lived one at use. */
  exchange: Generated<string | null>
  /** The API key of a managed registry's credentials; stays when that is revoked. */
  api_key_id: Generated<string | null>
  updated_at: Generated<number | null>
  password_set_at: Generated<number | null>
  rotation_every_days: Generated<number | null>
  rotation_overlap_seconds: Generated<number | null>
  rotation_due_at: Generated<number | null>
}

/** Keys of projects, wrapped by a root key. Deleting a project's makes its secrets unreadable for ever. */
export interface ProjectKeyTable {
  project_id: string
  version: number
  root_id: string
  wrapped: string
  created_at: number
}

export interface ApiKeyTable {
  id: string
  project_id: string
  name: string
  pepper_version: number
  secret_version: number
  secret_hmac: Uint8Array
  previous_hmac: Uint8Array | null
  previous_expires_at: number | null
  actions: string
  repositories: string
  regions: string
  cidrs: string
  created_at: number
  created_by: string
  expires_at: number | null
  revoked_at: number | null
  /** The member whose own key it is: it can do no more than the member may, and ends with the membership. */
  user_id: Generated<string | null>
  /** 1: the event that it expires soon was written. */
  expiry_warned: Generated<number>
  /** 1: the event that it has expired was written. */
  expiry_noted: Generated<number>
  /** Set: it is the credential of this managed registry. */
  registry_id: Generated<string | null>
}

/** Which CI jobs a project trusts, and what with. */
export interface TrustRuleTable {
  id: string
  project_id: string
  name: string
  provider: 'github_actions' | 'gitlab_ci' | 'circleci' | 'custom'
  /** `iss` of the tokens, exactly. */
  issuer: string
  /** One of the `aud` of the tokens, exactly. */
  audience: string
  /** JSON object: claim → what it must be. */
  conditions: string
  actions: string
  repositories: string
  regions: string
  cidrs: string
  /** How long what a CI token was exchanged for lives. */
  session_seconds: number
  /** 1: the CI token is not taken as a password. */
  exchange_only: number
  /** Rises when the rule trusts others than before; tokens made before end. */
  version: number
  created_at: number
  created_by: string
  updated_at: number
  disabled_at: number | null
  /** Set: removed; the row stays for the feed. */
  removed_at: number | null
}

/** One row. Its counter is raised inside the transaction of each change, so sequence order is commit order. */
export interface AccessCounterTable {
  id: number
  seq: number
}

/** The access feed: says which project or key changed; the follower reads the row as it is then. */
export interface AccessChangeTable {
  seq: number
  kind: 'project' | 'key' | 'registry' | 'trust_rule'
  entity_id: string
  at: number
}

export type RegionRow = Selectable<RegionTable>
export type ProjectRow = Selectable<ProjectTable>
export type RegistryRow = Selectable<RegistryTable>
export type ProjectKeyRow = Selectable<ProjectKeyTable>
export type ApiKeyRow = Selectable<ApiKeyTable>
export type TrustRuleRow = Selectable<TrustRuleTable>
export type AccessChangeRow = Selectable<AccessChangeTable>

import type { Generated, Selectable } from 'kysely'
import type { HealthCheckTable } from './region-schema.ts'

/*
 * The tables of the control plane's metadata database: the truth for who may do what.
 * Same conventions as in `region-schema.ts`.
 */

export interface ControlSchema {
  health_check: HealthCheckTable
  installation: InstallationTable
  region: RegionTable
  project: ProjectTable
  registry: RegistryTable
  api_key: ApiKeyTable
  access_counter: AccessCounterTable
  access_change: AccessChangeTable
  audit_event: ControlAuditEventTable
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
  created_at: number
  /** Set: deleted; the row stays so that the namespace is not given to another project. */
  deleted_at: number | null
}

export interface RegistryTable {
  id: string
  project_id: string
  provider: 'managed' | 'docker_hub' | 'ghcr' | 'custom'
  region_id: string | null
  name: string
  host: string
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
}

/** One row. Its counter is raised inside the transaction of each change, so sequence order is commit order. */
export interface AccessCounterTable {
  id: number
  seq: number
}

/** The access feed: says which project or key changed; the follower reads the row as it is then. */
export interface AccessChangeTable {
  seq: number
  kind: 'project' | 'key'
  entity_id: string
  at: number
}

export interface ControlAuditEventTable {
  id: Generated<number>
  project_id: string | null
  at: number
  actor: string
  action: string
  target: string
  detail: string
  request_id: string
}

export type RegionRow = Selectable<RegionTable>
export type ProjectRow = Selectable<ProjectTable>
export type RegistryRow = Selectable<RegistryTable>
export type ApiKeyRow = Selectable<ApiKeyTable>
export type AccessChangeRow = Selectable<AccessChangeTable>
export type ControlAuditEventRow = Selectable<ControlAuditEventTable>

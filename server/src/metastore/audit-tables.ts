import type { Generated, Selectable } from 'kysely'

/*
 * The tables of the audit log that are the same in the control plane's database and in a region's. Functions that work
 * on both take a `Kysely<AuditTables>`.
 */

export interface AuditTables {
  audit_event: AuditEventTable
  audit_chain: AuditChainTable
  audit_sealer: AuditSealerTable
  refusal: RefusalTable
}

export interface AuditEventTable {
  id: Generated<number>
  /** Null (control) or empty (region): it concerns the installation, or nobody knows whose it is. */
  project_id: string | null
  at: number
  actor: string
  action: string
  target: string
  detail: string
  request_id: string
  /** Counts the sealed events of this database without gaps; null until the event is sealed. */
  position: Generated<number | null>
  /** Counts the sealed events of this project without gaps, from 1. */
  chain_seq: Generated<number | null>
  /** SHA-256 in hex over this event and the hash of the one before (`metastore/audit-hash.ts`). */
  chain_hash: Generated<string | null>
}

/** The end of each chain, and where it begins since older events were removed. */
export interface AuditChainTable {
  /** A project's id; empty for the installation. */
  chain: string
  seq: number
  hash: string
  /** The last event that the retention removed: 0 when none was. */
  base_seq: number
  base_hash: string
}

/** One row; locked by whoever seals. */
export interface AuditSealerTable {
  id: number
  position: number
}

/** A request that was refused, kept for some days so that it can be explained. */
export interface RefusalTable {
  request_id: string
  /** Whose members may see it; empty: only operators, and whoever made the request. */
  project_id: string
  at: number
  /** A key's id, `person:<id>` or `anonymous`. */
  actor: string
  address: string
  /** What was asked for: `manifest-get`, `apiKeys.create`… */
  operation: string
  /** The repository or path as the client named it. */
  resource: string
  status: number
  /** The error code of the answer. */
  code: string
  /** JSON of a `DenialRule`. */
  rule: string
}

export type AuditEventRow = Selectable<AuditEventTable>
export type AuditChainRow = Selectable<AuditChainTable>
export type RefusalRow = Selectable<RefusalTable>

import type { Selectable } from 'kysely'
import type { UploadSessionTable } from './region-schema.ts'

export type UploadSessionRow = Selectable<UploadSessionTable>

/** What changes when a chunk ends. */
export interface UploadProgress {
  readonly offsetBytes: number
  readonly digestSoFar: string | null
  readonly pending: Uint8Array | null
  readonly storageState: string | null
  readonly expiresAt: number
}

export interface UploadClaim {
  readonly owner: string
  readonly untilMs: number
  readonly nowMs: number
  readonly expectedOffsetBytes: number | null
  /** True: of a session that has expired, to collect it. Default false: of one that has not. */
  readonly expired?: boolean
}

/**
 * Upload sessions of one region. Rows are visible to every replica when a call returns, but need not survive power
 * loss: losing a session costs a restarted upload, never acknowledged content (design section 9). On SQLite they
 * live in a file of their own without an fsync per commit; on PostgreSQL in the region's database, committed with
 * `synchronous_commit = off`.
 */
export interface UploadSessionStore {
  /**
   * Inserts a session and reserves `reservedBytes` of the project's quota in one step.
   * `quotaLeftBytes`: the project's quota less what it uses already (null: no quota).
   * Answers `over_quota` when all reservations of the project together would exceed it, `too_many` when the
   * credential already has `maxPerCredential` open sessions.
   */
  create(
    row: UploadSessionRow,
    limits: { quotaLeftBytes: number | null; maxPerCredential: number },
  ): Promise<'created' | 'over_quota' | 'too_many'>

  load(id: string): Promise<UploadSessionRow | null>

  /**
   * Takes the session for one writer until `untilMs` (database time). Null when it is gone, when another writer holds
   * it, or when `offsetBytes` differs from the stored one (`expectedOffsetBytes: null` skips that check). A session
   * past its expiry is for whoever collects it alone, and only such a one is: `claim.expired` says which is meant.
   */
  claim(id: string, claim: UploadClaim): Promise<UploadSessionRow | null>

  /** Extends a claim; false when it was lost. */
  renewClaim(id: string, owner: string, untilMs: number): Promise<boolean>

  /** Raises the reservation of a session; false when the project's quota does not allow it. */
  reserve(id: string, reservedBytes: number, quotaLeftBytes: number | null): Promise<boolean>

  /** Stores a chunk's progress and releases the claim; false when the claim was lost (then nothing is stored). */
  saveProgress(id: string, owner: string, progress: UploadProgress): Promise<boolean>

  /** Releases a claim without progress. */
  release(id: string, owner: string): Promise<void>

  remove(id: string): Promise<void>

  /** Sessions past their expiry and not claimed, oldest first, at most `limit`. */
  listExpired(nowMs: number, limit: number): Promise<UploadSessionRow[]>

  /** Sessions of one project (for its deletion), of one credential (for a revocation), or all, at most `limit` after `afterId`. */
  list(
    filter: { projectId?: string; credentialId?: string; afterId?: string },
    limit: number,
  ): Promise<UploadSessionRow[]>

  /** The sum of reservations of a project. */
  reservedBytes(projectId: string): Promise<number>

  count(): Promise<number>
  close(): Promise<void>
}

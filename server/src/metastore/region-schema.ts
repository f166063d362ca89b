import type { Generated, Selectable } from 'kysely'
import type { AuditChainTable, AuditEventTable, AuditSealerTable, RefusalTable } from './audit-tables.ts'

/*
 * The tables of a region's metadata database: the truth for what exists, and a copy of the access rules.
 * Times are integer milliseconds since the epoch, sizes integer bytes, lists and objects JSON text, booleans 0 or 1.
 * Text columns that are sorted or compared as ranges use byte order on both dialects (COLLATE "C" on PostgreSQL).
 */

export interface RegionSchema {
  health_check: HealthCheckTable
  access_project: AccessProjectTable
  access_key: AccessKeyTable
  access_trust_rule: AccessTrustRuleTable
  access_registry: AccessRegistryTable
  retired_slug: RetiredSlugTable
  cached_tag: CachedTagTable
  ci_token: CiTokenTable
  access_cursor: AccessCursorTable
  replica: ReplicaTable
  repository: RepositoryTable
  blob: BlobTable
  repository_blob: RepositoryBlobTable
  manifest: ManifestTable
  manifest_reference: ManifestReferenceTable
  tag: TagTable
  tag_history: TagHistoryTable
  project_usage: ProjectUsageTable
  upload_session: UploadSessionTable
  gc_task: GcTaskTable
  gc_run: GcRunTable
  audit_event: RegionAuditEventTable
  image_hold: ImageHoldTable
  last_pull: LastPullTable
  untagged_manifest: UntaggedManifestTable
  trashed_tag: TrashedTagTable
  idle_blob: IdleBlobTable
  retention_run: RetentionRunTable
  audit_chain: AuditChainTable
  audit_sealer: AuditSealerTable
  refusal: RefusalTable
}

/** One row, written by `ping`. */
export interface HealthCheckTable {
  id: number
  checked_at: number
}

/** Copy of a project's rules, fed by the control plane's access feed. */
export interface AccessProjectTable {
  id: string
  namespace: string
  /** Milliseconds; set when the project was deleted: nothing of it is served from then on. */
  deleted_at: number | null
  /** Null: unlimited. */
  quota_bytes: number | null
  /** JSON string[]: repository globs (below the namespace) that anyone may pull. */
  public_repositories: string
  /** 1: an index may name manifests that are not here. */
  allow_sparse_indexes: number
  /** Where the host without a region leads; null: to the first region. */
  home_region_id: string | null
  /** JSON ImmutableTagRule[]: tags that never move (access/image-rules.ts). */
  immutable_tags: string
  /** JSON RetentionPolicy, or null: everything is kept. */
  retention: string | null
}

/** Copy of a key's rules. The secret itself is nowhere: only its HMAC under the pepper. */
export interface AccessKeyTable {
  /** The public id inside `brth_k_<id>_…`. */
  id: string
  project_id: string
  /** `k` API key, `m` machine key, `r` trust rule: has no secret, its HMAC is empty. */
  kind: string
  name: string
  pepper_version: number
  /** Rises by one with each rotation. Tokens carry the version that they were made with. */
  secret_version: number
  secret_hmac: Uint8Array
  /** The secret before the last rotation, valid until `previous_expires_at`. */
  previous_hmac: Uint8Array | null
  previous_expires_at: number | null
  /** JSON: ('pull' | 'push' | 'delete')[] */
  actions: string
  /** JSON string[]: repository globs below the project's namespace; `["**"]` is the whole project. */
  repositories: string
  /** JSON string[]: region ids; empty: all. */
  regions: string
  /** JSON string[]: source CIDRs; empty: any. */
  cidrs: string
  expires_at: number | null
  revoked_at: number | null
  /** Coarse (a minute), written by this region. */
  last_used_at: number | null
}

/** Whom a trust rule trusts. What it grants is the row of `access_key` with the same id. */
export interface AccessTrustRuleTable {
  id: string
  provider: string
  issuer: string
  /** What the provider's id claim must be, to find a token's rules by; empty for `custom`. */
  stable_id: string
  audience: string
  /** JSON object: claim → what it must be. */
  conditions: string
  session_seconds: number
  exchange_only: number
  /** Also `secret_version` of the row in `access_key`. */
  version: number
  created_at: number
}

/**
 * Copy of a registry that a project has connected. Of its password only what the vault has sealed, with the project's
 * key that opens it, wrapped: both go when the registry or the project is deleted.
 */
export interface AccessRegistryTable {
  id: string
  project_id: string
  /** First component, below the namespace, of what is pulled through it. */
  slug: string
  name: string
  provider: 'docker_hub' | 'ghcr' | 'custom'
  host: string
  exchange: string | null
  username: string | null
  sealed_password: string | null
  key_version: number | null
  /** Which root key wraps `wrapped_key`. */
  key_root_id: string | null
  wrapped_key: string | null
}

/** Below this component are (or were) copies from a registry that is not connected under it any more. */
export interface RetiredSlugTable {
  project_id: string
  slug: string
}

/** When a tag of a cached repository was last compared with its registry. */
export interface CachedTagTable {
  repository_id: number
  name: string
  checked_at: number
}

/** A CI token that was taken here, until it has expired: the same one is not taken twice where once is all it may. */
export interface CiTokenTable {
  /** Hash of issuer and `jti`, or of all that is signed. */
  id: string
  rule_id: string
  /** Names the CI job in audit events. */
  run: string
  mode: 'exchange' | 'password'
  first_used_at: number
  expires_at: number
}

/** One row: how far this region has applied the control plane's access feed. */
export interface AccessCursorTable {
  id: number
  applied_seq: number
}

/** One row per live process that serves this region. */
export interface ReplicaTable {
  id: string
  applied_seq: number
  /** Database time of the last renewal of its lease. */
  renewed_at: number
  started_at: number
  version: string
}

export interface RepositoryTable {
  id: Generated<number>
  project_id: string
  /** The path below the namespace, in byte order. Unique within the project. */
  path: string
  created_at: number
  /** Set: a copy of another registry's repository; which registry's (`cacheId` of access/connected-registry.ts). */
  cached_from: Generated<string | null>
}

/**
 * Bytes that a project owns, once per digest while `state` is `live`. Content up to the inline limit is in `content`,
 * the rest in the blob store under `storage_key`. Exactly one of the two is set.
 */
export interface BlobTable {
  id: Generated<number>
  project_id: string
  digest: string
  size_bytes: number
  storage_key: string | null
  content: Uint8Array | null
  /** `live`, or `trashed`: has no reference any more and is removed at `purge_at`. */
  state: 'live' | 'trashed'
  created_at: number
  trashed_at: number | null
  purge_at: number | null
}

/** Membership: what makes a blob readable in a repository. */
export interface RepositoryBlobTable {
  repository_id: number
  digest: string
  blob_id: number
  created_at: number
  /** Acknowledged content stays at least until then, referenced or not. */
  leased_until: number
}

export interface ManifestTable {
  repository_id: number
  digest: string
  media_type: string
  kind: 'image' | 'index'
  artifact_type: string | null
  subject_digest: string | null
  /** JSON object or null: what a referrers list shows. */
  annotations: string | null
  size_bytes: number
  content: Uint8Array
  created_at: number
  /** Set: in the trash until `purge_at`, invisible to clients, can be undeleted. */
  deleted_at: number | null
  purge_at: number | null
}

/** An edge of a manifest's closure. A subject is not an edge: it may be missing. */
export interface ManifestReferenceTable {
  repository_id: number
  manifest_digest: string
  target_digest: string
  target_kind: 'blob' | 'manifest'
}

export interface TagTable {
  repository_id: number
  name: string
  digest: string
  version: number
  updated_at: number
}

/** Every acknowledged change of a tag. Versions of a tag have no gaps. */
export interface TagHistoryTable {
  repository_id: number
  tag: string
  version: number
  /** Null: the tag was deleted. */
  digest: string | null
  at: number
  /** Who: a credential id, or `operator`. */
  actor: string
}

export interface ProjectUsageTable {
  project_id: string
  /** Bytes of live blobs (each digest once) that are not idle, and of manifests that are not in the trash. */
  used_bytes: number
  /** Bytes of idle and trashed blobs, and of manifests in the trash: what comes back when they are purged. */
  trashed_bytes: Generated<number>
}

/** A live blob that only manifests in the trash refer to: it counts as trash until something live needs it again. */
export interface IdleBlobTable {
  blob_id: number
  project_id: string
  since: number
}

/** A manifest that must stay, and why: what runs may be rolled back to it. A root for retention and deletions. */
export interface ImageHoldTable {
  repository_id: number
  digest: string
  /** For people: `release 12 of app web`. Several reasons hold independently. */
  reason: string
  created_at: number
}

/** When a tag or a manifest was last pulled, to the hour. */
export interface LastPullTable {
  repository_id: number
  /** A tag or a digest: no text is both. */
  reference: string
  pulled_at: number
}

/** Since when a manifest has no tag any more; one that never had any has no row. May be left over from earlier. */
export interface UntaggedManifestTable {
  repository_id: number
  digest: string
  since: number
}

/** Tags that a manifest lost when it was put into the trash: an undelete brings them back. */
export interface TrashedTagTable {
  repository_id: number
  digest: string
  tag: string
}

/** The newest run of a project's retention rules. `seen_at` is renewed while it runs. */
export interface RetentionRunTable {
  project_id: string
  /** The process that runs it. */
  owner: string
  started_at: number
  seen_at: number
  finished_at: number | null
  /** `running`, `done` or `failed`. */
  outcome: string
  removed_tags: number
  removed_manifests: number
  detail: string | null
}

export interface UploadSessionTable {
  /** A UUID. */
  id: string
  project_id: string
  /** The repository's path below the namespace; the repository itself is made by the first commit. */
  repository_path: string
  /** Key id, or `operator`. */
  credential_id: string
  algorithm: 'sha256' | 'sha512'
  offset_bytes: number
  /** Digest of all bytes so far, so that a closing PUT never reads them again. */
  digest_so_far: string | null
  /** Bytes that are not in the blob store yet because they are few. */
  pending: Uint8Array | null
  /** The blob store's own upload state (JSON), null until bytes went there. */
  storage_state: string | null
  reserved_bytes: number
  claimed_by: string | null
  claimed_until: number | null
  created_at: number
  expires_at: number
}

/** Work for garbage collection: something that may have lost its last reference, looked at when due. */
export interface GcTaskTable {
  id: Generated<number>
  /** `membership`: repository_id + digest; `blob`: blob_id; `purge_manifest`: repository_id + digest; `project`: project_id. */
  kind: 'membership' | 'blob' | 'purge_blob' | 'purge_manifest' | 'project'
  /** Unique: `<kind>/<what it is about>`, so that a second reason to look at the same thing does not add a row. */
  target: string
  project_id: string
  repository_id: number | null
  digest: string | null
  blob_id: number | null
  due_at: number
  /** Why it was enqueued, for the log: `pushed`, `mounted`, `manifest_purged`, `blob_deleted`, `project_deleted`… */
  reason: string
}

export interface GcRunTable {
  id: Generated<number>
  /** The process that runs it. */
  owner: string
  started_at: number
  /** Renewed while it runs. */
  seen_at: number
  finished_at: number | null
  examined: number
  trashed_blobs: number
  trashed_bytes: number
  purged_blobs: number
  purged_bytes: number
  purged_manifests: number
  /** `running`, `done`, `stopped` (would have removed too much), `failed`. */
  outcome: string
  detail: string | null
}

/** In a region every event names a project, or nobody (empty). */
export interface RegionAuditEventTable extends Omit<AuditEventTable, 'project_id'> {
  project_id: string
}

export type AccessProjectRow = Selectable<AccessProjectTable>
export type AccessKeyRow = Selectable<AccessKeyTable>
export type AccessRegistryRow = Selectable<AccessRegistryTable>
export type AccessTrustRuleRow = Selectable<AccessTrustRuleTable>
export type RepositoryRow = Selectable<RepositoryTable>
export type BlobRow = Selectable<BlobTable>
export type ManifestRow = Selectable<ManifestTable>
export type TagRow = Selectable<TagTable>
export type TagHistoryRow = Selectable<TagHistoryTable>
export type GcTaskRow = Selectable<GcTaskTable>
export type GcRunRow = Selectable<GcRunTable>
export type RetentionRunRow = Selectable<RetentionRunTable>

// Every bound of the data plane, with its unit. What configuration may change is in `RegistryLimits`.

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const SECOND_MS = 1000
const HOUR_MS = 3600 * SECOND_MS
const DAY_MS = 24 * HOUR_MS

/** Bounds that come from the configuration of the process. */
export interface RegistryLimits {
  /** Blobs up to this size live in the metadata database. */
  readonly inlineLimitBytes: number
  readonly maxBlobBytes: number
  readonly maxUploadsPerKey: number
  /** Free space of the blob store below which new uploads are refused. */
  readonly diskReserveBytes: number
  /** An upload session that received nothing for this long is collected. */
  readonly uploadTtlMs: number
  /** How long an acknowledged blob is kept before any manifest refers to it. */
  readonly blobLeaseMs: number
  /** How long a deleted manifest can be undeleted. */
  readonly trashMs: number
  /** See PROGRESS_WINDOW_MS, which is the default. */
  readonly progressWindowMs?: number
}

/** What a process without configuration (a test) uses. */
export const DEFAULT_LIMITS: RegistryLimits = Object.freeze({
  inlineLimitBytes: 16 * KIB,
  maxBlobBytes: 512 * GIB,
  maxUploadsPerKey: 1000,
  diskReserveBytes: GIB,
  uploadTtlMs: DAY_MS,
  blobLeaseMs: DAY_MS,
  trashMs: 7 * DAY_MS,
})

/** Longest path and longest path with query that are looked at, in characters: 414 above. */
export const MAX_PATH_LENGTH = 1024
export const MAX_URL_LENGTH = 15 * KIB

/** Most `tag` parameters of one manifest push. The specification asks for at least 10. */
export const MAX_TAG_PARAMETERS = 100

/** Longest value of `artifactType`, in characters. */
export const MAX_ARTIFACT_TYPE_LENGTH = 255

/** Entries of one page without `n`, and the most that `n` can ask for. */
export const DEFAULT_PAGE_LIMIT = 1000
export const MAX_PAGE_LIMIT = 1000
export const DEFAULT_REFERRERS_LIMIT = 100
export const MAX_REFERRERS_LIMIT = 100

/** A page of referrers ends early when their annotations reach this many bytes. */
export const MAX_REFERRERS_PAGE_BYTES = 4 * MIB

/** Rows that a catalog page looks at in one step, and in all: a page of a narrow key may be short, but never slow. */
export const CATALOG_STEP_ROWS = 500
export const CATALOG_MAX_ROWS = 5000

/** Repositories that a mount without `from` looks at. */
export const MAX_MOUNT_CANDIDATES = 100

/** Body of a POST to the token endpoint. */
export const MAX_TOKEN_BODY_BYTES = 16 * KIB

/** A chunked body reserves quota in steps of this size, since its length is unknown. */
export const RESERVE_STEP_BYTES = 16 * MIB

/**
 * A writer's hold on an upload session, and how often it is renewed while bytes come. After a process died with an
 * upload in hand, a client that resumes it on another one waits at most this long.
 */
export const CLAIM_MS = 20 * SECOND_MS
export const CLAIM_RENEW_MS = 5 * SECOND_MS

/** Manifests above the first size share this much memory while they are received, and wait this long for their turn. */
export const SMALL_MANIFEST_BYTES = 64 * KIB
export const MANIFEST_BODIES_BUDGET_BYTES = 64 * MIB
/** Of that, what one project may hold: senders that trickle must not keep everybody else's manifests waiting. */
export const MANIFEST_BODIES_PER_PROJECT_BYTES = 16 * MIB
export const MANIFEST_TURN_WAIT_MS = 30 * SECOND_MS

/** See receive-buffers.ts. */
export const RECEIVED_BYTES_PER_COLLECTION = 8 * MIB

/** Unfinished digests that are kept between the chunks of uploads. */
export const MAX_HASH_STATES = 2000

/** A push-scoped HEAD leaves a blob with at least this much of its lease. */
export const MIN_LEASE_LEFT_MS = HOUR_MS
/** What such a HEAD extends the lease to, so that the next ones need no write. */
export const EXTENDED_LEASE_MS = 2 * HOUR_MS

/**
 * A body or an answer that moves fewer bytes than this in a window is cut. There is no limit on the whole time: a
 * slow line may take a day for a large blob.
 */
export const PROGRESS_WINDOW_MS = 60 * SECOND_MS
export const MIN_PROGRESS_BYTES = 16 * KIB

/** What is still read of a refused body, so that the client gets to see the answer. */
export const MAX_DRAIN_BYTES = 64 * MIB
export const MAX_DRAIN_MS = 10 * SECOND_MS

/** How long the answer about free space may be old. */
export const FREE_SPACE_AGE_MS = SECOND_MS

/** Part of the quota in use from which pushes carry a Warning header. */
export const QUOTA_WARNING_SHARE = 0.9

/** Seconds in `Retry-After` when the database or the blob store is unavailable, and for too many uploads. */
export const UNAVAILABLE_RETRY_SECONDS = 2
export const TOO_MANY_UPLOADS_RETRY_SECONDS = 30

/** Seconds that caches may keep content by digest. It never changes, but a public repository can become private. */
export const PRIVATE_CACHE_SECONDS = 31_536_000
export const PUBLIC_CACHE_SECONDS = 3600

/** How often gathered last pulls are written. */
export const LAST_PULL_FLUSH_INTERVAL_MS = 60_000
/** Last pulls are told to the hour. */
export const LAST_PULL_GRANULARITY_MS = 3_600_000
/** Tags and manifests whose last pull is remembered in memory. */
export const MAX_LAST_PULL_ENTRIES = 50_000
export const PULLS_PER_COMMAND = 1_000

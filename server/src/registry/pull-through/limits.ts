// Every bound of pulling through connected registries, with its unit.

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS

/** A tag that was compared with its registry this recently is served without asking again. */
export const TAG_FRESH_MS = MINUTE_MS

/** What is not there, or was refused, is not asked for again for this long. */
export const REMEMBER_REFUSAL_MS = 10 * SECOND_MS
export const MAX_REMEMBERED_REFUSALS = 200

/** A registry that cannot be reached, or takes no more requests, is left alone for this long. */
export const UNREACHABLE_PAUSE_MS = 10 * SECOND_MS
export const RATE_LIMIT_PAUSE_MS = 30 * SECOND_MS
export const MAX_RATE_LIMIT_PAUSE_MS = 5 * MINUTE_MS

/** Clients of registries are kept for their tokens, this long after their last use. */
export const CLIENT_KEPT_MS = 5 * MINUTE_MS
export const MAX_KEPT_CLIENTS = 1000

/** Manifests that are fetched at once, each up to 4 MiB in memory; more wait, and beyond that are refused. */
export const MAX_MANIFEST_FETCHES = 32
export const MAX_MANIFEST_FETCHES_PER_PROJECT = 8
export const MAX_WAITING_MANIFEST_FETCHES = 500
export const MANIFEST_PLACE_WAIT_MS = 30 * SECOND_MS

/** Blobs that are being stored at once; more are handed on without being kept. */
export const MAX_FILLS = 64
export const MAX_FILLS_PER_PROJECT = 16

/** Where a quota is and the other side does not say how large a blob is, no more than this is kept of one. */
export const UNKNOWN_SIZE_KEPT_BYTES = 1024 * 1024 * 1024

/** A registry that sends fewer bytes of a blob than `MIN_PROGRESS_BYTES` in this time is given up. */
export const FETCH_PROGRESS_WINDOW_MS = MINUTE_MS

/** How long a second client waits for a blob that a first one is being sent, before it gets one of its own. */
export const FILL_WAIT_MS = 30 * SECOND_MS

/** A blob that no manifest here refers to yet stays this long. Its manifest comes before it, as a rule. */
export const CACHED_BLOB_LEASE_MS = 10 * MINUTE_MS

/** `Retry-After` where the other side says nothing. */
export const RETRY_AFTER_SECONDS = 10
/** The same while copies of a registry that is not connected any more are cleared. */
export const CLEARING_RETRY_SECONDS = 15

/** Longest text of a `Warning`. */
export const MAX_WARNING_LENGTH = 300

/*
 * The bounds of calls to other registries, in one place.
 */

/** From a request to the headers of its answer, redirects included; for small answers to the end of the body. */
export const REQUEST_TIMEOUT_MS = 30_000
export const BLOB_BODY_TIMEOUT_MS = 6 * 3600 * 1000
/** A connection test is waited for by a person. */
export const TEST_TIMEOUT_MS = 15_000

/** As the distribution specification asks registries to accept. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024
export const MAX_LIST_BYTES = 4 * 1024 * 1024
export const MAX_LIST_ENTRIES = 10_000
export const DEFAULT_LIST_LIMIT = 100
export const MAX_CURSOR_LENGTH = 1_024
export const MAX_SMALL_ANSWER_BYTES = 64 * 1024

export const MAX_CHALLENGE_BYTES = 4 * 1024
export const MAX_CHALLENGES = 8
export const MAX_TOKEN_ANSWER_BYTES = 64 * 1024
export const MAX_TOKEN_BYTES = 24 * 1024

/** What the token specification says where an answer does not. */
export const DEFAULT_TOKEN_LIFETIME_SECONDS = 60
export const MAX_TOKEN_LIFETIME_SECONDS = 3600
/** A token is not used any more when it has this little left, or a tenth of its life. */
export const TOKEN_MARGIN_MS = 5_000
export const MAX_CACHED_TOKENS = 200
export const MAX_CACHED_TOKENS_BYTES = 256 * 1024
/** After a refused sign-in the other side is not asked again for this long: it may lock the account. */
export const REFUSED_SIGN_IN_MS = 30_000

/** A token for ECR is replaced when it has this little left of its twelve hours. */
export const ECR_MARGIN_MS = 10 * 60_000
/** However short its life is said to be, an exchanged password is used for this long. */
export const ECR_MIN_LIFETIME_MS = 60_000
export const ECR_TIMEOUT_MS = 15_000

export const MAX_RETRY_AFTER_SECONDS = 24 * 3600

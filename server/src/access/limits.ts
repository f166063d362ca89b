/*
 * The bounds of this module, in one place. Sizes in bytes of the text as sent, times in the unit of the name.
 */

/** The whole `Authorization` header; larger than the largest token in a Basic password. */
export const MAX_AUTHORIZATION_BYTES = 12 * 1024
export const MAX_TOKEN_BYTES = 8 * 1024
/** JSON of a token's `access` claim: in base64, with the other claims, it stays below MAX_TOKEN_BYTES. */
export const MAX_ACCESS_CLAIM_BYTES = 5 * 1024

export const DEFAULT_TOKEN_LIFETIME_SECONDS = 900
export const REFRESH_TOKEN_LIFETIME_SECONDS = 30 * 24 * 3600
/** Clocks of replicas may differ by this much. */
export const TOKEN_CLOCK_SKEW_SECONDS = 60
/** A running upload of the same key goes on with a token that expired at most this long ago. */
export const EXPIRED_TOKEN_UPLOAD_GRACE_SECONDS = 24 * 3600

export const MAX_VERIFIED_TOKENS = 20_000
export const MAX_VERIFIED_TOKENS_BYTES = 16 * 1024 * 1024

/** From then on before its expiry a key's use is answered with a warning. */
export const KEY_EXPIRY_WARNING_MS = 7 * 24 * 3600_000

export const MAX_GLOB_LENGTH = 255
export const MAX_GLOBS_PER_LIST = 100
export const MAX_CIDRS_PER_LIST = 100

export const MAX_CACHED_KEYS = 10_000
export const MAX_CACHED_PROJECTS = 10_000
export const MAX_CACHED_UNKNOWN = 10_000
export const UNKNOWN_TTL_MS = 2_000

/** How long a replica trusts its caches without having asked the database. Known to every replica alike. */
export const LEASE_MS = 4_000
/** Clocks tick at slightly different rates, and a check takes time: a lease counts as ended this much later. */
export const LEASE_MARGIN_MS = 500
/** A replica whose row is this old by the database's clock is gone, however the clocks were stepped meanwhile. */
export const REPLICA_GONE_AFTER_MS = 10_000
export const REPLICA_FORGOTTEN_AFTER_MS = 10 * 60_000
export const FEED_POLL_INTERVAL_MS = 1_000
export const FEED_BATCH = 200
export const FEED_RETRY_MIN_MS = 100
/** Below the lease, so that a database that comes back is noticed soon. */
export const FEED_RETRY_MAX_MS = 2_000
/** How long a stop waits for a database that does not answer. */
export const CLOSE_WAIT_MS = 2_000
export const WAIT_POLL_MIN_MS = 10
export const WAIT_POLL_MAX_MS = 100

/** Failures of one credential from one address. */
export const MAX_FAILURES_PER_CREDENTIAL = 10
/** Different failing credentials from one address. */
export const MAX_FAILING_CREDENTIALS_PER_ADDRESS = 50
/** Different (credential, address) pairs that are counted at the same time, whoever they are. */
export const MAX_COUNTED_FAILURES = 50_000
export const FAILURE_WINDOW_SECONDS = 60

export const LAST_USED_FLUSH_INTERVAL_MS = 60_000
export const LAST_USED_GRANULARITY_MS = 60_000
export const MAX_LAST_USED_ENTRIES = 20_000

export const MAX_FORWARDED_FOR_BYTES = 2_048
export const MAX_FORWARDED_HOPS = 32

/** Clocks of CI services may differ from ours by this much. */
export const CI_TOKEN_CLOCK_SKEW_SECONDS = 30
/** The longest that a hosted CI job runs; a token that claims more ends then. */
export const MAX_CI_TOKEN_AGE_SECONDS = 6 * 3600
export const MAX_JTI_LENGTH = 255
/** As long as a rule's issuer may be: what is longer is none, and is not remembered as unknown. */
export const MAX_CI_ISSUER_LENGTH = 500
/** Longer than any id that a provider gives. */
export const MAX_STABLE_ID_LENGTH = 64
/** Of a claim that is shown to the client or kept in the audit log. */
export const MAX_QUOTED_CLAIM_LENGTH = 200
/** How many rules one refusal explains. */
export const MAX_EXPLAINED_RULES = 3
export const MAX_VERIFIED_CI_TOKENS = 2_000
export const MAX_VERIFIED_CI_TOKENS_BYTES = 8 * 1024 * 1024
/** A signature is looked at again after this, so that a key that its issuer took back is soon of no use. */
export const VERIFIED_CI_TOKEN_TTL_MS = 5 * 60_000
export const MAX_CACHED_ISSUERS = 1_000
export const MAX_CACHED_STABLE_IDS = 10_000

export const MAX_ISSUERS = 500
export const MAX_ISSUER_KEYS = 100
export const MAX_ISSUER_DOCUMENT_BYTES = 256 * 1024
export const ISSUER_TIMEOUT_MS = 5_000
export const ISSUER_KEYS_FRESH_MS = 10 * 60_000
/** For how long the last keys do when the issuer cannot be reached. */
export const ISSUER_KEYS_STALE_MS = 60 * 60_000
/** Between two fetches because of a key that is not known: whoever makes up key ids causes no more than this. */
export const ISSUER_REFRESH_PAUSE_MS = 30_000
/** After a fetch that failed. */
export const ISSUER_RETRY_PAUSE_MS = 10_000

// Every bound of sign-ins and sessions, with its unit.

/** Shortest and longest password, in characters. Longer ones only cost memory. */
export const MIN_PASSWORD_LENGTH = 12
export const MAX_PASSWORD_LENGTH = 128

/**
 * Argon2id, above the second of OWASP's recommended sets (46 MiB, 1 pass): 46 MiB, 2 passes, 1 lane. About a tenth of a
 * second on one core.
 */
export const ARGON2_MEMORY_KIB = 47_104
export const ARGON2_PASSES = 2
export const ARGON2_LANES = 1
export const ARGON2_SALT_BYTES = 16
export const ARGON2_TAG_BYTES = 32
/** Most that a stored hash may ask for: a damaged row must not take the machine down. */
export const MAX_ARGON2_MEMORY_KIB = 262_144
export const MAX_ARGON2_PASSES = 16

/** Passwords that are checked at once, which bounds memory; and how many may wait before sign-ins are refused. */
export const PASSWORD_CHECKS_AT_ONCE = 2
export const MAX_WAITING_PASSWORD_CHECKS = 64

/** Wrong passwords of one account from one address, and within which time. */
export const MAX_PASSWORD_FAILURES = 10
export const PASSWORD_FAILURE_WINDOW_SECONDS = 15 * 60
/** Accounts that one address may fail at in that time. */
export const MAX_FAILING_ACCOUNTS_PER_ADDRESS = 30
/** Pairs of account and address that are counted at once. */
export const MAX_COUNTED_SIGN_INS = 20_000

/** Requests to the sign-in library, and new device codes, per address and minute. */
export const MAX_AUTH_REQUESTS_PER_MINUTE = 120
export const MAX_DEVICE_STARTS_PER_MINUTE = 20
/** Device codes that a person may try per minute. */
export const MAX_CODE_ENTRIES_PER_MINUTE = 30
/** Addresses (or people) that such a limit remembers at once. */
export const MAX_LIMITED_CLIENTS = 20_000

/** A session in a browser ends after this time, in ms. */
export const BROWSER_SESSION_MS = 14 * 24 * 3_600_000
/** A session of the command line ends when it was not used for this time, and after the second in any case, in ms. */
export const DEVICE_SESSION_IDLE_MS = 30 * 24 * 3_600_000
export const DEVICE_SESSION_MAX_MS = 180 * 24 * 3_600_000
/** The last use of a session is noted this often, in ms. */
export const SESSION_USE_GRANULARITY_MS = 3_600_000
/** The last use of a personal token is noted this often, in ms. */
export const TOKEN_USE_GRANULARITY_MS = 5 * 60_000

/** How long a session counts as confirmed after the person proved who they are, in ms. */
export const CONFIRMATION_MS = 10 * 60_000

/** Lifetime of a device code and the pause between polls, in seconds. */
export const DEVICE_CODE_SECONDS = 10 * 60
export const DEVICE_POLL_SECONDS = 5

/** Active personal tokens of one person. */
export const MAX_PERSONAL_TOKENS = 100
/** Passkeys of one person. */
export const MAX_PASSKEYS = 20

/** Longest cookie header, form, and User-Agent that is kept, in characters or bytes. */
export const MAX_COOKIE_LENGTH = 8 * 1024
export const MAX_FORM_BYTES = 16 * 1024
export const MAX_USER_AGENT_LENGTH = 200

/** Expired rows are removed this often, in ms, and so many of a kind at once. */
export const SWEEP_INTERVAL_MS = 10 * 60_000
export const SWEEP_ROWS = 500

/** Longest that the issuer of single sign-on may take to describe itself, in ms. */
export const SSO_DISCOVERY_TIMEOUT_MS = 10_000

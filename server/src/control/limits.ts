// Every bound of the console, with its unit. Bounds of single fields are in the contract (api/src/limits.ts).

/** Longest body that is read, in bytes. */
export const MAX_BODY_BYTES = 1024 * 1024

/** Longest time for a body to arrive, in milliseconds. */
export const BODY_TIMEOUT_MS = 15_000

/** Longest path parameter, in characters: a repository path, percent-encoded. */
export const MAX_PATH_PARAMETER_LENGTH = 1_024

/** Longest path with its query, in characters. */
export const MAX_URL_LENGTH = 8 * 1024

/** Longest Authorization header that is looked at, in characters. */
export const MAX_AUTHORIZATION_LENGTH = 1_024

/** How often a secret is sealed again when the project's key was replaced meanwhile. */
export const SEAL_ATTEMPTS = 5

/** How often a namespace that is made from a name is tried with a number behind it. */
export const NAMESPACE_ATTEMPTS = 20

/** How old the bytes in a list of repositories may be, in milliseconds, and of how many they are remembered. */
export const RECENT_BYTES_MS = 60_000
export const MAX_RECENT_REPOSITORIES = 20_000

/** Tags and manifests that one page of a retention preview looks at. */
export const RETENTION_LOOKED_AT = 5_000

/** Tags that a manifest is shown with. */
export const MANIFEST_TAGS_SHOWN = 100

/** Largest image configuration that is read to show a manifest, in bytes: what lies inline in the database. */
export const MAX_IMAGE_CONFIG_BYTES = 256 * 1024

/** Seconds in Retry-After when a database cannot be reached. */
export const UNAVAILABLE_RETRY_SECONDS = 5

/** Longest setup token that is looked at, in characters. */
export const MAX_SETUP_TOKEN_LENGTH = 256

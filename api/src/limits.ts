// Every bound of the console's contract, with its unit.

/** Entries of a page when the request does not say, and at most. */
export const DEFAULT_PAGE_LIMIT = 50
export const MAX_PAGE_LIMIT = 500

/** Longest opaque cursor that is looked at, in characters. */
export const MAX_CURSOR_LENGTH = 4_096

/** Longest display name of a project or key, in characters. */
export const MAX_DISPLAY_NAME_LENGTH = 100

/** Most repository globs, regions or CIDRs on one key or project. */
export const MAX_GLOBS = 100
export const MAX_KEY_REGIONS = 100
export const MAX_KEY_CIDRS = 100

/** Longest repository glob, in characters. */
export const MAX_GLOB_LENGTH = 255

/** Longest overlap of a key rotation, in seconds: 30 days. */
export const MAX_OVERLAP_SECONDS = 30 * 24 * 3600

/** Overlap of a key rotation when the request does not say, in seconds: one day. */
export const DEFAULT_OVERLAP_SECONDS = 24 * 3600

/** Most referrers that a manifest shows at once; the rest is paged. */
export const MAX_REFERRERS_SHOWN = 50

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

/** Most rules of one kind about images in a project. */
export const MAX_POLICY_RULES = 20

/** Longest tag pattern, in characters: a tag and what excludes it. */
export const MAX_TAG_PATTERN_LENGTH = 129

/** Most tags that one retention rule keeps of a repository by their number. */
export const MAX_KEPT_TAGS = 10_000

/** Longest period of a retention rule, in days. */
export const MAX_RETENTION_DAYS = 3_650

/** Longest repository glob, in characters. */
export const MAX_GLOB_LENGTH = 255

/** Longest overlap of a key rotation, in seconds: 30 days. */
export const MAX_OVERLAP_SECONDS = 30 * 24 * 3600

/** Overlap of a key rotation when the request does not say, in seconds: one day. */
export const DEFAULT_OVERLAP_SECONDS = 24 * 3600

/** Most referrers that a manifest shows at once; the rest is paged. */
export const MAX_REFERRERS_SHOWN = 50

/** How long an invitation's link works when the request does not say, and at most, in seconds: 7 and 30 days. */
export const DEFAULT_INVITATION_SECONDS = 7 * 24 * 3600
export const MAX_INVITATION_SECONDS = 30 * 24 * 3600

/** How long a link that sets a new password works, in seconds: one day. */
export const PASSWORD_RESET_SECONDS = 24 * 3600

/** Longest text that is looked at as the secret of an invitation, in characters. */
export const MAX_INVITATION_TOKEN_LENGTH = 256

/** Longest e-mail address, in characters (RFC 5321 section 4.5.3.1.3, without the angle brackets). */
export const MAX_EMAIL_LENGTH = 254

/** Longest filter of audit events, in characters. */
export const MAX_AUDIT_FILTER_LENGTH = 300

/** Of trust rules: claims in one rule, lengths in characters, and how long an exchanged CI token signs in, in seconds. */
export const MAX_TRUST_CONDITIONS = 16
export const MAX_CLAIM_NAME_LENGTH = 100
export const MAX_CLAIM_VALUE_LENGTH = 512
export const MAX_ISSUER_LENGTH = 500
export const MAX_AUDIENCE_LENGTH = 500
export const MIN_CI_SESSION_SECONDS = 60
export const DEFAULT_CI_SESSION_SECONDS = 900
export const MAX_CI_SESSION_SECONDS = 6 * 3600

/** Most remembered heads that one verification compares with. */
export const MAX_REMEMBERED_HEADS = 40

/** Longest host of a registry with its port, slug, user name and password or token, in characters. */
export const MAX_REGISTRY_HOST_LENGTH = 260
export const MAX_REGISTRY_SLUG_LENGTH = 63
export const MAX_REGISTRY_USERNAME_LENGTH = 256
export const MAX_REGISTRY_PASSWORD_LENGTH = 4_096

/** Most third-party registries of a project. */
export const MAX_THIRD_PARTY_REGISTRIES = 100

/** Longest pause between scheduled rotations, in days. */
export const MAX_ROTATION_DAYS = 730

/** Most webhooks of a project, and most patterns of event types on one. */
export const MAX_WEBHOOKS = 20
export const MAX_EVENT_PATTERNS = 50

/** Longest URL of a webhook, in characters. */
export const MAX_WEBHOOK_URL_LENGTH = 2_000

/**
 * The rules that refuse requests, by stable names. What each means in words, and what to do, is in
 * `control/refusals/rules.ts`; a rule without words does not compile there.
 */
export type DenialRule =
  // Who is it? Answered 401, or 429.
  | 'credential_malformed'
  | 'credential_invalid'
  | 'credential_expired'
  | 'credential_revoked'
  | 'key_unknown'
  | 'key_secret_wrong'
  | 'key_expired'
  | 'key_revoked'
  | 'key_replaced'
  | 'key_region'
  | 'key_address'
  | 'project_deleted'
  | 'token_invalid'
  | 'token_expired'
  | 'too_many_failures'
  | 'sign_in_needed'
  // May they? Answered 401, 403 or 404.
  | 'token_only_for_uploads'
  | 'token_scope'
  | 'key_action'
  | 'key_repository'
  | 'not_here'
  | 'content_unknown'
  | 'upload_unknown'
  | 'quota'
  | 'policy'
  | 'method'
  // The console.
  | 'role'
  | 'operator_only'
  | 'person_only'
  | 'step_up'

export type DenialDetail = Readonly<Record<string, string | number | boolean | null | readonly string[]>>

/** Why a request is refused, for whoever may ask afterwards; nothing of it is sent to the client. */
export interface Denial {
  readonly rule: DenialRule
  readonly detail: DenialDetail
  /** Whose members may see it: the credential's project, or the project asked when nobody in particular did. */
  readonly projectId: string | null
  /** The credential that was shown or named, when it is known: a key's id. */
  readonly actor?: string
}

/**
 * Rules whose refusals are audit events, counted. The others are how clients work: they ask without a credential first,
 * renew tokens when those have expired, and look for what is not there.
 */
const AUDITED: ReadonlySet<DenialRule> = new Set<DenialRule>([
  'credential_malformed',
  'credential_invalid',
  'credential_expired',
  'credential_revoked',
  'key_unknown',
  'key_secret_wrong',
  'key_expired',
  'key_revoked',
  'key_replaced',
  'key_region',
  'key_address',
  'project_deleted',
  'token_invalid',
  'too_many_failures',
  'key_action',
  'key_repository',
  'not_here',
  'role',
  'operator_only',
])

/** Whether refusals by this rule belong into the audit log. */
export function isAudited(rule: DenialRule): boolean {
  return AUDITED.has(rule)
}

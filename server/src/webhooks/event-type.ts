/** Types whose names do not follow from the action alone. Receivers rely on them: once published they stay. */
const NAMED: Readonly<Record<string, string>> = {
  'access.deny': 'berth.access.denied',
  'api_key.end_overlap': 'berth.api_key.overlap_ended',
  'api_key.expired': 'berth.api_key.expired',
  'api_key.expiring': 'berth.api_key.expiring',
  'ci_token.sign_in': 'berth.ci_token.signed_in',
  'device.deny': 'berth.device.denied',
  'installation.setup': 'berth.installation.set_up',
  'manifest.undelete': 'berth.manifest.restored',
  'member.leave': 'berth.member.left',
  'person.displaced': 'berth.person.displaced',
  'person.make_operator': 'berth.person.made_operator',
  'person.password_changed': 'berth.person.password_changed',
  'person.password_reset_created': 'berth.person.password_reset_created',
  'project.release_namespace': 'berth.project.namespace_released',
  'registry_credential.shown': 'berth.registry_credential.shown',
  'session.sign_in': 'berth.session.signed_in',
  'session.sign_in_failed': 'berth.session.sign_in_failed',
  'tag.undelete': 'berth.tag.restored',
  'vault.begin_rekey': 'berth.vault.rekey_begun',
  'vault.change_root_key': 'berth.vault.root_key_changed',
  'vault.end_rekey': 'berth.vault.rekey_ended',
  'webhook.rotate_secret': 'berth.webhook.secret_rotated',
}

/** Too fine for anybody outside: parts of a push, and what is kept of other registries' content. */
const INTERNAL: readonly string[] = [
  'blob.',
  'manifest.cache',
  'manifest.evict',
  'tag.cache',
  'tag.evict',
  'repository.evict',
]

/**
 * The public type of an audit event, `berth.<noun>.<what happened>`; null: it is not for webhooks. A push that moves
 * tags is `berth.tag.pushed`, one by digest alone `berth.manifest.pushed`.
 */
export function eventTypeOf(action: string, detail: Readonly<Record<string, unknown>>): string | null {
  if (INTERNAL.some((prefix) => action.startsWith(prefix))) return null
  if (action === 'manifest.push') {
    return Array.isArray(detail['tags']) && detail['tags'].length > 0
      ? 'berth.tag.pushed'
      : 'berth.manifest.pushed'
  }
  const named = NAMED[action]
  if (named !== undefined) return named
  const dot = action.indexOf('.')
  return dot === -1 ? null : `berth.${action.slice(0, dot)}.${pastOf(action.slice(dot + 1))}`
}

/** `create` → `created`, `push` → `pushed`: of regular verbs. */
function pastOf(verb: string): string {
  return verb.endsWith('e') ? `${verb}d` : `${verb}ed`
}

/** Whether a webhook's patterns name a type: each is a type, or its beginning with `*`. */
export function wantsEvent(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern,
  )
}

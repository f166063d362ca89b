/** Types whose names do not follow from the action alone. */
const NAMED: Readonly<Record<string, string>> = {
  'manifest.undelete': 'berth.manifest.restored',
  'tag.undelete': 'berth.tag.restored',
  'access.deny': 'berth.access.denied',
  'member.leave': 'berth.member.left',
  'api_key.end_overlap': 'berth.api_key.overlap_ended',
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

/** `create` → `created`, `push` → `pushed`; what is past already stays. */
function pastOf(verb: string): string {
  if (verb.endsWith('ed') || verb.endsWith('n')) return verb
  return verb.endsWith('e') ? `${verb}d` : `${verb}ed`
}

/** Whether a webhook's patterns name a type: each is a type, or its beginning with `*`. */
export function wantsEvent(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern,
  )
}

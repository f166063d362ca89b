import { MAX_SCOPE_BYTES, MAX_SCOPES } from './limits.ts'

/**
 * What a token gives access to (Docker token specification, "Token scope"). `actions` holds them as asked, `*`
 * included: what `*` stands for is decided by authorization, not here.
 */
export interface Scope {
  /** `repository`, `registry`, … without the class. */
  readonly type: string
  /** `plugin` in `repository(plugin):…`, else null. */
  readonly resourceClass: string | null
  /** May hold colons, as in `host:5000/web`. */
  readonly name: string
  readonly actions: ReadonlySet<string>
}

export type ParsedScopes =
  | { readonly ok: true; readonly scopes: readonly Scope[] }
  | { readonly ok: false; readonly reason: 'too_many' | 'too_long' }

const RESOURCE_TYPE = /^([a-z0-9]+)(?:\(([a-z0-9]+)\))?$/
const ACTION = /^(?:\*|[a-z]+)$/
// A character that no name in a scope can hold, to build a map key of type, class and name.
const KEY_SEPARATOR = ' '

/**
 * Parses the values of all `scope` parameters of a token request. Each may hold several scopes separated by
 * spaces. Scopes of the same resource become one with the union of the actions, in the order of first mention.
 * A malformed scope or action is left out: a token request is narrowed, never refused, because of a scope. More
 * than 20 resources, or more than 8 KiB in all, is `ok: false`.
 */
export function parseScopes(values: readonly string[]): ParsedScopes {
  let totalBytes = 0
  for (const value of values) totalBytes += Buffer.byteLength(value)
  if (totalBytes > MAX_SCOPE_BYTES) return { ok: false, reason: 'too_long' }
  const scopes = mergeScopes(
    values.flatMap((value) => value.split(' ')).flatMap((text) => parseScope(text) ?? []),
  )
  return scopes.length > MAX_SCOPES ? { ok: false, reason: 'too_many' } : { ok: true, scopes }
}

/** Parses one scope, or null when it is malformed. The name is what lies between the first and the last colon. */
export function parseScope(text: string): Scope | null {
  const first = text.indexOf(':')
  const last = text.lastIndexOf(':')
  if (first === last) return null
  const type = RESOURCE_TYPE.exec(text.slice(0, first))
  const name = text.slice(first + 1, last)
  if (type?.[1] === undefined || name === '' || name.includes(' ')) return null
  const actions = new Set(
    text
      .slice(last + 1)
      .split(',')
      .filter((action) => ACTION.test(action)),
  )
  return { type: type[1], resourceClass: type[2] ?? null, name, actions }
}

/** Writes a scope as `parseScope` reads it, with the actions in their order. */
export function formatScope(scope: Scope): string {
  const resourceClass = scope.resourceClass === null ? '' : `(${scope.resourceClass})`
  return `${scope.type}${resourceClass}:${scope.name}:${[...scope.actions].join(',')}`
}

/** One scope per resource, with the union of the actions, in the order of first mention. */
export function mergeScopes(scopes: readonly Scope[]): Scope[] {
  const merged = new Map<string, Scope>()
  for (const scope of scopes) {
    const key = [scope.type, scope.resourceClass ?? '', scope.name].join(KEY_SEPARATOR)
    const actions = new Set([...(merged.get(key)?.actions ?? []), ...scope.actions])
    merged.set(key, { ...scope, actions })
  }
  return [...merged.values()]
}

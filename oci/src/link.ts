import { MAX_LAST_LENGTH } from './limits.ts'

/** A page asked for: at most `limit` entries that sort after `last`. */
export interface Page {
  /** Zero asks for an empty list without a next page (distribution spec, "Listing Tags"). */
  readonly limit: number
  readonly last: string | null
}

export type ParsedPage =
  | { readonly ok: true; readonly page: Page }
  | { readonly ok: false; readonly parameter: 'n' | 'last'; readonly message: string }

// What RFC 3986 allows in a path with a query. Everything else is percent-encoded, so that nothing in the target
// can end the angle brackets or the header line.
const UNSAFE_IN_TARGET = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]/gu
const DIGITS = /^[0-9]{1,15}$/
const CONTROL_CHARACTER = /\p{Cc}/u

/** Link header (RFC 8288) to the next page. The path starts with a slash: relative to the request's own origin. */
export function nextLink(pathWithQuery: string): string {
  const target = pathWithQuery.toWellFormed().replace(UNSAFE_IN_TARGET, (char) => encodeURIComponent(char))
  return `<${target}>; rel="next"`
}

/**
 * Reads `n` and `last`. Without `n` the limit is `defaultLimit`; a larger `n` than `maxLimit` is cut to it, and
 * the Link header then leads on. Anything but one plain non-negative integer is an error, and so is a `last`
 * that no name could have: too long, or with control characters.
 */
export function parsePage(query: URLSearchParams, defaultLimit: number, maxLimit: number): ParsedPage {
  const limits = query.getAll('n')
  const [text] = limits
  if (limits.length > 1 || (text !== undefined && !DIGITS.test(text))) {
    return { ok: false, parameter: 'n', message: 'n must be one non-negative integer' }
  }
  const lasts = query.getAll('last')
  const last = lasts[0] ?? ''
  if (lasts.length > 1 || last.length > MAX_LAST_LENGTH || CONTROL_CHARACTER.test(last)) {
    return { ok: false, parameter: 'last', message: 'last must be one name or tag' }
  }
  const limit = Math.min(text === undefined ? defaultLimit : Number(text), maxLimit)
  return { ok: true, page: { limit, last: last === '' ? null : last } }
}

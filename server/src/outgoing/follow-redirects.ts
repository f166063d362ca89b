import { MAX_REDIRECTS } from './limits.ts'
import type { Outgoing, OutgoingRequest, OutgoingResponse } from './outgoing.ts'
import { OutgoingError, quoted } from './outgoing-error.ts'

export interface FollowedResponse extends OutgoingResponse {
  /** Where the answer came from. */
  readonly url: URL
  /** Whether that is another scheme, host or port than was asked. */
  readonly isElsewhere: boolean
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])
// What another origin may see. Everything else stays, since any header could be a credential.
const HARMLESS_HEADERS = new Set(['accept', 'range', 'if-none-match'])

/**
 * Like `request` for a GET or HEAD, but goes where redirects lead: each step is checked like a first call, never leads
 * from https to http, and another origin gets none of the headers that could be a credential. Throws `OutgoingError`.
 */
export async function requestFollowing(
  outgoing: Outgoing,
  start: string | URL,
  request: OutgoingRequest & { readonly method?: 'GET' | 'HEAD'; readonly body?: never },
): Promise<FollowedResponse> {
  const endsAt = performance.now() + request.timeoutMs
  const origin = new URL(start).origin
  let url = new URL(start)
  let headers = request.headers ?? {}
  let isElsewhere = false
  for (let hop = 0; ; hop += 1) {
    const timeoutMs = Math.max(1, endsAt - performance.now())
    const response = await outgoing.request(url, { ...request, headers, timeoutMs })
    const { location } = response.headers
    if (!REDIRECTS.has(response.status) || location === undefined) return { ...response, url, isElsewhere }
    response.body.destroy()
    if (hop === MAX_REDIRECTS) throw redirectError(url, `sends from one place to the next without end`)
    url = nextUrl(url, location)
    if (url.origin !== origin) {
      // Once gone, they do not come back, wherever the next step leads.
      headers = onlyHarmless(headers)
      isElsewhere = true
    }
  }
}

function nextUrl(from: URL, location: string): URL {
  const next = URL.canParse(location, from.href) ? new URL(location, from) : null
  if (next === null) throw redirectError(from, 'sends to something that is not a URL')
  if (from.protocol === 'https:' && next.protocol !== 'https:') {
    throw redirectError(from, `sends to ${quoted(next.host)} without TLS`)
  }
  next.hash = ''
  return next
}

function onlyHarmless(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => HARMLESS_HEADERS.has(name.toLowerCase())),
  )
}

function redirectError(url: URL, what: string): OutgoingError {
  return new OutgoingError('redirect', url.host, `${url.host} ${what}`)
}

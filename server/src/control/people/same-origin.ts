import type { IncomingHttpHeaders } from 'node:http'

/**
 * Whether a request that changes something comes from a page of this console, and not from another site that a person
 * with a session looks at. Browsers say so in `Sec-Fetch-Site`, which no page can set; older ones in `Origin`, which then
 * must be the console's own or that of the host that was asked. A client that sends neither is no browser, so that
 * nobody can have tricked it: but it also has no cookie that it did not mean to send.
 */
export function isSameOrigin(headers: IncomingHttpHeaders, consoleUrl: string): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  const { origin, host } = headers
  if (origin === undefined) return true
  if (origin === new URL(consoleUrl).origin) return true
  return host !== undefined && URL.parse(origin)?.host === host
}

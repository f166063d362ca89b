import { MAX_COOKIE_LENGTH } from './limits.ts'

/**
 * How cookies are named. Behind TLS with the `__Host-` prefix: the browser then takes them only from this host, over TLS,
 * for all paths (RFC 6265bis section 4.1.3.2).
 */
export function cookiePrefix(consoleUrl: string): string {
  return isSecure(consoleUrl) ? '__Host-berth' : 'berth'
}

/** Whether people reach the console over TLS. */
export function isSecure(consoleUrl: string): boolean {
  return consoleUrl.startsWith('https:')
}

/** The name of the cookie that holds a browser's session, as the sign-in library makes it. */
export function sessionCookieName(consoleUrl: string): string {
  return `${cookiePrefix(consoleUrl)}.session_token`
}

/** The value of one cookie of a Cookie header, or null. Of two with the same name the first counts. */
export function readCookie(header: string | undefined, name: string): string | null {
  if (header === undefined || header.length > MAX_COOKIE_LENGTH) return null
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=')
    if (at !== -1 && pair.slice(0, at).trim() === name) return decode(pair.slice(at + 1).trim())
  }
  return null
}

function decode(value: string): string | null {
  try {
    return decodeURIComponent(value)
  } catch {
    return null
  }
}

/** The session's token in the cookie: what stands before the signature, which the look-up makes unnecessary. */
export function sessionTokenOf(header: string | undefined, consoleUrl: string): string | null {
  const value = readCookie(header, sessionCookieName(consoleUrl))
  if (value === null) return null
  const at = value.lastIndexOf('.')
  return at === -1 ? null : value.slice(0, at)
}

/** A Set-Cookie header for a cookie that scripts cannot read. `maxAgeSeconds` 0 removes it. */
export function setCookie(consoleUrl: string, name: string, value: string, maxAgeSeconds: number): string {
  const secure = isSecure(consoleUrl) ? '; Secure' : ''
  return `${name}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${secure}`
}

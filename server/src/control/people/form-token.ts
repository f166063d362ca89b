import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { ControlRuntime } from '../runtime.ts'
import { cookiePrefix, readCookie, sessionTokenOf, setCookie } from './cookies.ts'

/*
 * Forms carry a token that only a page of this console can know: an HMAC over a random cookie of this browser and the
 * session that it is signed in with. With `SameSite=Lax` and the check of where a request comes from it is the third lock.
 */

const COOKIE_BYTES = 16
const COOKIE_PATTERN = /^[A-Za-z0-9_-]{22}$/
/** How long a form may stay open, in seconds. */
const COOKIE_SECONDS = 12 * 3600

/** A token for the forms of a page, and the cookie that goes with it. */
export interface FormToken {
  readonly token: string
  /** A Set-Cookie header; null: the browser has the cookie. */
  readonly setCookie: string | null
}

/** Makes the token of a page that is shown now. */
export function makeFormToken(runtime: ControlRuntime, cookieHeader: string | undefined): FormToken {
  const known = formCookie(runtime, cookieHeader)
  const value = known ?? randomBytes(COOKIE_BYTES).toString('base64url')
  const name = formCookieName(runtime)
  return {
    token: tokenOver(runtime, value, cookieHeader),
    setCookie: known === null ? setCookie(runtime.consoleUrl, name, value, COOKIE_SECONDS) : null,
  }
}

/** Whether a form that was sent carries the token of a page that this browser was shown. */
export function isFormToken(
  runtime: ControlRuntime,
  cookieHeader: string | undefined,
  token: string,
): boolean {
  const value = formCookie(runtime, cookieHeader)
  if (value === null) return false
  const expected = Buffer.from(tokenOver(runtime, value, cookieHeader))
  const given = Buffer.from(token)
  return given.byteLength === expected.byteLength && timingSafeEqual(given, expected)
}

function formCookieName({ consoleUrl }: ControlRuntime): string {
  return `${cookiePrefix(consoleUrl)}.form`
}

function formCookie(runtime: ControlRuntime, header: string | undefined): string | null {
  const value = readCookie(header, formCookieName(runtime))
  return value !== null && COOKIE_PATTERN.test(value) ? value : null
}

function tokenOver(runtime: ControlRuntime, value: string, cookieHeader: string | undefined): string {
  const session = sessionTokenOf(cookieHeader, runtime.consoleUrl) ?? ''
  return createHmac('sha256', runtime.people.cookieSecret)
    .update(`form\n${value}\n${session}`)
    .digest('base64url')
}

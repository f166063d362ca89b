import { MAX_AUTHORIZATION_BYTES } from './limits.ts'

/** What an `Authorization` header shows, or what is wrong with it in words that may be sent to the client. */
export type ShownCredential =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'malformed'; readonly message: string }

const CREDENTIALS = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+) +([\x21-\x7e]+)$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const TOKEN68 = /^[A-Za-z0-9._~+/-]+=*$/

/** Takes the header apart (RFC 7617, RFC 6750). Sizes are looked at before anything else. */
export function parseAuthorization(header: string | undefined): ShownCredential {
  if (header === undefined) return { kind: 'none' }
  if (header.length > MAX_AUTHORIZATION_BYTES) return malformed('The Authorization header is too long.')
  const match = CREDENTIALS.exec(header)
  if (match?.[1] === undefined || match[2] === undefined) {
    return malformed('The Authorization header must be a scheme and a credential.')
  }
  const scheme = match[1].toLowerCase()
  if (scheme === 'basic') return parseBasic(match[2])
  if (scheme !== 'bearer') return malformed('Use the Basic or the Bearer scheme.')
  return TOKEN68.test(match[2])
    ? { kind: 'bearer', token: match[2] }
    : malformed('The Bearer token has characters that no token has.')
}

function parseBasic(encoded: string): ShownCredential {
  const decoded = BASE64.test(encoded) ? Buffer.from(encoded, 'base64') : null
  // Bits after the last byte must be zero: one credential has one spelling.
  if (decoded === null || decoded.toString('base64') !== encoded) {
    return malformed('The Basic credential is not valid base64.')
  }
  const text = decoded.toString('utf8')
  const colon = text.indexOf(':')
  if (colon === -1) return malformed('The Basic credential must be "user:password".')
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) }
}

function malformed(message: string): ShownCredential {
  return { kind: 'malformed', message }
}

import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'

/** Checks secrets of the installation that are stored as HMACs: the operator's token and the setup token. */
export interface OperatorAuth {
  /** Whether this is the operator's token. Takes the same time whatever the token is. */
  isOperatorToken(token: string): boolean
  hmac(token: string): Uint8Array
}

/** HMAC-SHA-256 of a token. The key comes from the root key, so that the database alone tells nothing. */
export function hashToken(key: KeyObject, token: string): Uint8Array {
  return createHmac('sha256', key).update(token).digest()
}

/** Whether two HMACs are equal, in constant time. */
export function sameHmac(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}

/** `expected`: `hashToken(key, token)` of the operator's token, as the installation keeps it. */
export function createOperatorAuth(key: KeyObject, expected: Uint8Array): OperatorAuth {
  return {
    isOperatorToken: (token) => sameHmac(hashToken(key, token), expected),
    hmac: (token) => hashToken(key, token),
  }
}

/** The token of an `Authorization: Bearer` header (RFC 6750 section 2.1), or null. */
export function bearerToken(authorization: string | undefined): string | null {
  return /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization ?? '')?.[1] ?? null
}

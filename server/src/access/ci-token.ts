import { hash } from 'node:crypto'
import { parseStrictJson } from '@berth/oci/strict-json'
import { errors, jwtVerify } from 'jose'
import type { IssuerKeys } from './issuer-keys.ts'
import {
  CI_TOKEN_CLOCK_SKEW_SECONDS,
  MAX_CI_ISSUER_LENGTH,
  MAX_CI_TOKEN_AGE_SECONDS,
  MAX_JTI_LENGTH,
  MAX_TOKEN_BYTES,
} from './limits.ts'

/** What a token claims before anything of it is verified: enough to know whose keys to look at. */
export interface UnverifiedCiToken {
  readonly text: string
  readonly issuer: string
  readonly claims: Readonly<Record<string, unknown>>
}

/** A token that its issuer has signed and that is in its time. Whether anybody trusts it is for the rules to say. */
export interface CiToken {
  /** Names the token whatever spelling of its signature was shown: by issuer and `jti`, else by all that is signed. */
  readonly id: string
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly claims: Readonly<Record<string, unknown>>
  /** When it ends here, in milliseconds: its own expiry, or its greatest age. */
  readonly expiresAtMs: number
}

/** `forged` says nothing about why; the others come after the signature, so the issuer's own users may know. */
export type CiTokenVerdict =
  | { readonly ok: true; readonly token: CiToken }
  | { readonly ok: false; readonly reason: 'forged' }
  | { readonly ok: false; readonly reason: 'expired' | 'invalid'; readonly message: string }

/** Asymmetric ones alone: with anything else whoever knows the public key could sign. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]
const SEGMENTS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
const BEGINNING_OF_JSON = 'eyJ'

/** Whether a password looks like a JWT rather than a key: nothing else is decided by this. */
export function looksLikeJwt(text: string): boolean {
  return text.startsWith(BEGINNING_OF_JSON) && SEGMENTS.test(text)
}

/** The `typ` in a JWT's header, unverified; null when there is none. */
export function jwtType(text: string): string | null {
  const type = readSegment(text, 0)?.['typ']
  return typeof type === 'string' ? type : null
}

/**
 * Takes a token apart. Null: not a JWT that a CI service makes. Header and payload must be JSON that every reader
 * understands alike, so that no claim comes twice; the type must be plain `JWT` or absent, so that access tokens and
 * log-out tokens of the same issuer are not taken for statements about a job.
 */
export function readCiToken(text: string): UnverifiedCiToken | null {
  if (Buffer.byteLength(text) > MAX_TOKEN_BYTES || !SEGMENTS.test(text)) return null
  const header = readSegment(text, 0)
  const payload = readSegment(text, 1)
  if (header === null || payload === null) return null
  const { alg, typ, crit } = header
  if (typeof alg !== 'string' || !ALGORITHMS.includes(alg) || crit !== undefined) return null
  if (typ !== undefined && (typeof typ !== 'string' || typ.toUpperCase() !== 'JWT')) return null
  const { iss } = payload
  return typeof iss === 'string' && iss !== '' && iss.length <= MAX_CI_ISSUER_LENGTH
    ? { text, issuer: iss, claims: payload }
    : null
}

/** Verifies signature and times. Throws `IssuerUnavailableError` when the issuer's keys cannot be had. */
export async function verifyCiToken(
  { text, issuer }: Pick<UnverifiedCiToken, 'text' | 'issuer'>,
  keys: IssuerKeys,
  nowMs: number,
): Promise<CiTokenVerdict> {
  let keySet = await keys.load(issuer)
  let verdict = await verifyWith(text, issuer, keySet.getKey, nowMs)
  if (verdict === 'unknown_key') {
    const newer = await keys.refresh(issuer, keySet)
    if (newer === keySet) return { ok: false, reason: 'forged' }
    keySet = newer
    verdict = await verifyWith(text, issuer, keySet.getKey, nowMs)
  }
  return verdict === 'unknown_key' ? { ok: false, reason: 'forged' } : verdict
}

async function verifyWith(
  text: string,
  issuer: string,
  getKey: Parameters<typeof jwtVerify>[1],
  nowMs: number,
): Promise<CiTokenVerdict | 'unknown_key'> {
  try {
    await jwtVerify(text, getKey as Parameters<typeof jwtVerify>[1] & ((...args: never) => never), {
      algorithms: ALGORITHMS,
      issuer,
      requiredClaims: ['iat', 'exp', 'aud'],
      clockTolerance: CI_TOKEN_CLOCK_SKEW_SECONDS,
      currentDate: new Date(nowMs),
    })
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return 'unknown_key'
    if (error instanceof errors.JWTExpired) {
      return {
        ok: false,
        reason: 'expired',
        message: 'The CI token has expired. Sign in later in the job, just before it is needed.',
      }
    }
    if (error instanceof errors.JWTClaimValidationFailed) {
      return {
        ok: false,
        reason: 'invalid',
        message: `The CI token's claim "${error.claim}" is missing or not valid now.`,
      }
    }
    // What else can be wrong is the token's form, its signature, or a key that its issuer should not show.
    if (error instanceof errors.JOSEError || error instanceof TypeError || isCryptoError(error)) {
      return { ok: false, reason: 'forged' }
    }
    throw error
  }
  return judgeClaims(text, issuer, nowMs)
}

/** After the signature: what jose does not look at. */
function judgeClaims(text: string, issuer: string, nowMs: number): CiTokenVerdict {
  const claims = readSegment(text, 1)
  if (claims === null) return { ok: false, reason: 'forged' }
  const { iat, exp, aud, jti } = claims
  const audiences = typeof aud === 'string' ? [aud] : aud
  if (typeof iat !== 'number' || typeof exp !== 'number' || !isStrings(audiences)) {
    return { ok: false, reason: 'invalid', message: "The CI token's claims iat, exp or aud are malformed." }
  }
  const nowSeconds = nowMs / 1000
  if (iat > nowSeconds + CI_TOKEN_CLOCK_SKEW_SECONDS) {
    return { ok: false, reason: 'invalid', message: 'The CI token says that it was issued in the future.' }
  }
  const oldestIat = nowSeconds - MAX_CI_TOKEN_AGE_SECONDS - CI_TOKEN_CLOCK_SKEW_SECONDS
  if (iat < oldestIat) {
    const hours = MAX_CI_TOKEN_AGE_SECONDS / 3600
    return {
      ok: false,
      reason: 'expired',
      message: `The CI token is older than ${hours} hours, whatever its own expiry.`,
    }
  }
  const isNamed = typeof jti === 'string' && jti !== '' && jti.length <= MAX_JTI_LENGTH
  const name = isNamed ? JSON.stringify([issuer, jti]) : text.slice(0, text.lastIndexOf('.'))
  return {
    ok: true,
    token: {
      id: hash('sha256', `${isNamed ? 'jti' : 'signed'} ${name}`, 'base64url'),
      issuer,
      audiences,
      claims,
      expiresAtMs: Math.min(exp, iat + MAX_CI_TOKEN_AGE_SECONDS) * 1000,
    },
  }
}

function readSegment(text: string, index: 0 | 1): Record<string, unknown> | null {
  const encoded = text.split('.', 2)[index] ?? ''
  const bytes = Buffer.from(encoded, 'base64url')
  // One token has one spelling.
  if (bytes.toString('base64url') !== encoded) return null
  const parsed = parseStrictJson(bytes)
  if (
    !parsed.ok ||
    typeof parsed.value !== 'object' ||
    parsed.value === null ||
    Array.isArray(parsed.value)
  ) {
    return null
  }
  return parsed.value as Record<string, unknown>
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

/** Web Crypto refuses keys of an issuer with a DOMException, OpenSSL with an error that has a code. */
function isCryptoError(error: unknown): boolean {
  return error instanceof DOMException || (error instanceof Error && 'opensslErrorStack' in error)
}

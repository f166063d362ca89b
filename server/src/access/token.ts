import { createSecretKey, hash, hkdfSync, randomUUID, type KeyObject } from 'node:crypto'
import { errors, jwtVerify, SignJWT, type JWTPayload } from 'jose'
import { LRUCache } from 'lru-cache'
import {
  DEFAULT_TOKEN_LIFETIME_SECONDS,
  EXPIRED_TOKEN_UPLOAD_GRACE_SECONDS,
  MAX_TOKEN_BYTES,
  MAX_VERIFIED_TOKENS,
  MAX_VERIFIED_TOKENS_BYTES,
  REFRESH_TOKEN_LIFETIME_SECONDS,
  TOKEN_CLOCK_SKEW_SECONDS,
} from './limits.ts'
import type { TokenAccess } from './principal.ts'

/** Access tokens are shown to `/v2/`, refresh tokens only to the token endpoint. One is never taken for the other. */
export type TokenType = 'access' | 'refresh'

/** Whose token it is: a version of a key's secret. */
export interface TokenSubject {
  readonly keyId: string
  readonly projectId: string
  readonly secretVersion: number
  /** The CI job that the key's (a trust rule's) token was made for; null for other keys. */
  readonly run: string | null
}

export interface VerifiedToken {
  /** Null: an anonymous access token. */
  readonly subject: TokenSubject | null
  /** Empty in a refresh token. Null: all that the key allows, which only CI jobs get. */
  readonly access: readonly TokenAccess[] | null
  /** Seconds since the epoch. */
  readonly expiresAtSeconds: number
}

/** `grace`: expired, but a running upload of the same key may go on with it. */
export type TokenVerdict =
  | { readonly status: 'valid' | 'grace'; readonly token: VerifiedToken }
  | { readonly status: 'expired' }
  | { readonly status: 'invalid' }

/** The tokens of one region. Nothing in here asks whether the key is still good: that is looked up at each use. */
export interface TokenAuthority {
  /**
   * `notAfterMs`: the token never outlives this, such as its key's expiry. `access` null: all that the key allows; such
   * a token stands for a CI token that was exchanged, and lives until `notAfterMs` however long that is.
   */
  issueAccess(
    subject: TokenSubject | null,
    access: readonly TokenAccess[] | null,
    notAfterMs?: number | null,
  ): Promise<{ readonly token: string; readonly expiresInSeconds: number }>
  issueRefresh(subject: TokenSubject, notAfterMs?: number | null): Promise<string>
  verify(type: TokenType, token: string): Promise<TokenVerdict>
}

export interface TokenAuthorityOptions {
  readonly regionId: string
  /** Issuer and audience. */
  readonly regionHost: string
  /** 32 random bytes from outside the database, the same in every replica. */
  readonly rootSecret: Uint8Array
  readonly nowMs: () => number
  readonly lifetimeSeconds?: number
}

const ALGORITHM = 'HS256'
/** The `access` claim of a token that allows all that its key allows. */
const ALL_ACCESS = '*'
const ROOT_SECRET_BYTES = 32
/** `typ` of our own tokens, by which they are told from those of others. */
export const HEADER_TYPES: Readonly<Record<TokenType, string>> = {
  access: 'berth-access+jwt',
  refresh: 'berth-refresh+jwt',
}
// Beside the token's own text: the parsed claims, roughly.
const CACHE_ENTRY_OVERHEAD_BYTES = 512

/**
 * Issues and verifies the tokens of one region: HS256, under keys that HKDF derives from the root secret for this
 * region and each type of token, so a token of another region or of the other type has no valid signature.
 */
export function createTokenAuthority(options: TokenAuthorityOptions): TokenAuthority {
  const { regionHost, nowMs } = options
  const lifetimeSeconds = options.lifetimeSeconds ?? DEFAULT_TOKEN_LIFETIME_SECONDS
  const keys: Record<TokenType, KeyObject> = {
    access: deriveKey(options.rootSecret, options.regionId, 'access'),
    refresh: deriveKey(options.rootSecret, options.regionId, 'refresh'),
  }
  const verified = new LRUCache<string, { readonly type: TokenType; readonly token: VerifiedToken }>({
    max: MAX_VERIFIED_TOKENS,
    maxSize: MAX_VERIFIED_TOKENS_BYTES,
  })

  async function issue(
    type: TokenType,
    claims: JWTPayload,
    wantedSeconds: number,
    notAfterMs: number | null,
  ): Promise<{ token: string; expiresInSeconds: number }> {
    const nowSeconds = Math.floor(nowMs() / 1000)
    const leftSeconds = notAfterMs === null ? wantedSeconds : Math.floor(notAfterMs / 1000) - nowSeconds
    const expiresInSeconds = Math.max(1, Math.min(wantedSeconds, leftSeconds))
    if (!Number.isFinite(expiresInSeconds)) throw new RangeError('a token must end')
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: ALGORITHM, typ: HEADER_TYPES[type] })
      .setIssuer(regionHost)
      .setAudience(regionHost)
      .setIssuedAt(nowSeconds)
      .setNotBefore(nowSeconds)
      .setExpirationTime(nowSeconds + expiresInSeconds)
      .setJti(randomUUID())
      .sign(keys[type])
    return { token, expiresInSeconds }
  }

  async function verify(type: TokenType, text: string): Promise<TokenVerdict> {
    if (Buffer.byteLength(text) > MAX_TOKEN_BYTES) return { status: 'invalid' }
    const cacheKey = hash('sha256', text, 'base64url')
    const known = verified.get(cacheKey)
    if (known !== undefined && known.type === type) {
      const verdict = judgeExpiry(known.token, nowMs())
      if (verdict.status !== 'valid') verified.delete(cacheKey)
      return verdict
    }
    const payload = await verifySignature(text, keys[type], type, regionHost, nowMs())
    const token = payload === null ? null : readClaims(payload, type)
    if (token === null) return { status: 'invalid' }
    const verdict = judgeExpiry(token, nowMs())
    if (verdict.status === 'valid') {
      verified.set(cacheKey, { type, token }, { size: text.length + CACHE_ENTRY_OVERHEAD_BYTES })
    }
    return verdict
  }

  return {
    issueAccess: (subject, access, notAfterMs = null) =>
      access === null
        ? issue('access', { ...subjectClaims(subject), access: ALL_ACCESS }, Infinity, notAfterMs)
        : issue('access', { ...subjectClaims(subject), access }, lifetimeSeconds, notAfterMs),
    async issueRefresh(subject, notAfterMs = null) {
      const claims = subjectClaims(subject)
      return (await issue('refresh', claims, REFRESH_TOKEN_LIFETIME_SECONDS, notAfterMs)).token
    },
    verify,
  }
}

function deriveKey(rootSecret: Uint8Array, regionId: string, type: TokenType): KeyObject {
  if (rootSecret.byteLength !== ROOT_SECRET_BYTES) {
    throw new RangeError(`the root secret for tokens must be ${ROOT_SECRET_BYTES} bytes long`)
  }
  const info = `token/${regionId}/${type}`
  return createSecretKey(Buffer.from(hkdfSync('sha256', rootSecret, new Uint8Array(0), info, 32)))
}

function subjectClaims(subject: TokenSubject | null): JWTPayload {
  if (subject === null) return {}
  const run = subject.run === null ? {} : { run: subject.run }
  return { sub: subject.keyId, prj: subject.projectId, ver: subject.secretVersion, ...run }
}

/** The payload when everything but the expiry is as it must be, else null. */
async function verifySignature(
  text: string,
  key: KeyObject,
  type: TokenType,
  regionHost: string,
  nowMs: number,
): Promise<JWTPayload | null> {
  try {
    const { payload } = await jwtVerify(text, key, {
      algorithms: [ALGORITHM],
      typ: HEADER_TYPES[type],
      issuer: regionHost,
      audience: regionHost,
      requiredClaims: ['iat', 'nbf', 'exp', 'jti'],
      clockTolerance: TOKEN_CLOCK_SKEW_SECONDS,
      currentDate: new Date(nowMs),
    })
    return payload
  } catch (error) {
    // The expiry is looked at last, after signature, type, issuer, audience and nbf.
    if (error instanceof errors.JWTExpired) return error.payload
    if (error instanceof errors.JOSEError) return null
    throw error
  }
}

function judgeExpiry(token: VerifiedToken, nowMs: number): TokenVerdict {
  const expiredForSeconds = nowMs / 1000 - TOKEN_CLOCK_SKEW_SECONDS - token.expiresAtSeconds
  if (expiredForSeconds <= 0) return { status: 'valid', token }
  if (expiredForSeconds <= EXPIRED_TOKEN_UPLOAD_GRACE_SECONDS) return { status: 'grace', token }
  return { status: 'expired' }
}

/** Our signature is on it, so a shape that is not ours is a token of another version: not valid here. */
function readClaims(payload: JWTPayload, type: TokenType): VerifiedToken | null {
  const { sub, exp } = payload
  const { prj, ver, access, run = null } = payload as Record<string, unknown>
  if (typeof exp !== 'number') return null
  let subject: TokenSubject | null = null
  if (sub !== undefined) {
    if (typeof prj !== 'string' || typeof ver !== 'number' || !Number.isSafeInteger(ver)) return null
    if (run !== null && typeof run !== 'string') return null
    subject = { keyId: sub, projectId: prj, secretVersion: ver, run }
  }
  if (type === 'refresh') return subject === null ? null : { subject, access: [], expiresAtSeconds: exp }
  if (access === ALL_ACCESS) {
    return subject === null || subject.run === null ? null : { subject, access: null, expiresAtSeconds: exp }
  }
  if (!Array.isArray(access) || !access.every(isTokenAccess)) return null
  return { subject, access, expiresAtSeconds: exp }
}

function isTokenAccess(value: unknown): value is TokenAccess {
  if (typeof value !== 'object' || value === null) return false
  const { type, name, actions } = value as Record<string, unknown>
  if (typeof type !== 'string' || typeof name !== 'string' || !Array.isArray(actions)) return false
  return actions.every((action) => typeof action === 'string')
}

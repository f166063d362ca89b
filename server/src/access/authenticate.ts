import { hash, type KeyObject } from 'node:crypto'
import type { Logger } from 'pino'
import { DatabaseUnavailableError } from '../metastore/database.ts'
import { isSecretVersionValid } from '../metastore/queries/access-guard.ts'
import type { CiTokenMode } from '../metastore/queries/ci-token.ts'
import type { AccessDirectory } from './access-directory.ts'
import type { Authentication } from './authentication.ts'
import type { Denial, DenialDetail, DenialRule } from './denial.ts'
import { parseAuthorization } from './authorization-header.ts'
import type { CiSignIn } from './ci-sign-in.ts'
import { jwtType, looksLikeJwt } from './ci-token.ts'
import type { FailureLimit } from './failure-limit.ts'
import { IssuerUnavailableError } from './issuer-keys.ts'
import { hashSecret, parseKey, sameHash } from './key.ts'
import type { LastUsed } from './last-used.ts'
import type { KeyPrincipal, Principal } from './principal.ts'
import type { KeyRecord } from './records.ts'
import { HEADER_TYPES, type TokenAuthority, type TokenType, type VerifiedToken } from './token.ts'

export interface Authenticator {
  fromHeader(authorization: string | undefined, request: SignInRequest): Promise<Authentication>
  fromPassword(username: string, password: string, request: SignInRequest): Promise<Authentication>
  /** A CI token that is exchanged; `namespace` names the project when several have a rule that fits. */
  fromCiToken(token: string, namespace: string | null, request: SignInRequest): Promise<Authentication>
  fromRefreshToken(refreshToken: string, clientAddress: string): Promise<Authentication>
}

/** What a sign-in may depend on besides the credential. */
export interface SignInRequest {
  readonly clientAddress: string
  /** Texts of the scopes that the request is about: a CI token that fits several rules goes by the one meant. */
  readonly wanted?: readonly string[]
  readonly requestId?: string
}

export interface AuthenticatorOptions {
  /** Null: whether a key is for the region is asked where it is used. */
  readonly regionId: string | null
  readonly directory: AccessDirectory
  readonly tokens: TokenAuthority
  readonly ci: CiSignIn
  /** Those that keys may have been hashed with. */
  readonly peppers: readonly KeyObject[]
  readonly failures: FailureLimit
  readonly lastUsed: LastUsed
  readonly nowMs: () => number
  readonly log: Pick<Logger, 'warn'>
}

/** How a credential is refused. `label` names it to the limit of failures; null: a failure that is no guess. */
interface Refusal {
  readonly ok: false
  readonly reason: 'invalid' | 'expired' | 'revoked'
  readonly message: string
  readonly label: string | null
  /** Left out: nothing more is known than the reason. */
  readonly denial?: Denial
}

type Check = { readonly ok: true; readonly principal: Principal } | Refusal

const KEY_USERNAME = 'api'
/** What Docker's credential helpers put for an identity token, that is, a refresh token. */
const TOKEN_USERNAME = '<token>'
const REGISTRY_KEY_KINDS: readonly string[] = ['k', 'm']

const ANONYMOUS: Authentication = { ok: true, principal: { kind: 'anonymous' } }
// One answer for a key that is not there and for a secret that is not right.
const NOT_VALID = 'The API key is not valid.'
const TOKEN_NOT_VALID = 'The token is not valid here. Get a new one from the token endpoint.'
const TOKEN_EXPIRED = 'The token has expired.'
const RULE_ENDED = 'The trust rule of this token was changed, switched off or removed.'
const TOKEN_EXPIRED_DENIAL: Denial = { rule: 'token_expired', detail: {}, projectId: null }
const NO_HASH = new Uint8Array(32)

/** Finds out who is asking. Looks at sizes and shapes first, then at the key's record, and asks the limit last. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  async function answer(check: () => Promise<Check>, clientAddress: string): Promise<Authentication> {
    try {
      const outcome = await check()
      if (outcome.ok) return outcome
      const { label, reason, message } = outcome
      const denial: Denial = outcome.denial ?? {
        rule: `credential_${reason}`,
        detail: { message },
        projectId: null,
      }
      const retryAfterSeconds = label === null ? null : await options.failures.count(label, clientAddress)
      if (retryAfterSeconds === null) return { ok: false, reason, message, denial }
      const detail = { ...denial.detail, failure: denial.rule, retryAfterSeconds }
      return {
        ok: false,
        reason: 'rate_limited',
        retryAfterSeconds,
        denial: { ...denial, rule: 'too_many_failures', detail },
      }
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError) && !(error instanceof IssuerUnavailableError))
        throw error
      options.log.warn({ err: error }, 'a credential cannot be checked')
      return { ok: false, reason: 'unavailable' }
    }
  }

  return {
    async fromHeader(authorization, request) {
      const { clientAddress } = request
      const shown = parseAuthorization(authorization)
      if (shown.kind === 'none') return ANONYMOUS
      return answer(async () => {
        if (shown.kind === 'malformed') return guess(shown.message, authorization ?? '')
        if (shown.kind === 'bearer') return checkToken(options, 'access', shown.token, clientAddress)
        return checkPassword(options, shown.username, shown.password, request)
      }, clientAddress)
    },
    fromPassword: (username, password, request) =>
      answer(() => checkPassword(options, username, password, request), request.clientAddress),
    fromCiToken: (token, namespace, request) =>
      answer(() => checkCiToken(options, token, 'exchange', namespace, request), request.clientAddress),
    fromRefreshToken: (refreshToken, clientAddress) =>
      answer(() => checkToken(options, 'refresh', refreshToken, clientAddress), clientAddress),
  }
}

async function checkPassword(
  options: AuthenticatorOptions,
  username: string,
  password: string,
  request: SignInRequest,
): Promise<Check> {
  const { clientAddress } = request
  if (username === TOKEN_USERNAME) return checkToken(options, 'refresh', password, clientAddress)
  if (looksLikeJwt(password)) {
    return jwtType(password) === HEADER_TYPES.access
      ? checkCiSession(options, password, clientAddress)
      : checkCiToken(options, password, 'password', username, request)
  }
  if (username !== KEY_USERNAME) {
    return guess(`The user name must be "${KEY_USERNAME}", with an API key as the password.`, password)
  }
  const shown = parseKey(password)
  if (shown === null) return guess('The password is not an API key, or is cut short.', password)
  if (!REGISTRY_KEY_KINDS.includes(shown.kind))
    return guess('This kind of key is not for registries.', password)
  const record = await options.directory.loadKey(shown.id)
  const secretVersion = matchSecret(options.peppers, record, shown.secret, options.nowMs())
  if (record === null || secretVersion === null || record.kind !== shown.kind) {
    const denial = wrongSecret(options, record, shown)
    return { ok: false, reason: 'invalid', message: NOT_VALID, label: shown.id, denial }
  }
  return admit(
    options,
    record,
    { secretVersion, tokenAccess: null, expiredForUploadsOnly: false, ci: null },
    clientAddress,
  )
}

async function checkToken(
  options: AuthenticatorOptions,
  type: TokenType,
  text: string,
  clientAddress: string,
): Promise<Check> {
  const verdict = await options.tokens.verify(type, text)
  if (verdict.status === 'invalid') return guess(TOKEN_NOT_VALID, text, 'token_invalid')
  if (verdict.status === 'expired') return refuse('expired', TOKEN_EXPIRED, TOKEN_EXPIRED_DENIAL)
  const { subject, access } = verdict.token
  const isExpired = verdict.status === 'grace'
  // Uploads go on with access tokens of keys: nothing else is good for anything after its expiry.
  if (isExpired && (type === 'refresh' || subject === null))
    return refuse('expired', TOKEN_EXPIRED, TOKEN_EXPIRED_DENIAL)
  if (subject === null) return { ok: true, principal: { kind: 'anonymous' } }
  const record = await options.directory.loadKey(subject.keyId)
  const { secretVersion } = subject
  if (record === null || record.projectId !== subject.projectId) return refuse('invalid', TOKEN_NOT_VALID)
  if (!isSecretVersionValid(record, secretVersion, options.nowMs())) {
    const message = record.kind === 'r' ? RULE_ENDED : 'The API key of this token was replaced.'
    return refuse('revoked', message, denialOf(record, 'key_replaced', { shown: 'token' }))
  }
  const tokenAccess = type === 'access' ? access : null
  return admit(
    options,
    record,
    { secretVersion, tokenAccess, expiredForUploadsOnly: isExpired, ci: ciJobOf(verdict.token) },
    clientAddress,
  )
}

/** A CI token of its issuer, as a password (each time anew) or for an exchange (once). */
async function checkCiToken(
  options: AuthenticatorOptions,
  text: string,
  mode: CiTokenMode,
  namespace: string | null,
  request: SignInRequest,
): Promise<Check> {
  const outcome = await options.ci.signIn(text, {
    mode,
    namespace,
    isNamespaceBinding: mode === 'exchange',
    wanted: request.wanted ?? [],
    clientAddress: request.clientAddress,
    requestId: request.requestId ?? '',
  })
  if (outcome.ok) options.lastUsed.note(outcome.principal.keyId, options.nowMs())
  return outcome
}

/** What a CI token was exchanged for, as a password: a token of ours that stands for all that its rule allows. */
async function checkCiSession(
  options: AuthenticatorOptions,
  text: string,
  clientAddress: string,
): Promise<Check> {
  const check = await checkToken(options, 'access', text, clientAddress)
  if (!check.ok || check.principal.kind === 'anonymous')
    return check.ok ? guess(TOKEN_NOT_VALID, text) : check
  const { tokenAccess, expiredForUploadsOnly } = check.principal
  if (expiredForUploadsOnly) return refuse('expired', TOKEN_EXPIRED)
  // A token for some scopes that could be shown for one with others would widen, and live on.
  return tokenAccess === null
    ? check
    : refuse('invalid', 'This token is for one request, not to sign in with.')
}

function ciJobOf({ subject, expiresAtSeconds }: VerifiedToken): KeyPrincipal['ci'] {
  const run = subject?.run ?? null
  return run === null ? null : { run, notAfterMs: expiresAtSeconds * 1000 }
}

/** Who gets here has shown the right secret, so may be told what is wrong with the key. */
async function admit(
  options: AuthenticatorOptions,
  record: KeyRecord,
  shown: Pick<KeyPrincipal, 'secretVersion' | 'tokenAccess' | 'expiredForUploadsOnly' | 'ci'>,
  clientAddress: string,
): Promise<Check> {
  const nowMs = options.nowMs()
  const isRule = record.kind === 'r'
  if (record.revokedAt !== null) {
    const denial = denialOf(record, 'key_revoked', { revokedAt: record.revokedAt })
    return refuse('revoked', isRule ? RULE_ENDED : 'This API key was revoked.', denial)
  }
  if (record.expiresAt !== null && record.expiresAt <= nowMs) {
    const denial = denialOf(record, 'key_expired', { expiresAt: record.expiresAt })
    return refuse('expired', 'This API key has expired.', denial)
  }
  const { regionId } = options
  if (regionId !== null && record.regions.length > 0 && !record.regions.includes(regionId)) {
    const denial = denialOf(record, 'key_region', { region: regionId, regions: record.regions })
    return refuse('invalid', 'This API key is not for this region.', denial)
  }
  if (record.addresses !== null && !record.addresses.contains(clientAddress)) {
    const denial = denialOf(record, 'key_address', { address: clientAddress })
    return refuse('invalid', 'This API key may not be used from this address.', denial)
  }
  const project = await options.directory.loadProject(record.projectId)
  if (project === null || project.isDeleted) {
    return refuse('revoked', 'The project of this key was deleted.', denialOf(record, 'project_deleted'))
  }
  options.lastUsed.note(record.id, nowMs)
  const { id: keyId, projectId, actions, repositories, regions } = record
  const { namespace } = project
  const keyExpiresAt = record.kind === 'k' ? record.expiresAt : null
  return {
    ok: true,
    principal: {
      kind: 'key',
      keyId,
      projectId,
      namespace,
      actions,
      repositories,
      regions,
      keyExpiresAt,
      ...shown,
    },
  }
}

/**
 * The version of the secret that was shown; null when it is none of the key's. Takes as long for an unknown key. All
 * peppers are tried: the secret before a rotation may have been hashed with an older one than the secret now.
 */
function matchSecret(
  peppers: readonly KeyObject[],
  record: KeyRecord | null,
  secret: string,
  nowMs: number,
): number | null {
  const isOverlap = (record?.previousExpiresAt ?? 0) > nowMs
  let version: number | null = null
  for (const pepper of peppers) {
    const shown = hashSecret(pepper, secret)
    const isCurrent = sameHash(shown, record?.secretHmac ?? NO_HASH)
    const isPrevious = sameHash(shown, record?.previousHmac ?? NO_HASH)
    if (record !== null && isCurrent) version = record.secretVersion
    else if (record !== null && isPrevious && isOverlap) version ??= record.secretVersion - 1
  }
  return version
}

function refuse(reason: Refusal['reason'], message: string, denial?: Denial): Refusal {
  return { ok: false, reason, message, label: null, ...(denial === undefined ? {} : { denial }) }
}

/** Something that no key or token of ours is: named by its hash. */
function guess(message: string, shown: string, rule: DenialRule = 'credential_malformed'): Refusal {
  const denial = { rule, detail: { message }, projectId: null }
  return { ok: false, reason: 'invalid', message, label: hash('sha256', shown, 'base64url'), denial }
}

/** Of a key whose secret, or a token of it, was shown. */
function denialOf(record: KeyRecord, rule: DenialRule, detail: DenialDetail = {}): Denial {
  return { rule, detail, projectId: record.projectId, actor: record.id }
}

/** The id of a key was named, but its secret not shown: told to its project, which may be under attack. */
function wrongSecret(
  { peppers }: AuthenticatorOptions,
  record: KeyRecord | null,
  shown: { readonly id: string; readonly secret: string },
): Denial {
  const detail = { keyId: shown.id }
  if (record === null) return { rule: 'key_unknown', detail, projectId: null }
  const previous = record.previousHmac
  const isReplaced =
    previous !== null && peppers.some((pepper) => sameHash(hashSecret(pepper, shown.secret), previous))
  if (!isReplaced) return { rule: 'key_secret_wrong', detail, projectId: record.projectId }
  return denialOf(record, 'key_replaced', { shown: 'secret', overlapEndedAt: record.previousExpiresAt })
}

import { hash } from 'node:crypto'
import { parseScopes, type Scope } from '@berth/oci/scope'
import { LRUCache } from 'lru-cache'
import type { Database } from '../metastore/database.ts'
import { type CiTokenMode, claimCiToken } from '../metastore/queries/ci-token.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { AccessDirectory } from './access-directory.ts'
import { CI_PROVIDERS } from './ci-provider.ts'
import { type CiToken, type CiTokenVerdict, readCiToken, verifyCiToken } from './ci-token.ts'
import { narrowScope, scopeRepository } from './authorize.ts'
import type { Denial } from './denial.ts'
import type { IssuerKeys } from './issuer-keys.ts'
import { mintKeyId } from './key.ts'
import {
  CI_TOKEN_CLOCK_SKEW_SECONDS,
  MAX_EXPLAINED_RULES,
  MAX_QUOTED_CLAIM_LENGTH,
  MAX_STABLE_ID_LENGTH,
  MAX_VERIFIED_CI_TOKENS,
  MAX_VERIFIED_CI_TOKENS_BYTES,
  VERIFIED_CI_TOKEN_TTL_MS,
} from './limits.ts'
import { findMeantProject, type MeantProject, type ProjectHints } from './meant-project.ts'
import type { KeyPrincipal } from './principal.ts'
import type { KeyRecord, ProjectRecord } from './records.ts'
import { judgeToken, plain, quoteClaim, scalarText, type TrustRule } from './trust-rule.ts'

/** What is known of the request that shows a CI token. */
export interface CiRequest extends ProjectHints {
  readonly mode: CiTokenMode
  readonly clientAddress: string
  readonly requestId: string
}

/**
 * `label` names a failure to the limit of failures. Messages say what is wrong only to whoever shows a token that a
 * trusted issuer has signed, and of a rule only when it is about the token's own repository.
 */
export type CiSignInOutcome =
  | { readonly ok: true; readonly principal: KeyPrincipal }
  | {
      readonly ok: false
      readonly reason: 'invalid' | 'expired' | 'revoked'
      readonly message: string
      readonly label: string
      readonly denial?: Denial
    }

/** Signs CI jobs in. Throws `IssuerUnavailableError` and `DatabaseUnavailableError`. */
export interface CiSignIn {
  signIn(text: string, request: CiRequest): Promise<CiSignInOutcome>
}

export interface CiSignInOptions {
  readonly regionId: string
  readonly db: Database<RegionSchema>
  readonly directory: AccessDirectory
  readonly issuerKeys: IssuerKeys
  readonly nowMs: () => number
}

/** A rule that fits, with what it grants. */
interface Candidate {
  readonly rule: TrustRule
  readonly record: KeyRecord
  readonly project: ProjectRecord
}

/** The same for an issuer that nobody trusts as for a signature that is not the issuer's. */
const NOT_VALID = 'The token is not valid here: no trust rule names its issuer, or it is not signed by that.'
const CACHE_ENTRY_OVERHEAD_BYTES = 1_024

/** Verified tokens and those that were taken as passwords are remembered; rules are asked anew each time. */
export function createCiSignIn(options: CiSignInOptions): CiSignIn {
  const { directory, issuerKeys, nowMs } = options
  const verified = new LRUCache<string, CiToken>({
    max: MAX_VERIFIED_CI_TOKENS,
    maxSize: MAX_VERIFIED_CI_TOKENS_BYTES,
    ttl: VERIFIED_CI_TOKEN_TTL_MS,
  })
  const runs = new LRUCache<string, string>({ max: MAX_VERIFIED_CI_TOKENS })

  async function verify(text: string, issuer: string): Promise<CiTokenVerdict> {
    const cacheKey = hash('sha256', text, 'base64url')
    const known = verified.get(cacheKey)
    if (known !== undefined && known.expiresAtMs > nowMs()) return { ok: true, token: known }
    const verdict = await verifyCiToken({ text, issuer }, issuerKeys, nowMs())
    if (verdict.ok) verified.set(cacheKey, verdict.token, { size: text.length + CACHE_ENTRY_OVERHEAD_BYTES })
    return verdict
  }

  async function claim(candidate: Candidate, token: CiToken, request: CiRequest): Promise<CiSignInOutcome> {
    const { rule } = candidate
    const runKey = `${token.id} ${rule.id} ${rule.version}`
    const knownRun = request.mode === 'password' ? runs.get(runKey) : undefined
    if (knownRun !== undefined) return admitted(candidate, knownRun, null)
    const outcome = await options.db.run(claimCiToken, {
      id: token.id,
      mode: request.mode,
      run: mintKeyId().slice(0, RUN_LENGTH),
      expiresAt: token.expiresAtMs + 2 * CI_TOKEN_CLOCK_SKEW_SECONDS * 1000,
      guard: { keyId: rule.id, secretVersion: rule.version },
      projectId: rule.projectId,
      nowMs: nowMs(),
      requestId: request.requestId,
      audit: { target: rule.id, detail: describeJob(rule, token) },
    })
    if (!outcome.ok) return refuse(token, CLAIM_REFUSALS[outcome.reason], rule)
    if (request.mode === 'password') {
      runs.set(runKey, outcome.run)
      return admitted(candidate, outcome.run, null)
    }
    return admitted(candidate, outcome.run, nowMs() + rule.sessionSeconds * 1000)
  }

  return {
    async signIn(text, request) {
      const unverified = readCiToken(text)
      // Nobody's keys are fetched because a token says so: some rule has to name the issuer.
      if (unverified === null || !(await directory.trustRules.isIssuerTrusted(unverified.issuer))) {
        return refuseUnknown(text)
      }
      const verdict = await verify(text, unverified.issuer)
      if (!verdict.ok) {
        if (verdict.reason === 'forged') return refuseUnknown(text)
        return { ok: false, reason: verdict.reason, message: verdict.message, label: hashOf(text) }
      }
      const { token } = verdict
      const meant = await findMeantProject(directory, request)
      if (meant.kind === 'several') return refuse(token, SEVERAL_PROJECTS)
      const rules = rulesOf(meant, await rulesFor(directory, token))
      const fitting = rules.filter((rule) => judgeToken(rule, token).fits)
      if (fitting.length === 0) return refuse(token, ...explain(meant, rules, token))
      const { candidates, refusal } = await admitAll(options, fitting, request)
      if (candidates.length === 0 && refusal !== null) {
        const [message, rule] = refusal
        return refuse(token, message, meant.kind === 'named' ? rule : null)
      }
      const chosen = choose(candidates, request)
      return typeof chosen === 'string' ? refuse(token, chosen) : claim(chosen, token, request)
    },
  }
}

/** The rules that may fit: those for the stable ids in the token, and those that go by other claims. */
async function rulesFor(directory: AccessDirectory, token: CiToken): Promise<readonly TrustRule[]> {
  const stableIds = new Set([''])
  for (const { idClaims } of Object.values(CI_PROVIDERS)) {
    for (const claim of idClaims) {
      const value = Object.hasOwn(token.claims, claim) ? scalarText(token.claims[claim]) : null
      if (value !== null && value.length <= MAX_STABLE_ID_LENGTH) stableIds.add(value)
    }
  }
  const rules: TrustRule[] = []
  for (const stableId of stableIds) rules.push(...(await directory.trustRules.load(token.issuer, stableId)))
  return rules
}

/** Those that may answer: of the project that the request names, else all. */
function rulesOf(meant: MeantProject, rules: readonly TrustRule[]): readonly TrustRule[] {
  return meant.kind === 'named' ? rules.filter(({ projectId }) => projectId === meant.project?.id) : rules
}

/** Enough to tell one job from another within a rule. */
const RUN_LENGTH = 8

const CLAIM_REFUSALS = {
  replayed:
    'This CI token was used already: an exchange takes a token once, and none that was a password before. Ask the CI service for a new one.',
  too_many: 'Too many CI tokens of this rule are in use. Try again when some have expired.',
  revoked: 'The trust rule was changed or removed just now.',
} as const

/** Those of the rules that may be used here and now, and why the first of the others may not. */
async function admitAll(
  options: CiSignInOptions,
  fitting: readonly TrustRule[],
  request: CiRequest,
): Promise<{
  candidates: readonly Candidate[]
  refusal: readonly [message: string, rule: TrustRule] | null
}> {
  const candidates: Candidate[] = []
  let refusal: readonly [string, TrustRule] | null = null
  for (const rule of fitting) {
    const candidate = await admit(options, rule, request)
    if (typeof candidate === 'string') refusal ??= [candidate, rule]
    else candidates.push(candidate)
  }
  return { candidates, refusal }
}

/** What a rule grants, when it may be used here and now; else why not. */
async function admit(
  { directory, regionId }: CiSignInOptions,
  rule: TrustRule,
  request: CiRequest,
): Promise<Candidate | string> {
  const record = await directory.loadKey(rule.id)
  const project = await directory.loadProject(rule.projectId)
  if (record === null || record.kind !== 'r' || record.projectId !== rule.projectId) return NOT_VALID
  if (record.revokedAt !== null || record.secretVersion !== rule.version) return CLAIM_REFUSALS.revoked
  if (project === null || project.isDeleted) return NOT_VALID
  if (record.regions.length > 0 && !record.regions.includes(regionId)) {
    return 'The trust rule that fits this token is not for this region.'
  }
  if (record.addresses !== null && !record.addresses.contains(request.clientAddress)) {
    return 'The trust rule that fits this token may not be used from this address.'
  }
  if (rule.exchangeOnly && request.mode === 'password') {
    return 'The trust rule that fits this token does not take it as a password: exchange it at the token endpoint.'
  }
  return { rule, record, project }
}

const SEVERAL_PROJECTS =
  'Rules of several projects fit this token. Name the project: audience=<namespace> in an exchange, or its namespace as the user name.'

/**
 * One rule of those that fit: the one that allows most of what is asked for, the oldest of equals. Whose project is meant
 * is never guessed: whoever trusts another project's repository, too, must not draw its jobs to their own, nor learn of
 * them from the audit log.
 */
function choose(candidates: readonly Candidate[], request: CiRequest): Candidate | string {
  if (new Set(candidates.map(({ project }) => project.id)).size > 1) return SEVERAL_PROJECTS
  const parsed = parseScopes(request.wanted)
  const wanted = parsed.ok ? parsed.scopes : []
  let best: { readonly candidate: Candidate; readonly rank: readonly number[] } | null = null
  for (const candidate of candidates) {
    const rank = [grantedOf(candidate, wanted), candidate.record.actions.size]
    if (best === null || isHigher(rank, best.rank)) best = { candidate, rank }
  }
  return best?.candidate ?? NOT_VALID
}

function isHigher(rank: readonly number[], than: readonly number[]): boolean {
  const i = rank.findIndex((value, at) => value !== than[at])
  return i !== -1 && (rank[i] ?? 0) > (than[i] ?? 0)
}

function grantedOf(candidate: Candidate, wanted: readonly Scope[]): number {
  const { principal } = admitted(candidate, '', null)
  let granted = 0
  for (const scope of wanted) {
    const namespace = scopeRepository(scope)?.namespace ?? null
    if (namespace !== null && namespace !== candidate.project.namespace) continue
    granted += narrowScope(principal, scope, candidate.project)?.actions.length ?? 0
  }
  return granted
}

function admitted(
  { rule, record, project }: Candidate,
  run: string,
  notAfterMs: number | null,
): { readonly ok: true; readonly principal: KeyPrincipal } {
  return {
    ok: true,
    principal: {
      kind: 'key',
      keyId: rule.id,
      projectId: rule.projectId,
      namespace: project.namespace,
      secretVersion: rule.version,
      actions: record.actions,
      repositories: record.repositories,
      regions: record.regions,
      tokenAccess: null,
      keyExpiresAt: null,
      expiredForUploadsOnly: false,
      ci: { run, notAfterMs },
    },
  }
}

/**
 * Why no rule fits: only about rules of the project that the request names, for the token's own repository, and with the
 * token's own claims. Any other project could have a rule for that repository, to read along.
 */
function explain(
  meant: MeantProject,
  rules: readonly TrustRule[],
  token: CiToken,
): [message: string, rule: TrustRule | null] {
  const reasons: string[] = []
  let known: TrustRule | null = null
  for (const rule of meant.kind === 'named' ? rules : []) {
    const verdict = judgeToken(rule, token)
    if (!verdict.fits && verdict.isKnown)
      reasons.push(`The rule ${rule.id} does not fit: ${verdict.message}.`)
    if (reasons.length === 1) known ??= rule
    if (reasons.length === MAX_EXPLAINED_RULES) break
  }
  if (reasons.length > 0) return [reasons.join(' '), known]
  const ids = Object.values(CI_PROVIDERS)
    .flatMap(({ idClaims }) => idClaims)
    .filter((claim) => Object.hasOwn(token.claims, claim))
    .map((claim) => `${claim} ${quoteClaim(token.claims, claim)}`)
  const audience = `audience "${plain(token.audiences.join(', '))}"`
  const about = `this token of ${plain(token.issuer)} with ${[...ids, audience].join(' and ')}.`
  return meant.kind === 'named'
    ? [`No trust rule of "${plain(meant.namespace)}" fits ${about}`, null]
    : [`No trust rule fits ${about} To be told more, name the project: its namespace as the user name.`, null]
}

/** What the audit log keeps of the job. */
function describeJob(rule: TrustRule, token: CiToken): Record<string, string> {
  const detail: Record<string, string> = { rule: rule.name, provider: rule.provider, issuer: rule.issuer }
  const named = [...CI_PROVIDERS[rule.provider].jobClaims, ...rule.conditions.keys(), 'jti']
  for (const claim of new Set(named)) {
    const text = Object.hasOwn(token.claims, claim) ? scalarText(token.claims[claim]) : null
    if (text !== null) detail[claim] = text.slice(0, MAX_QUOTED_CLAIM_LENGTH)
  }
  return detail
}

/** `rule`: the one that it is about; members of its project may look the refusal up. */
function refuse(token: CiToken, message: string, rule: TrustRule | null = null): CiSignInOutcome {
  const detail = { message }
  const denial: Denial =
    rule === null
      ? { rule: 'credential_invalid', detail, projectId: null }
      : { rule: 'credential_invalid', detail, projectId: rule.projectId, actor: rule.id }
  return { ok: false, reason: 'invalid', message, label: token.id, denial }
}

function refuseUnknown(text: string): CiSignInOutcome {
  return { ok: false, reason: 'invalid', message: NOT_VALID, label: hashOf(text) }
}

function hashOf(text: string): string {
  return hash('sha256', text, 'base64url')
}

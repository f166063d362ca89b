import type { LoadedTrustRule } from '../metastore/queries/access-trust-rule.ts'
import { CI_PROVIDERS, type CiProvider, isCiProvider } from './ci-provider.ts'
import type { CiToken } from './ci-token.ts'
import { MAX_QUOTED_CLAIM_LENGTH } from './limits.ts'
import type { ProjectId } from './project-id.ts'

/** Whom a rule trusts, read from its row once. What it grants is the key record with the same id. */
export interface TrustRule {
  readonly id: string
  readonly projectId: ProjectId
  readonly name: string
  readonly provider: CiProvider
  readonly issuer: string
  readonly audience: string
  readonly conditions: ReadonlyMap<string, string>
  readonly sessionSeconds: number
  readonly exchangeOnly: boolean
  readonly version: number
  readonly createdAt: number
}

/** Reads a row. Null: what cannot be read trusts nobody. */
export function readTrustRule(row: LoadedTrustRule): TrustRule | null {
  const conditions = readConditions(row.conditions)
  if (conditions === null || conditions.size === 0 || !isCiProvider(row.provider)) return null
  return {
    id: row.id,
    projectId: row.project_id as ProjectId,
    name: row.name,
    provider: row.provider,
    issuer: row.issuer,
    audience: row.audience,
    conditions,
    sessionSeconds: row.session_seconds,
    exchangeOnly: row.exchange_only === 1,
    version: row.version,
    createdAt: row.created_at,
  }
}

/**
 * `isKnown`: the token is of the very repository or project that the rule is about, so its people may be told what of
 * the rule it does not meet.
 */
export type TrustVerdict =
  | { readonly fits: true }
  | { readonly fits: false; readonly isKnown: boolean; readonly message: string }

const RISKY_EVENT = 'pull_request_target'

/** Whether a verified token of the rule's issuer is one that the rule trusts. Every condition has to hold. */
export function judgeToken(rule: TrustRule, token: CiToken): TrustVerdict {
  if (rule.issuer !== token.issuer) return misfit(false, 'the issuer is another one')
  const { idClaims } = CI_PROVIDERS[rule.provider]
  const failing = [...rule.conditions].filter(([claim, expected]) => !holds(rule, claim, expected, token))
  // A custom rule names no stable id, so nobody is told more than that it does not fit.
  const isKnown =
    idClaims.length > 0 &&
    idClaims.every((claim) => rule.conditions.has(claim) && !failing.some(([name]) => name === claim))
  const first = failing[0]
  if (first !== undefined) {
    return misfit(isKnown, `it asks for another ${first[0]} than ${quoteClaim(token.claims, first[0])}`)
  }
  if (!token.audiences.includes(rule.audience)) {
    return misfit(isKnown, `it asks for the audience "${plain(rule.audience)}"`)
  }
  if (
    rule.provider === 'github_actions' &&
    token.claims['event_name'] === RISKY_EVENT &&
    rule.conditions.get('event_name') !== RISKY_EVENT
  ) {
    return misfit(isKnown, `it does not take runs of ${RISKY_EVENT}, which may run code of a fork`)
  }
  return { fits: true }
}

/** Whether a claim is what a condition asks for: with one `*` within a component, or `**` over components. */
export function matchesPattern(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*')
  if (star === -1) return text === pattern
  const isDeep = pattern.startsWith('**', star)
  const before = pattern.slice(0, star)
  const after = pattern.slice(star + (isDeep ? 2 : 1))
  if (text.length <= before.length + after.length) return false
  if (!text.startsWith(before) || !text.endsWith(after)) return false
  return isDeep || !text.slice(before.length, text.length - after.length).includes('/')
}

/** A claim's value for people and headers: printable ASCII, not long. */
export function quoteClaim(claims: Readonly<Record<string, unknown>>, claim: string): string {
  const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined
  if (value === undefined) return 'none (the token has no such claim)'
  return `"${plain(scalarText(value) ?? JSON.stringify(value))}"`
}

/** Printable ASCII without quotes, cut short. */
export function plain(text: string): string {
  const printable = text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, "'")
  return printable.length > MAX_QUOTED_CLAIM_LENGTH
    ? `${printable.slice(0, MAX_QUOTED_CLAIM_LENGTH)}...`
    : printable
}

/** Strings as they are, numbers and booleans in JSON; null for anything else. */
export function scalarText(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isSafeInteger(value))) {
    return String(value)
  }
  return null
}

function holds(rule: TrustRule, claim: string, expected: string, { claims }: CiToken): boolean {
  if (!Object.hasOwn(claims, claim)) return false
  const { globClaims, listClaims } = CI_PROVIDERS[rule.provider]
  const actual = claims[claim]
  const isList = Array.isArray(actual) && (listClaims.includes(claim) || rule.provider === 'custom')
  return (isList ? (actual as unknown[]) : [actual]).some((value) => {
    const text = scalarText(value)
    if (text === null) return false
    return globClaims.includes(claim) ? matchesPattern(expected, text) : text === expected
  })
}

function misfit(isKnown: boolean, message: string): TrustVerdict {
  return { fits: false, isKnown, message }
}

function readConditions(json: string): ReadonlyMap<string, string> | null {
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
    const entries = Object.entries(value)
    return entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')
      ? new Map(entries)
      : null
  } catch {
    return null
  }
}

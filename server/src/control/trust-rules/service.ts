import { ApiError } from '@berth/api/errors'
import type { TrustRule, TrustRuleChanged, TrustRuleCreate, TrustRuleUpdate } from '@berth/api/trust-rules'
import { parseCidrs } from '../../access/cidr.ts'
import { mintKeyId } from '../../access/key.ts'
import type { ProjectRow, TrustRuleRow } from '../../metastore/control-schema.ts'
import { loadLastUsed } from '../../metastore/queries/browse.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import {
  createTrustRule as createTrustRuleCommand,
  loadTrustRule,
  removeTrustRule as removeTrustRuleCommand,
  type TrustRuleChange,
  type TrustRuleSettings,
  updateTrustRule as updateTrustRuleCommand,
} from '../../metastore/queries/trust-rule.ts'
import { checkGlobs } from '../globs.ts'
import { propagate, propagateEverywhere } from '../propagate.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'
import { checkWhomToTrust } from './whom-to-trust.ts'

const DEFAULT_ACTIONS: readonly string[] = ['pull', 'push']
const WHOLE_PROJECT: readonly string[] = ['**']

interface RuleTarget {
  readonly projectId: string
  readonly id: string
}

/** Trust rules as the contract shows them, with their last use in any region. */
export async function toTrustRules(
  runtime: ControlRuntime,
  rows: readonly TrustRuleRow[],
): Promise<TrustRule[]> {
  const ids = rows.map((row) => row.id)
  const uses = await Promise.all(
    [...runtime.regions.values()].map((region) => loadLastUsed(region.db.reader, ids)),
  )
  return rows.map((row) => {
    const lastUsedAt = Math.max(0, ...uses.map((ofRegion) => ofRegion.get(row.id) ?? 0))
    return toTrustRule(row, lastUsedAt === 0 ? null : lastUsedAt)
  })
}

function toTrustRule(row: TrustRuleRow, lastUsedAt: number | null): TrustRule {
  const { name, audience, conditions, regions, cidrs, ...settings } = settingsOf(row)
  return {
    id: row.id,
    name,
    provider: row.provider,
    issuer: row.issuer,
    audience,
    conditions: { ...conditions },
    actions: settings.actions as TrustRule['actions'],
    repositories: [...settings.repositories],
    regions: [...regions],
    cidrs: [...cidrs],
    sessionSeconds: settings.sessionSeconds,
    exchangeOnly: settings.exchangeOnly,
    enabled: settings.enabled,
    version: row.version,
    createdAt: toTimestamp(row.created_at),
    createdBy: row.created_by,
    updatedAt: toTimestamp(row.updated_at),
    lastUsedAt: toTimestampOrNull(lastUsedAt),
  }
}

function settingsOf(row: TrustRuleRow): TrustRuleSettings {
  return {
    name: row.name,
    audience: row.audience,
    conditions: JSON.parse(row.conditions) as Record<string, string>,
    actions: JSON.parse(row.actions) as string[],
    repositories: JSON.parse(row.repositories) as string[],
    regions: JSON.parse(row.regions) as string[],
    cidrs: JSON.parse(row.cidrs) as string[],
    sessionSeconds: row.session_seconds,
    exchangeOnly: row.exchange_only === 1,
    enabled: row.disabled_at === null,
  }
}

/** A rule of a project. Raises `trust_rule_not_found`. */
export async function showTrustRule(
  runtime: ControlRuntime,
  { projectId, id }: RuleTarget,
): Promise<TrustRule> {
  const row = await loadTrustRule(runtime.db.reader, projectId, id)
  const [rule] = row === null ? [] : await toTrustRules(runtime, [row])
  if (rule === undefined) throw new ApiError('trust_rule_not_found')
  return rule
}

/** Creates a rule. Raises `validation_failed`, `region_not_found`, `project_not_found`, `trust_rule_limit_reached`. */
export async function createTrustRule(
  runtime: ControlRuntime,
  project: ProjectRow,
  request: TrustRuleCreate,
  origin: ChangeOrigin,
): Promise<TrustRuleChanged> {
  const { issuer, conditions } = checkWhomToTrust(request.provider, request.issuer, request.conditions)
  const settings: TrustRuleSettings = {
    name: request.name,
    audience: checkAudience(runtime, project, request.audience),
    conditions,
    actions: unique(request.actions ?? DEFAULT_ACTIONS),
    repositories: request.repositories ?? WHOLE_PROJECT,
    regions: unique(request.regions ?? []),
    cidrs: request.cidrs ?? [],
    sessionSeconds: request.sessionSeconds,
    exchangeOnly: request.exchangeOnly ?? false,
    enabled: request.enabled ?? true,
  }
  checkGrant(runtime, settings)
  const identity = { id: `rule_${mintKeyId()}`, projectId: project.id, provider: request.provider, issuer }
  const changed = succeeded(
    await runtime.db.run(createTrustRuleCommand, { rule: { ...identity, ...settings }, origin }),
  )
  return { ...toTrustRule(changed.rule, null), propagation: await propagate(runtime, changed.seq) }
}

/**
 * Changes a rule everywhere. Raises `validation_failed`, `region_not_found`, `trust_rule_not_found`,
 * `trust_rule_changed`, `not_everywhere_yet`.
 */
export async function updateTrustRule(
  runtime: ControlRuntime,
  project: ProjectRow,
  id: string,
  request: TrustRuleUpdate,
  origin: ChangeOrigin,
): Promise<TrustRuleChanged> {
  const target = { projectId: project.id, id }
  const row = await loadTrustRule(runtime.db.reader, project.id, id)
  if (row === null) throw new ApiError('trust_rule_not_found')
  const before = settingsOf(row)
  const { conditions } = checkWhomToTrust(row.provider, row.issuer, request.conditions ?? before.conditions)
  const settings: TrustRuleSettings = {
    name: request.name ?? before.name,
    audience:
      request.audience === undefined ? before.audience : checkAudience(runtime, project, request.audience),
    conditions,
    actions: unique(request.actions ?? before.actions),
    repositories: request.repositories ?? before.repositories,
    regions: unique(request.regions ?? before.regions),
    cidrs: request.cidrs ?? before.cidrs,
    sessionSeconds: request.sessionSeconds ?? before.sessionSeconds,
    exchangeOnly: request.exchangeOnly ?? before.exchangeOnly,
    enabled: request.enabled ?? before.enabled,
  }
  checkGrant(runtime, settings)
  const args = { ...target, origin, settings, readAt: { updated_at: row.updated_at, version: row.version } }
  return everywhere(runtime, succeeded(await runtime.db.run(updateTrustRuleCommand, args)))
}

/** Removes a rule everywhere. Raises `trust_rule_not_found`, `not_everywhere_yet`. */
export async function removeTrustRule(
  runtime: ControlRuntime,
  target: RuleTarget,
  origin: ChangeOrigin,
): Promise<TrustRuleChanged> {
  return everywhere(runtime, succeeded(await runtime.db.run(removeTrustRuleCommand, { ...target, origin })))
}

/**
 * What a CI job asks its token to be made for when the rule says nothing else: this project of this installation. No other
 * project's rule can have it, so nobody else's rule ever fits a token that was made for it.
 */
export function defaultAudience(runtime: ControlRuntime, project: Pick<ProjectRow, 'namespace'>): string {
  return `${new URL(runtime.consoleUrl).origin}/${project.namespace}`
}

function checkAudience(runtime: ControlRuntime, project: ProjectRow, audience: string | undefined): string {
  const own = defaultAudience(runtime, project)
  const { origin } = new URL(own)
  if (audience === undefined || audience === own) return own
  if (audience !== origin && !audience.startsWith(`${origin}/`)) return audience
  const errors = [{ path: 'body.audience', message: `may be ${own}, or something outside of ${origin}` }]
  throw new ApiError('validation_failed', undefined, { errors })
}

async function everywhere(
  runtime: ControlRuntime,
  changed: Extract<TrustRuleChange, { ok: true }>,
): Promise<TrustRuleChanged> {
  const propagation = await propagateEverywhere(runtime, changed.seq)
  const [rule] = await toTrustRules(runtime, [changed.rule])
  if (rule === undefined) throw new Error('one row makes one rule')
  return { ...rule, propagation }
}

function checkGrant(runtime: ControlRuntime, settings: TrustRuleSettings): void {
  checkGlobs(settings.repositories, 'body.repositories')
  const unknown = settings.regions.find((id) => !runtime.regions.has(id))
  if (unknown !== undefined) {
    const errors = [{ path: `body.regions.${settings.regions.indexOf(unknown)}`, message: 'does not exist' }]
    throw new ApiError('region_not_found', `There is no region "${unknown}".`, { errors })
  }
  if (parseCidrs(settings.cidrs) === null) {
    const errors = [{ path: 'body.cidrs', message: 'must be addresses or CIDRs' }]
    throw new ApiError('validation_failed', undefined, { errors })
  }
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)]
}

const REFUSALS = {
  project_not_found: 'project_not_found',
  not_found: 'trust_rule_not_found',
  too_many: 'trust_rule_limit_reached',
  changed: 'trust_rule_changed',
} as const

function succeeded(outcome: TrustRuleChange): Extract<TrustRuleChange, { ok: true }> {
  if (outcome.ok) return outcome
  throw new ApiError(REFUSALS[outcome.reason])
}

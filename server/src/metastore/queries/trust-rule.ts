import type { Kysely } from 'kysely'
import type { ControlSchema, TrustRuleRow } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import { publishAccessChange } from './access-feed.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

/** Rules of one project; removed ones do not count. */
export const MAX_TRUST_RULES_PER_PROJECT = 100

/** A rule of a project, enabled or not. Null: the project has none with this id. */
export async function loadTrustRule(
  reader: Kysely<ControlSchema>,
  projectId: string,
  id: string,
): Promise<TrustRuleRow | null> {
  const row = await reader
    .selectFrom('trust_rule')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .where('removed_at', 'is', null)
    .executeTakeFirst()
  return row ?? null
}

/** A rule as it is now, removed or not, for the access feed. */
export async function loadTrustRuleForFeed(
  reader: Kysely<ControlSchema>,
  id: string,
): Promise<TrustRuleRow | null> {
  return (await reader.selectFrom('trust_rule').selectAll().where('id', '=', id).executeTakeFirst()) ?? null
}

/** Rules of a project, newest first. */
export async function listTrustRules(
  reader: Kysely<ControlSchema>,
  projectId: string,
  page: {
    readonly after: { readonly createdAt: number; readonly id: string } | null
    readonly limit: number
  },
): Promise<TrustRuleRow[]> {
  let query = reader
    .selectFrom('trust_rule')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('removed_at', 'is', null)
  const { after } = page
  if (after !== null) {
    query = query.where((where) =>
      where.or([
        where('created_at', '<', after.createdAt),
        where.and([where('created_at', '=', after.createdAt), where('id', '<', after.id)]),
      ]),
    )
  }
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(page.limit).execute()
}

/** Whom a rule trusts and what with: all of it that can be changed. */
export interface TrustRuleSettings {
  readonly name: string
  readonly audience: string
  readonly conditions: Readonly<Record<string, string>>
  readonly actions: readonly string[]
  readonly repositories: readonly string[]
  readonly regions: readonly string[]
  readonly cidrs: readonly string[]
  readonly sessionSeconds: number
  readonly exchangeOnly: boolean
  readonly enabled: boolean
}

export interface NewTrustRule extends TrustRuleSettings {
  readonly id: string
  readonly projectId: string
  readonly provider: TrustRuleRow['provider']
  readonly issuer: string
}

/** `seq`: the access change to wait for. */
export type TrustRuleChange =
  | { readonly ok: true; readonly seq: number; readonly rule: TrustRuleRow }
  | { readonly ok: false; readonly reason: 'project_not_found' | 'not_found' | 'too_many' | 'changed' }

/** Creates a rule. */
export const createTrustRule = defineCommand<
  ControlSchema,
  { readonly rule: NewTrustRule; readonly origin: ChangeOrigin },
  TrustRuleChange
>('trust_rule.create', async (tx, { rule, origin }) => {
  const { id, projectId, provider, issuer, ...settings } = rule
  if (!(await lockLiveProject(tx, projectId))) return { ok: false, reason: 'project_not_found' }
  if ((await countRules(tx, projectId)) >= MAX_TRUST_RULES_PER_PROJECT)
    return { ok: false, reason: 'too_many' }
  await tx
    .insertInto('trust_rule')
    .values({
      id,
      project_id: projectId,
      provider,
      issuer,
      ...toColumns(settings),
      version: 1,
      created_at: origin.nowMs,
      created_by: origin.actor,
      updated_at: origin.nowMs,
      disabled_at: settings.enabled ? null : origin.nowMs,
      removed_at: null,
    })
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'trust_rule.create',
    target: id,
    detail: { provider, issuer, ...settings },
  })
  return published(tx, { projectId, id, origin })
})

export interface TrustRuleTarget {
  readonly projectId: string
  readonly id: string
  readonly origin: ChangeOrigin
}

/**
 * Changes a rule. Whoever it trusted before is asked anew: a change of whom it trusts, and switching it off, raises the
 * version, which ends every token that was made from it. `changed`: somebody else has changed it since it was read.
 */
export const updateTrustRule = defineCommand<
  ControlSchema,
  TrustRuleTarget & {
    readonly settings: TrustRuleSettings
    readonly readAt: Pick<TrustRuleRow, 'updated_at' | 'version'>
  },
  TrustRuleChange
>('trust_rule.update', async (tx, { projectId, id, origin, settings, readAt }) => {
  const query = tx
    .selectFrom('trust_rule')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .where('removed_at', 'is', null)
  const before = await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()
  if (before === undefined) return { ok: false, reason: 'not_found' }
  if (before.updated_at !== readAt.updated_at || before.version !== readAt.version) {
    return { ok: false, reason: 'changed' }
  }
  const columns = toColumns(settings)
  const trustsOthers =
    before.audience !== columns.audience ||
    before.conditions !== columns.conditions ||
    before.exchange_only !== columns.exchange_only ||
    (before.disabled_at === null) !== settings.enabled
  await tx
    .updateTable('trust_rule')
    .set({
      ...columns,
      version: trustsOthers ? before.version + 1 : before.version,
      // Never the same as before, so that it tells one state from another.
      updated_at: Math.max(origin.nowMs, before.updated_at + 1),
      disabled_at: settings.enabled ? null : (before.disabled_at ?? origin.nowMs),
    })
    .where('id', '=', id)
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'trust_rule.update',
    target: id,
    detail: { ...settings },
  })
  return published(tx, { projectId, id, origin })
})

/** Removes a rule. `removedAt` of a rule that is removed already stays, but the change is published again. */
export const removeTrustRule = defineCommand<ControlSchema, TrustRuleTarget, TrustRuleChange>(
  'trust_rule.remove',
  async (tx, { projectId, id, origin }) => {
    const before = await loadTrustRuleForFeed(tx, id)
    if (before === null || before.project_id !== projectId) return { ok: false, reason: 'not_found' }
    const removed = await tx
      .updateTable('trust_rule')
      .set({ removed_at: origin.nowMs, version: before.version + 1 })
      .where('id', '=', id)
      .where('removed_at', 'is', null)
      .executeTakeFirst()
    if (removed.numUpdatedRows === 1n) {
      await insertControlAuditEvent(tx, origin, {
        projectId,
        action: 'trust_rule.remove',
        target: id,
        detail: { name: before.name, issuer: before.issuer },
      })
    }
    return published(tx, { projectId, id, origin })
  },
)

function toColumns(settings: TrustRuleSettings) {
  return {
    name: settings.name,
    audience: settings.audience,
    conditions: JSON.stringify(settings.conditions),
    actions: JSON.stringify(settings.actions),
    repositories: JSON.stringify(settings.repositories),
    regions: JSON.stringify(settings.regions),
    cidrs: JSON.stringify(settings.cidrs),
    session_seconds: settings.sessionSeconds,
    exchange_only: settings.exchangeOnly ? 1 : 0,
  }
}

/** Locks the project's row, so that two rules made at once do not both take the last place. */
async function lockLiveProject(tx: Kysely<ControlSchema>, projectId: string): Promise<boolean> {
  const query = tx
    .selectFrom('project')
    .select('id')
    .where('id', '=', projectId)
    .where('deleted_at', 'is', null)
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) !== undefined
}

async function countRules(tx: Kysely<ControlSchema>, projectId: string): Promise<number> {
  const { count } = await tx
    .selectFrom('trust_rule')
    .select((expression) => expression.fn.countAll().as('count'))
    .where('project_id', '=', projectId)
    .where('removed_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(count)
}

async function published(tx: Kysely<ControlSchema>, target: TrustRuleTarget): Promise<TrustRuleChange> {
  const seq = await publishAccessChange(tx, 'trust_rule', target.id, target.origin.nowMs)
  const rule = await loadTrustRuleForFeed(tx, target.id)
  return rule === null ? { ok: false, reason: 'not_found' } : { ok: true, seq, rule }
}

export const trustRuleCommands = [createTrustRule, updateTrustRule, removeTrustRule]

import type { Kysely } from 'kysely'
import type { AccessTrustRuleRow, RegionSchema } from '../region-schema.ts'
import type { AccessKeyRules } from './access-copy.ts'

/*
 * The region's copy of the trust rules. A rule is two rows with one id: `access_key` says what it grants and since when
 * not any more, so that the guard of writes, revocation and last use are those of keys; `access_trust_rule` says whom
 * it trusts.
 */

/** The most rules that trust one issuer with one stable id (or with none): more are not looked at. */
export const MAX_TRUST_RULES_PER_STABLE_ID = 10_000

export interface TrustRuleCopy {
  readonly grant: AccessKeyRules
  readonly trust: AccessTrustRuleRow
}

/** What a rule trusts, with what it grants. */
export type LoadedTrustRule = AccessTrustRuleRow & { readonly project_id: string; readonly name: string }

/** Whether any rule that is in force names this issuer. */
export async function isIssuerTrusted(reader: Kysely<RegionSchema>, issuer: string): Promise<boolean> {
  const row = await reader
    .selectFrom('access_trust_rule')
    .innerJoin('access_key', 'access_key.id', 'access_trust_rule.id')
    .innerJoin('access_project', 'access_project.id', 'access_key.project_id')
    .select('access_trust_rule.id')
    .where('access_trust_rule.issuer', '=', issuer)
    .where('access_key.revoked_at', 'is', null)
    .where('access_project.deleted_at', 'is', null)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** Rules that are in force for this issuer and stable id (empty: those without one), the oldest first. */
export async function listTrustRules(
  reader: Kysely<RegionSchema>,
  issuer: string,
  stableId: string,
): Promise<LoadedTrustRule[]> {
  return reader
    .selectFrom('access_trust_rule')
    .innerJoin('access_key', 'access_key.id', 'access_trust_rule.id')
    .innerJoin('access_project', 'access_project.id', 'access_key.project_id')
    .selectAll('access_trust_rule')
    .select(['access_key.project_id', 'access_key.name'])
    .where('access_trust_rule.issuer', '=', issuer)
    .where('access_trust_rule.stable_id', '=', stableId)
    .where('access_key.revoked_at', 'is', null)
    .where('access_project.deleted_at', 'is', null)
    .orderBy('access_trust_rule.created_at')
    .orderBy('access_trust_rule.id')
    .limit(MAX_TRUST_RULES_PER_STABLE_ID)
    .execute()
}

/** Takes over a rule as it is now. Part of `access.apply`. */
export async function upsertTrustRule(
  tx: Kysely<RegionSchema>,
  { grant, trust }: TrustRuleCopy,
): Promise<void> {
  const { id: _grantId, ...grantRules } = grant
  await tx
    .insertInto('access_key')
    .values({ ...grant, last_used_at: null })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(grantRules))
    .execute()
  const { id: _trustId, ...trustRules } = trust
  await tx
    .insertInto('access_trust_rule')
    .values(trust)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(trustRules))
    .execute()
}

/** Forgets a rule that the control plane does not have (any more). */
export async function deleteTrustRule(tx: Kysely<RegionSchema>, id: string): Promise<void> {
  await tx.deleteFrom('access_trust_rule').where('id', '=', id).execute()
  await tx.deleteFrom('access_key').where('id', '=', id).execute()
}

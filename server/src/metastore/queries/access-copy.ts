import { type Kysely, sql } from 'kysely'
import { defineCommand, defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { AccessKeyRow, AccessProjectRow, AccessRegistryRow, RegionSchema } from '../region-schema.ts'
import {
  deleteAllRegistries,
  deleteRegistriesOfProject,
  deleteRegistryCopy,
  upsertRegistry,
} from './access-registry.ts'
import { deleteTrustRule, type TrustRuleCopy, upsertTrustRule } from './access-trust-rule.ts'

/*
 * The region's copy of the access rules.
 */

const CURSOR_ID = 1

/** A key's rules; when it was last used is the region's own and never part of them. */
export type AccessKeyRules = Omit<AccessKeyRow, 'last_used_at'>

/** A key's row, or null. */
export async function loadAccessKey(reader: Kysely<RegionSchema>, id: string): Promise<AccessKeyRow | null> {
  return (await reader.selectFrom('access_key').selectAll().where('id', '=', id).executeTakeFirst()) ?? null
}

/** A project's row, deleted or not, or null. */
export async function loadAccessProject(
  reader: Kysely<RegionSchema>,
  id: string,
): Promise<AccessProjectRow | null> {
  const query = reader.selectFrom('access_project').selectAll().where('id', '=', id)
  return (await query.executeTakeFirst()) ?? null
}

/** The id of the project that has this namespace, or had it last; null for none. */
export async function loadAccessProjectId(
  reader: Kysely<RegionSchema>,
  namespace: string,
): Promise<string | null> {
  const query = reader.selectFrom('access_project').select('id').where('namespace', '=', namespace)
  return (await query.executeTakeFirst())?.id ?? null
}

/** How far the region has applied the access feed. */
export async function loadAppliedAccessSeq(reader: Kysely<RegionSchema>): Promise<number> {
  const query = reader.selectFrom('access_cursor').select('applied_seq').where('id', '=', CURSOR_ID)
  return (await query.executeTakeFirstOrThrow()).applied_seq
}

export interface AccessChanges {
  /** Where the cursor has to stand. */
  readonly fromSeq: number
  readonly toSeq: number
  readonly projects: readonly AccessProjectRow[]
  readonly keys: readonly AccessKeyRules[]
  /** Keys that the control plane does not have (any more). */
  readonly missingKeyIds: readonly string[]
  readonly trustRules: readonly TrustRuleCopy[]
  readonly missingTrustRuleIds: readonly string[]
  readonly registries: readonly AccessRegistryRow[]
  readonly missingRegistryIds: readonly string[]
}

/**
 * Applies changes and moves the cursor. Several processes may try at once: the one that finds the cursor elsewhere
 * does nothing, because what it has read may be older than what is here. Returns where the cursor stands.
 */
export const applyAccessChanges = defineCommand<RegionSchema, AccessChanges, { readonly appliedSeq: number }>(
  'access.apply',
  applyChanges,
)

/** The same for changes that may overwrite or delete a stored secret: nothing of it is left in the files. */
export const applyErasingAccessChanges = defineErasingCommand<
  RegionSchema,
  AccessChanges,
  { readonly appliedSeq: number }
>('access.apply_erasing', applyChanges)

/** Whether `applyErasingAccessChanges` is the command for these changes. */
export function mayEraseSecrets({ projects, registries, missingRegistryIds }: AccessChanges): boolean {
  return (
    registries.length > 0 ||
    missingRegistryIds.length > 0 ||
    projects.some((project) => project.deleted_at !== null)
  )
}

async function applyChanges(
  tx: Kysely<RegionSchema>,
  changes: AccessChanges,
): Promise<{ readonly appliedSeq: number }> {
  const appliedSeq = await lockCursor(tx)
  if (appliedSeq !== changes.fromSeq) return { appliedSeq }
  for (const project of changes.projects) await upsertProject(tx, project)
  for (const key of changes.keys) {
    const { id: _id, ...rules } = key
    await tx
      .insertInto('access_key')
      .values({ ...key, last_used_at: null })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(rules))
      .execute()
  }
  for (const id of changes.missingKeyIds) await tx.deleteFrom('access_key').where('id', '=', id).execute()
  for (const rule of changes.trustRules) await upsertTrustRule(tx, rule)
  for (const id of changes.missingTrustRuleIds) await deleteTrustRule(tx, id)
  for (const registry of changes.registries) await upsertRegistry(tx, registry)
  for (const id of changes.missingRegistryIds) await deleteRegistryCopy(tx, id)
  await moveCursor(tx, changes.toSeq)
  return { appliedSeq: changes.toSeq }
}

async function upsertProject(tx: Kysely<RegionSchema>, project: AccessProjectRow): Promise<void> {
  const { id, ...rules } = project
  await giveWayInNamespace(tx, project)
  await tx
    .insertInto('access_project')
    .values(project)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(rules))
    .execute()
  if (project.deleted_at !== null) await deleteRegistriesOfProject(tx, id)
}

/**
 * A namespace that came free may be another project's now, and after the control database was put back to an older
 * state the two may come in any order. Whoever has it here gives way: the control plane decides, and says soon what
 * the other one is called.
 */
async function giveWayInNamespace(
  tx: Kysely<RegionSchema>,
  { id, namespace }: AccessProjectRow,
): Promise<void> {
  await tx
    .updateTable('access_project')
    .set((expression) => ({
      namespace: sql<string>`${expression.ref('namespace')} || '~' || ${expression.ref('id')}`,
    }))
    .where('namespace', '=', namespace)
    .where('id', '<>', id)
    .execute()
}

/**
 * The control database was put back to an older state than the region has seen, so its numbers start over and keys
 * that it does not know may be here. Forgets all keys and starts again at the beginning of the feed. Projects stay:
 * their content must not be taken for deleted. Processes are forgotten too, so that each drops all that it remembers.
 */
export const rewindAccessCopy = defineErasingCommand<
  RegionSchema,
  { readonly latestSeq: number },
  { readonly rewound: boolean }
>('access.rewind', async (tx, { latestSeq }) => {
  if ((await lockCursor(tx)) <= latestSeq) return { rewound: false }
  await tx.deleteFrom('access_key').execute()
  await tx.deleteFrom('access_trust_rule').execute()
  await deleteAllRegistries(tx)
  await tx.deleteFrom('replica').execute()
  await moveCursor(tx, 0)
  return { rewound: true }
})

export interface KeyUse {
  readonly keyId: string
  readonly usedAt: number
}

/** Notes when keys were last used; a time before the one that is known changes nothing. */
export const recordKeyUses = defineCommand<RegionSchema, { readonly uses: readonly KeyUse[] }, null>(
  'access.record_uses',
  async (tx, { uses }) => {
    // In the order of the ids, as every process does, so that two of them do not wait for each other in a circle.
    for (const { keyId, usedAt } of uses.toSorted((a, b) => (a.keyId < b.keyId ? -1 : 1))) {
      await tx
        .updateTable('access_key')
        .set({ last_used_at: usedAt })
        .where('id', '=', keyId)
        .where((where) => where.or([where('last_used_at', 'is', null), where('last_used_at', '<', usedAt)]))
        .execute()
    }
    return null
  },
)

async function lockCursor(tx: Kysely<RegionSchema>): Promise<number> {
  const query = tx.selectFrom('access_cursor').select('applied_seq').where('id', '=', CURSOR_ID)
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirstOrThrow()).applied_seq
}

async function moveCursor(tx: Kysely<RegionSchema>, seq: number): Promise<void> {
  await tx.updateTable('access_cursor').set({ applied_seq: seq }).where('id', '=', CURSOR_ID).execute()
}

export const accessCopyCommands = [
  applyAccessChanges,
  applyErasingAccessChanges,
  rewindAccessCopy,
  recordKeyUses,
]

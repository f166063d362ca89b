import type { Kysely } from 'kysely'
import type { ControlSchema, ProjectKeyRow } from '../control-schema.ts'
import { defineCommand, defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import { publishAccessChange } from './access-feed.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { projectKeyIsThere, type StoredProjectKey } from './project-key.ts'
import { SEALED_COLUMNS } from './sealed-column.ts'

/*
 * Re-keying: each step is one transaction that leaves everything readable, and what is left to do is seen from the
 * rows themselves, so it can stop anywhere and go on later.
 */

const STARTED = 'rekey_started_at'

/** Puts the installation on another root key: its canary and its installation key, at once. */
export const adoptRootKey = defineErasingCommand<
  ControlSchema,
  {
    readonly fromRootId: string
    readonly facts: {
      readonly root_key_canary: string
      readonly root_key_id: string
      readonly installation_key: string
    }
    readonly origin: ChangeOrigin
  },
  { readonly adopted: boolean }
>('vault.adopt_root_key', async (tx, { fromRootId, facts, origin }) => {
  const query = tx.selectFrom('installation').select('value').where('name', '=', 'root_key_id')
  const active = await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()
  if (active?.value !== fromRootId) return { adopted: false }
  for (const [name, value] of Object.entries(facts)) {
    await tx
      .insertInto('installation')
      .values({ name, value })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
      .execute()
  }
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'vault.change_root_key',
    target: facts.root_key_id,
    detail: { before: fromRootId },
  })
  return { adopted: true }
})

/** Project keys that are wrapped by another root key than this one. */
export async function listKeysOfOtherRoots(
  reader: Kysely<ControlSchema>,
  rootId: string,
  limit: number,
): Promise<ProjectKeyRow[]> {
  return reader
    .selectFrom('project_key')
    .selectAll()
    .where('root_id', '!=', rootId)
    .orderBy('project_id')
    .orderBy('version')
    .limit(limit)
    .execute()
}

/**
 * Replaces wrapped project keys by the same ones under another root key, where nothing else has changed them. Regions
 * have copies beside the logins of third-party registries: they are told.
 */
export const replaceWrappedKeys = defineErasingCommand<
  ControlSchema,
  {
    readonly keys: readonly { readonly before: string; readonly after: StoredProjectKey }[]
    readonly nowMs: number
  },
  { readonly replaced: number }
>('vault.replace_wrapped_keys', async (tx, { keys, nowMs }) => {
  let replaced = 0
  const projectIds = new Set<string>()
  for (const { before, after } of keys) {
    const result = await tx
      .updateTable('project_key')
      .set({ root_id: after.rootId, wrapped: after.wrapped })
      .where('project_id', '=', after.projectId)
      .where('version', '=', after.version)
      .where('wrapped', '=', before)
      .executeTakeFirst()
    if (result.numUpdatedRows === 0n) continue
    replaced += 1
    projectIds.add(after.projectId)
  }
  await publishStoredLogins(tx, projectIds, nowMs)
  return { replaced }
})

async function publishStoredLogins(
  tx: Kysely<ControlSchema>,
  projectIds: ReadonlySet<string>,
  nowMs: number,
): Promise<void> {
  if (projectIds.size === 0) return
  const rows = await tx
    .selectFrom('registry')
    .select('id')
    .where('project_id', 'in', [...projectIds])
    .where('provider', '!=', 'managed')
    .where('sealed_password', 'is not', null)
    .orderBy('id')
    .execute()
  for (const { id } of rows) await publishAccessChange(tx, 'registry', id, nowMs)
}

/** When the re-keying of projects that is under way began; null: none is. */
export async function loadRekeyStart(reader: Kysely<ControlSchema>): Promise<number | null> {
  const query = reader.selectFrom('installation').select('value').where('name', '=', STARTED)
  const value = (await query.executeTakeFirst())?.value
  return value === undefined ? null : Number(value)
}

/** Begins a re-keying of all projects, or answers when the one under way began. */
export const beginRekey = defineCommand<
  ControlSchema,
  { readonly origin: ChangeOrigin },
  { readonly startedAt: number }
>('vault.begin_rekey', async (tx, { origin }) => {
  const inserted = await tx
    .insertInto('installation')
    .values({ name: STARTED, value: String(origin.nowMs) })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .executeTakeFirst()
  if (inserted.numInsertedOrUpdatedRows === 1n) {
    await insertControlAuditEvent(tx, origin, {
      projectId: null,
      action: 'vault.begin_rekey',
      target: 'project keys',
      detail: {},
    })
  }
  return { startedAt: (await loadRekeyStart(tx)) ?? origin.nowMs }
})

/** Ends a re-keying under which no project is left. */
export const endRekey = defineCommand<ControlSchema, { readonly origin: ChangeOrigin }, null>(
  'vault.end_rekey',
  async (tx, { origin }) => {
    const deleted = await tx.deleteFrom('installation').where('name', '=', STARTED).executeTakeFirst()
    if (deleted.numDeletedRows === 0n) return null
    await insertControlAuditEvent(tx, origin, {
      projectId: null,
      action: 'vault.end_rekey',
      target: 'project keys',
      detail: {},
    })
    return null
  },
)

/** Projects whose newest key is older than `startedAt`, or that have more than one, by id after the given one. */
export async function listProjectsToRekey(
  reader: Kysely<ControlSchema>,
  startedAt: number,
  page: { readonly afterId: string; readonly limit: number },
): Promise<string[]> {
  const rows = await reader
    .selectFrom('project_key')
    .select('project_id')
    .where('project_id', '>', page.afterId)
    .groupBy('project_id')
    .having(({ or, eb, fn }) =>
      or([eb(fn.max('created_at'), '<', startedAt), eb(fn.countAll<number>(), '>', 1)]),
    )
    .orderBy('project_id')
    .limit(page.limit)
    .execute()
  return rows.map((row) => row.project_id)
}

/** How much there is, and how much of it is wrapped by another root key than this one. */
export async function countProjectKeys(
  reader: Kysely<ControlSchema>,
  rootId: string,
): Promise<{ readonly projects: number; readonly keys: number; readonly ofOtherRoots: number }> {
  const row = await reader
    .selectFrom('project_key')
    .select(({ fn }) => [
      fn.count<number>('project_id').distinct().as('projects'),
      fn.countAll<number>().as('keys'),
      fn.countAll<number>().filterWhere('root_id', '!=', rootId).as('others'),
    ])
    .executeTakeFirstOrThrow()
  return { projects: Number(row.projects), keys: Number(row.keys), ofOtherRoots: Number(row.others) }
}

/** Projects that a re-keying which began then has still to do. */
export async function countProjectsToRekey(
  reader: Kysely<ControlSchema>,
  startedAt: number,
): Promise<number> {
  const row = await reader
    .selectFrom(
      reader
        .selectFrom('project_key')
        .select('project_id')
        .groupBy('project_id')
        .having(({ or, eb, fn }) =>
          or([eb(fn.max('created_at'), '<', startedAt), eb(fn.countAll<number>(), '>', 1)]),
        )
        .as('waiting'),
    )
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** Puts a secret that was sealed anew into its place. `key_replaced`: seal it with the newest key and repeat. */
export const replaceSealed = defineErasingCommand<
  ControlSchema,
  {
    readonly column: string
    readonly projectId: string
    readonly id: string
    readonly before: string
    readonly after: string
    readonly nowMs: number
  },
  { readonly outcome: 'replaced' | 'changed' | 'key_replaced'; readonly seq: number | null }
>('vault.replace_sealed', async (tx, { column: name, projectId, id, before, after, nowMs }) => {
  if (!(await projectKeyIsThere(tx, projectId, after))) return { outcome: 'key_replaced', seq: null }
  const column = SEALED_COLUMNS.find((known) => known.name === name)
  if (column === undefined) throw new Error(`${name} is not listed in sealed-column.ts`)
  const { replaced, seq } = await column.replace(tx, { id, before, after, nowMs })
  return { outcome: replaced ? 'replaced' : 'changed', seq }
})

/**
 * Deletes the versions of a project's key before its newest that no secret needs. Whoever stores a secret holds its
 * key's row, so none can come to need one that is deleted here.
 */
export const dropUnusedKeys = defineErasingCommand<
  ControlSchema,
  { readonly projectId: string },
  { readonly dropped: number; readonly kept: number }
>('vault.drop_unused_keys', async (tx, { projectId }) => {
  const query = tx
    .selectFrom('project_key')
    .select('version')
    .where('project_id', '=', projectId)
    .orderBy('version', 'desc')
  const [, ...older] = await lockForUpdate(query, dialectOf(tx)).execute()
  let dropped = 0
  for (const { version } of older) {
    if (await isUsed(tx, projectId, version)) continue
    await tx
      .deleteFrom('project_key')
      .where('project_id', '=', projectId)
      .where('version', '=', version)
      .execute()
    dropped += 1
  }
  return { dropped, kept: older.length - dropped }
})

async function isUsed(tx: Kysely<ControlSchema>, projectId: string, version: number): Promise<boolean> {
  for (const column of SEALED_COLUMNS) {
    if (await column.isUsed(tx, projectId, version)) return true
  }
  return false
}

export const rekeyCommands = [
  adoptRootKey,
  replaceWrappedKeys,
  beginRekey,
  endRekey,
  replaceSealed,
  dropUnusedKeys,
]

import type { Kysely } from 'kysely'
import type { ControlSchema, ProjectKeyRow } from '../control-schema.ts'
import { type Database, defineCommand } from '../database.ts'
import { dialectOf, lockForShare } from '../dialect.ts'

/** A project's key as the vault knows it: wrapped by the root key with this id. */
export interface StoredProjectKey {
  readonly projectId: string
  readonly version: number
  readonly rootId: string
  readonly wrapped: string
}

export type ProjectKeyInsertion = 'inserted' | 'exists' | 'root_changed' | 'project_not_found'

/**
 * Stores a key of a project that is not deleted. The active root key is looked at under a lock, so that a change of
 * root keys that has counted what is left cannot be followed by one more key of the old kind.
 */
export const insertProjectKey = defineCommand<
  ControlSchema,
  { readonly key: StoredProjectKey; readonly nowMs: number },
  ProjectKeyInsertion
>('project_key.insert', async (tx, { key, nowMs }) => {
  if ((await lockActiveRootId(tx)) !== key.rootId) return 'root_changed'
  const project = tx
    .selectFrom('project')
    .select('id')
    .where('id', '=', key.projectId)
    .where('deleted_at', 'is', null)
  // A deletion of the project waits for this, and then takes the key away, or this waits and finds no project.
  if ((await lockForShare(project, dialectOf(tx)).executeTakeFirst()) === undefined)
    return 'project_not_found'
  const inserted = await tx
    .insertInto('project_key')
    .values({
      project_id: key.projectId,
      version: key.version,
      root_id: key.rootId,
      wrapped: key.wrapped,
      created_at: nowMs,
    })
    .onConflict((conflict) => conflict.columns(['project_id', 'version']).doNothing())
    .executeTakeFirst()
  return inserted.numInsertedOrUpdatedRows === 1n ? 'inserted' : 'exists'
})

async function lockActiveRootId(tx: Kysely<ControlSchema>): Promise<string | null> {
  const query = tx.selectFrom('installation').select('value').where('name', '=', 'root_key_id')
  return (await lockForShare(query, dialectOf(tx)).executeTakeFirst())?.value ?? null
}

/** A project's newest key; null: it has none yet. */
export async function loadNewestProjectKey(
  reader: Kysely<ControlSchema>,
  projectId: string,
): Promise<ProjectKeyRow | null> {
  const query = reader.selectFrom('project_key').selectAll().where('project_id', '=', projectId)
  return (await query.orderBy('version', 'desc').limit(1).executeTakeFirst()) ?? null
}

/** A version of a project's key; null: it was deleted, with the project or after a re-keying. */
export async function loadProjectKey(
  reader: Kysely<ControlSchema>,
  projectId: string,
  version: number,
): Promise<ProjectKeyRow | null> {
  const query = reader
    .selectFrom('project_key')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('version', '=', version)
  return (await query.executeTakeFirst()) ?? null
}

/**
 * For each transaction that stores a sealed secret, first: whether the project's key that it was sealed with is still
 * there. The key then stays until the transaction ends. False: seal again.
 */
export async function projectKeyIsThere(
  tx: Kysely<ControlSchema>,
  projectId: string,
  sealed: string,
): Promise<boolean> {
  const query = tx
    .selectFrom('project_key')
    .select('version')
    .where('project_id', '=', projectId)
    .where('version', '=', sealedKeyVersion(sealed))
  return (await lockForShare(query, dialectOf(tx)).executeTakeFirst()) !== undefined
}

/** The version of the project's key that a sealed secret names: its second part (vault/envelope.ts). */
export function sealedKeyVersion(sealed: string): number {
  return Number(sealed.split('.', 2)[1] ?? Number.NaN)
}

/** The keys of projects as the vault asks for them. */
export function projectKeyStore(db: Database<ControlSchema>) {
  return {
    async loadNewest(projectId: string): Promise<StoredProjectKey | null> {
      return toStoredKey(await loadNewestProjectKey(db.reader, projectId))
    },
    async load(projectId: string, version: number): Promise<StoredProjectKey | null> {
      return toStoredKey(await loadProjectKey(db.reader, projectId, version))
    },
    async loadActiveRootId(): Promise<string> {
      const query = db.reader.selectFrom('installation').select('value').where('name', '=', 'root_key_id')
      return (await query.executeTakeFirst())?.value ?? ''
    },
    async insert(key: StoredProjectKey): Promise<ProjectKeyInsertion> {
      return db.run(insertProjectKey, { key, nowMs: await db.nowMs() })
    },
  }
}

function toStoredKey(row: ProjectKeyRow | null): StoredProjectKey | null {
  if (row === null) return null
  return { projectId: row.project_id, version: row.version, rootId: row.root_id, wrapped: row.wrapped }
}

export const projectKeyCommands = [insertProjectKey]

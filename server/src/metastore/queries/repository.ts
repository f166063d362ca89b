import type { Kysely } from 'kysely'
import { Rollback } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { prepareQuery } from './prepared-query.ts'

interface RepositoryKey {
  readonly projectId: string
  /** Below the namespace. */
  readonly path: string
}

const selectRepositoryId = prepareQuery<RegionSchema, RepositoryKey>()((db, p) =>
  db
    .selectFrom('repository')
    .select('id')
    .where('project_id', '=', p('projectId'))
    .where('path', '=', p('path')),
)

const selectLocked = prepareQuery<RegionSchema, RepositoryKey>()((db, p) =>
  lockForUpdate(
    db
      .selectFrom('repository')
      .select(['id', 'cached_from'])
      .where('project_id', '=', p('projectId'))
      .where('path', '=', p('path')),
    dialectOf(db),
  ),
)

const insertRepository = prepareQuery<RegionSchema, RepositoryKey & { nowMs: number }>()((db, p) =>
  db
    .insertInto('repository')
    .values({ project_id: p('projectId'), path: p('path'), created_at: p('nowMs') })
    .onConflict((conflict) => conflict.columns(['project_id', 'path']).doNothing())
    .returning('id'),
)

/** The repository's id, or null when it does not exist. */
export async function loadRepositoryId(
  db: Kysely<RegionSchema>,
  projectId: string,
  path: string,
): Promise<number | null> {
  return (await selectRepositoryId.first(db, { projectId, path }))?.id ?? null
}

/** The repository's id with its row locked, or null when it does not exist. Inside a command, before any blob is locked. */
export async function lockRepositoryAt(
  tx: Kysely<RegionSchema>,
  projectId: string,
  path: string,
): Promise<number | null> {
  return (await selectLocked.first(tx, { projectId, path }))?.id ?? null
}

/** The same, but the repository is made when it does not exist. */
export async function ensureRepository(
  tx: Kysely<RegionSchema>,
  projectId: string,
  path: string,
  nowMs: number,
): Promise<number> {
  return (await lockOrMake(tx, { projectId, path }, nowMs)).id
}

/**
 * The same for what the project pushes. Rolls back as `reserved` when the repository holds copies from a connected
 * registry: that may have been connected after the request was allowed.
 */
export async function ensureOwnRepository(
  tx: Kysely<RegionSchema>,
  projectId: string,
  path: string,
  nowMs: number,
): Promise<number> {
  const { id, cached_from: cachedFrom } = await lockOrMake(tx, { projectId, path }, nowMs)
  if (cachedFrom !== null) throw new Rollback({ ok: false, reason: 'reserved' })
  return id
}

async function lockOrMake(
  tx: Kysely<RegionSchema>,
  key: RepositoryKey,
  nowMs: number,
): Promise<{ id: number; cached_from: string | null }> {
  const known = await selectLocked.first(tx, key)
  if (known !== undefined) return known
  const made = await insertRepository.first(tx, { ...key, nowMs })
  if (made !== undefined) return { id: made.id, cached_from: null }
  // Another transaction made it after the first look and has committed by now, or the insert would still wait.
  const other = await selectLocked.first(tx, key)
  if (other === undefined) throw new Error('a repository disappeared while it was made')
  return other
}

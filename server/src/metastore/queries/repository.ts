import type { Kysely } from 'kysely'
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

const lockRepositoryId = prepareQuery<RegionSchema, RepositoryKey>()((db, p) =>
  lockForUpdate(
    db
      .selectFrom('repository')
      .select('id')
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
  return (await lockRepositoryId.first(tx, { projectId, path }))?.id ?? null
}

/** The same, but the repository is made when it does not exist. */
export async function ensureRepository(
  tx: Kysely<RegionSchema>,
  projectId: string,
  path: string,
  nowMs: number,
): Promise<number> {
  const known = await lockRepositoryAt(tx, projectId, path)
  if (known !== null) return known
  const made = await insertRepository.first(tx, { projectId, path, nowMs })
  if (made !== undefined) return made.id
  // Another transaction made it after the first look and has committed by now, or the insert would still wait.
  const other = await lockRepositoryAt(tx, projectId, path)
  if (other === null) throw new Error('a repository disappeared while it was made')
  return other
}

import { type Kysely, PostgresAdapter, type SelectQueryBuilder } from 'kysely'
import type { Dialect } from './migrations/column-types.ts'
import type { BlobRow, RegionSchema, RepositoryRow } from './region-schema.ts'

/*
 * The differences of the two dialects that queries can meet, each behind one name.
 */

/** The dialect behind a Kysely handle. */
export function dialectOf<Schema>(db: Kysely<Schema>): Dialect {
  return db.getExecutor().adapter instanceof PostgresAdapter ? 'postgres' : 'sqlite'
}

/**
 * Locks the rows that `query` finds until the transaction ends. On SQLite there is one writer at a time, so
 * everything is locked already.
 */
export function lockForUpdate<DB, TB extends keyof DB, O>(
  query: SelectQueryBuilder<DB, TB, O>,
  dialect: Dialect,
): SelectQueryBuilder<DB, TB, O> {
  return dialect === 'postgres' ? query.forUpdate() : query
}

/** Like `lockForUpdate`, but several transactions may hold the lock at once; whoever changes the rows waits. */
export function lockForShare<DB, TB extends keyof DB, O>(
  query: SelectQueryBuilder<DB, TB, O>,
  dialect: Dialect,
): SelectQueryBuilder<DB, TB, O> {
  return dialect === 'postgres' ? query.forShare() : query
}

/**
 * Locks a repository: everything that changes its manifests, tags or memberships does this first, and locks a
 * repository before a blob. Null: it is gone.
 */
export async function lockRepository(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
): Promise<RepositoryRow | null> {
  const query = tx.selectFrom('repository').selectAll().where('id', '=', repositoryId)
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) ?? null
}

/** A blob's row without its content. */
export type BlobHead = Omit<BlobRow, 'content'>

const BLOB_HEAD = [
  'id',
  'project_id',
  'digest',
  'size_bytes',
  'storage_key',
  'state',
  'created_at',
  'trashed_at',
  'purge_at',
] as const

/** Locks a blob's row, in whatever state it is. Null: it is gone. */
export async function lockBlob(tx: Kysely<RegionSchema>, blobId: number): Promise<BlobHead | null> {
  const query = tx.selectFrom('blob').select(BLOB_HEAD).where('id', '=', blobId)
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) ?? null
}

/** Locks a project's live blob with this digest. Null: there is none. */
export async function lockLiveBlob(
  tx: Kysely<RegionSchema>,
  projectId: string,
  digest: string,
): Promise<BlobHead | null> {
  const query = tx
    .selectFrom('blob')
    .select(BLOB_HEAD)
    .where('project_id', '=', projectId)
    .where('digest', '=', digest)
    .where('state', '=', 'live')
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) ?? null
}

const SQLITE_VIOLATIONS: Readonly<Record<number, ConstraintViolation>> = {
  2067: 'unique', // SQLITE_CONSTRAINT_UNIQUE
  1555: 'unique', // SQLITE_CONSTRAINT_PRIMARYKEY
  787: 'foreign_key', // SQLITE_CONSTRAINT_FOREIGNKEY
  275: 'check', // SQLITE_CONSTRAINT_CHECK
  1299: 'not_null', // SQLITE_CONSTRAINT_NOTNULL
}

const POSTGRES_VIOLATIONS: Readonly<Record<string, ConstraintViolation>> = {
  '23505': 'unique',
  '23503': 'foreign_key',
  '23514': 'check',
  '23502': 'not_null',
}

export type ConstraintViolation = 'unique' | 'foreign_key' | 'check' | 'not_null'

/**
 * Which kind of constraint an error of `run` or of a query broke; null for any other error. Only for callers outside
 * a transaction: after an error nothing more can be asked inside it, so commands use `onConflict` instead.
 */
export function constraintViolation(error: unknown): ConstraintViolation | null {
  if (!(error instanceof Error)) return null
  if ('errcode' in error && typeof error.errcode === 'number') return SQLITE_VIOLATIONS[error.errcode] ?? null
  if ('code' in error && typeof error.code === 'string') return POSTGRES_VIOLATIONS[error.code] ?? null
  return null
}

import { type Kysely, sql } from 'kysely'
import { bytes, clusteredTableOptions, type Dialect, integer, tableOptions, text } from '../column-types.ts'

/**
 * The copy of the access rules and how far it is. No foreign keys: the feed brings rows in the order of their
 * changes, and a copy must take what the control plane says.
 */
export async function createAccessTables(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('access_project')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('namespace', text(dialect), (column) => column.notNull())
    .addColumn('deleted_at', integer(dialect))
    .addColumn('quota_bytes', integer(dialect))
    .addColumn('public_repositories', text(dialect), (column) => column.notNull())
    .addColumn('allow_sparse_indexes', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('access_project_by_namespace')
    .unique()
    .on('access_project')
    .columns(['namespace'])
    .execute()
  await createAccessKeys(db, dialect)
  await db.schema
    .createTable('access_cursor')
    .addColumn('id', integer(dialect), (column) => column.primaryKey().notNull())
    .addColumn('applied_seq', integer(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await sql`insert into access_cursor (id, applied_seq) values (1, 0)`.execute(db)
  await db.schema
    .createTable('replica')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('applied_seq', integer(dialect), (column) => column.notNull())
    .addColumn('renewed_at', integer(dialect), (column) => column.notNull())
    .addColumn('started_at', integer(dialect), (column) => column.notNull())
    .addColumn('version', text(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
}

async function createAccessKeys(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('access_key')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('kind', text(dialect), (column) => column.notNull())
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('pepper_version', integer(dialect), (column) => column.notNull())
    .addColumn('secret_version', integer(dialect), (column) => column.notNull())
    .addColumn('secret_hmac', bytes(dialect), (column) => column.notNull())
    .addColumn('previous_hmac', bytes(dialect))
    .addColumn('previous_expires_at', integer(dialect))
    .addColumn('actions', text(dialect), (column) => column.notNull())
    .addColumn('repositories', text(dialect), (column) => column.notNull())
    .addColumn('regions', text(dialect), (column) => column.notNull())
    .addColumn('cidrs', text(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect))
    .addColumn('revoked_at', integer(dialect))
    .addColumn('last_used_at', integer(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('access_key_by_project')
    .on('access_key')
    .columns(['project_id', 'id'])
    .execute()
}

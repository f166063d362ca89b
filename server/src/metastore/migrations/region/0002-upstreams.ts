import { type Kysely, sql } from 'kysely'
import { clusteredTableOptions, type Dialect, integer, text } from '../column-types.ts'

/** The copy of the registries that projects have connected, and what of their content is kept here. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('access_registry')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('slug', text(dialect), (column) => column.notNull())
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('provider', text(dialect), (column) => column.notNull())
    .addColumn('host', text(dialect), (column) => column.notNull())
    .addColumn('exchange', text(dialect))
    .addColumn('username', text(dialect))
    .addColumn('sealed_password', text(dialect))
    .addColumn('key_version', integer(dialect))
    .addColumn('key_root_id', text(dialect))
    .addColumn('wrapped_key', text(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('access_registry_by_slug')
    .on('access_registry')
    .columns(['project_id', 'slug'])
    .execute()
  await db.schema
    .createTable('retired_slug')
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('slug', text(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('retired_slug_key', ['project_id', 'slug'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema.alterTable('repository').addColumn('cached_from', text(dialect)).execute()
  await sql`create index repository_of_cache on repository (id) where cached_from is not null`.execute(db)
  await db.schema
    .createTable('cached_tag')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull())
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('checked_at', integer(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('cached_tag_key', ['repository_id', 'name'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
}

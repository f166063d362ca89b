import { type Kysely, sql } from 'kysely'
import { clusteredTableOptions, type Dialect, integer, text } from '../column-types.ts'

/** Keys of projects, and what registries store: third-party logins, and credentials of managed registries. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('project_key')
    .addColumn('project_id', text(dialect), (column) => column.notNull().references('project.id'))
    .addColumn('version', integer(dialect), (column) => column.notNull())
    .addColumn('root_id', text(dialect), (column) => column.notNull())
    .addColumn('wrapped', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('project_key_pk', ['project_id', 'version'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  // A change of root keys looks for what is still wrapped by another one.
  await db.schema.createIndex('project_key_by_root').on('project_key').columns(['root_id']).execute()

  for (const name of ['slug', 'username', 'sealed_password', 'exchange', 'api_key_id']) {
    await db.schema.alterTable('registry').addColumn(name, text(dialect)).execute()
  }
  for (const name of [
    'updated_at',
    'password_set_at',
    'rotation_every_days',
    'rotation_overlap_seconds',
    'rotation_due_at',
  ]) {
    await db.schema.alterTable('registry').addColumn(name, integer(dialect)).execute()
  }
  await sql`create unique index registry_by_slug on registry (project_id, slug) where slug is not null`.execute(
    db,
  )
  await sql`create index registry_by_rotation on registry (rotation_due_at)
    where rotation_due_at is not null`.execute(db)

  await db.schema.alterTable('api_key').addColumn('registry_id', text(dialect)).execute()
}

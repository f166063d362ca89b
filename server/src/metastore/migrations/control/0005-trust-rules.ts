import type { Kysely } from 'kysely'
import { clusteredTableOptions, type Dialect, integer, text } from '../column-types.ts'

/** The CI jobs that projects trust. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('trust_rule')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull().references('project.id'))
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('provider', text(dialect), (column) => column.notNull())
    .addColumn('issuer', text(dialect), (column) => column.notNull())
    .addColumn('audience', text(dialect), (column) => column.notNull())
    .addColumn('conditions', text(dialect), (column) => column.notNull())
    .addColumn('actions', text(dialect), (column) => column.notNull())
    .addColumn('repositories', text(dialect), (column) => column.notNull())
    .addColumn('regions', text(dialect), (column) => column.notNull())
    .addColumn('cidrs', text(dialect), (column) => column.notNull())
    .addColumn('session_seconds', integer(dialect), (column) => column.notNull())
    .addColumn('exchange_only', integer(dialect), (column) => column.notNull())
    .addColumn('version', integer(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('created_by', text(dialect), (column) => column.notNull())
    .addColumn('updated_at', integer(dialect), (column) => column.notNull())
    .addColumn('disabled_at', integer(dialect))
    .addColumn('removed_at', integer(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('trust_rule_by_project')
    .on('trust_rule')
    .columns(['project_id', 'id'])
    .execute()
}

import { type Kysely, sql } from 'kysely'
import { type Dialect, integer, tableOptions } from './column-types.ts'

/** One row that `ping` writes, so that a full or read-only disk is noticed before a user's push meets it. */
export async function createHealthCheckTable(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('health_check')
    .addColumn('id', integer(dialect), (column) => column.primaryKey().notNull())
    .addColumn('checked_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await sql`insert into health_check (id, checked_at) values (1, 0)`.execute(db)
}

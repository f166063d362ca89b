import type { Kysely } from 'kysely'
import { type Dialect, integer } from '../column-types.ts'

/**
 * Whether a personal access token may do what asks a session for a fresh confirmation. Nobody was asked about those that
 * exist, so they may not.
 */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .alterTable('personal_token')
    .addColumn('allow_sensitive', integer(dialect), (column) => column.notNull().defaultTo(0))
    .execute()
}

import type { Kysely } from 'kysely'
import { type Dialect, text } from '../column-types.ts'

/** Rules of a project about its images: tags that never move, and what is kept. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .alterTable('project')
    .addColumn('immutable_tags', text(dialect), (column) => column.notNull().defaultTo('[]'))
    .execute()
  await db.schema.alterTable('project').addColumn('retention', text(dialect)).execute()
}

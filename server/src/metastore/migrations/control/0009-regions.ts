import type { Kysely } from 'kysely'
import { type Dialect, text } from '../column-types.ts'

/** The region that the host without a region leads a project to; null: the first one. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema.alterTable('project').addColumn('home_region_id', text(dialect)).execute()
}

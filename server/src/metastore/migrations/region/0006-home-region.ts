import type { Kysely } from 'kysely'
import { type Dialect, text } from '../column-types.ts'

/** Copy of a project's home region, which the host without a region asks for. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema.alterTable('access_project').addColumn('home_region_id', text(dialect)).execute()
}

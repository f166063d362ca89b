import type { Kysely } from 'kysely'
import type { Dialect } from '../column-types.ts'
import { createHealthCheckTable } from '../health-check-table.ts'
import { createUploadSessionTable } from '../upload-session-table.ts'
import { createAccessTables } from './0001-access.ts'
import { createContentTables } from './0001-content.ts'
import { createUpkeepTables } from './0001-upkeep.ts'

/** The tables of `region-schema.ts`. On SQLite upload sessions are in a file of their own. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createHealthCheckTable(db, dialect)
  await createAccessTables(db, dialect)
  await createContentTables(db, dialect)
  await createUpkeepTables(db, dialect)
  if (dialect === 'postgres') await createUploadSessionTable(db, dialect)
}

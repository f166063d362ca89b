import { type Kysely, sql } from 'kysely'
import { createAuditChain, createRefusals } from '../audit-chain-tables.ts'
import type { Dialect } from '../column-types.ts'

/** The audit log becomes a hash chain, refusals can be explained, and the access feed can be compacted. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createAuditChain(db, dialect)
  await createRefusals(db, dialect)
  await sql`create index access_change_by_entity on access_change (kind, entity_id, seq)`.execute(db)
}

import type { Kysely } from 'kysely'
import { createAuditChain, createRefusals } from '../audit-chain-tables.ts'
import type { Dialect } from '../column-types.ts'

/** The audit log becomes a hash chain, and refusals can be explained. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createAuditChain(db, dialect)
  await createRefusals(db, dialect)
}

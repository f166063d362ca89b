import { type Kysely, sql } from 'kysely'
import { type Dialect, integer, tableOptions, text } from './column-types.ts'

/**
 * What the hash chain of the audit log needs, the same in both kinds of database (ADR 0013). An event gets its place
 * when it is sealed, a moment after it was committed; until then its three columns are null.
 */
export async function createAuditChain(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  for (const [name, type] of [
    ['position', integer(dialect)],
    ['chain_seq', integer(dialect)],
    ['chain_hash', text(dialect)],
  ] as const) {
    await sql`alter table audit_event add column ${sql.ref(name)} ${type}`.execute(db)
  }
  await sql`create index audit_event_unsealed on audit_event (id) where position is null`.execute(db)
  await sql`create unique index audit_event_by_position on audit_event (position)
    where position is not null`.execute(db)
  await sql`create unique index audit_event_by_chain on audit_event (coalesce(project_id, ''), chain_seq)
    where chain_seq is not null`.execute(db)
  await db.schema
    .createTable('audit_chain')
    .addColumn('chain', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('seq', integer(dialect), (column) => column.notNull())
    .addColumn('hash', text(dialect), (column) => column.notNull())
    .addColumn('base_seq', integer(dialect), (column) => column.notNull())
    .addColumn('base_hash', text(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await db.schema
    .createTable('audit_sealer')
    .addColumn('id', integer(dialect), (column) => column.primaryKey().notNull())
    .addColumn('position', integer(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await sql`insert into audit_sealer (id, position) values (1, 0)`.execute(db)
}

/** Recent refusals, for `explain`. The same in both kinds of database. */
export async function createRefusals(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('refusal')
    .addColumn('request_id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('at', integer(dialect), (column) => column.notNull())
    .addColumn('actor', text(dialect), (column) => column.notNull())
    .addColumn('address', text(dialect), (column) => column.notNull())
    .addColumn('operation', text(dialect), (column) => column.notNull())
    .addColumn('resource', text(dialect), (column) => column.notNull())
    .addColumn('status', integer(dialect), (column) => column.notNull())
    .addColumn('code', text(dialect), (column) => column.notNull())
    .addColumn('rule', text(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await db.schema.createIndex('refusal_by_project').on('refusal').columns(['project_id', 'at']).execute()
  await db.schema.createIndex('refusal_by_time').on('refusal').columns(['at']).execute()
}

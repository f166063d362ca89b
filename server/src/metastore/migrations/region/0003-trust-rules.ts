import type { Kysely } from 'kysely'
import { clusteredTableOptions, type Dialect, integer, text } from '../column-types.ts'

/**
 * Whom the rules of projects trust. What a rule grants is a row of `access_key` with the same id, so that all that is
 * checked of a key, inside transactions too, is checked of a rule. And the CI tokens that were taken.
 */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('access_trust_rule')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('provider', text(dialect), (column) => column.notNull())
    .addColumn('issuer', text(dialect), (column) => column.notNull())
    .addColumn('stable_id', text(dialect), (column) => column.notNull())
    .addColumn('audience', text(dialect), (column) => column.notNull())
    .addColumn('conditions', text(dialect), (column) => column.notNull())
    .addColumn('session_seconds', integer(dialect), (column) => column.notNull())
    .addColumn('exchange_only', integer(dialect), (column) => column.notNull())
    .addColumn('version', integer(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('access_trust_rule_by_issuer')
    .on('access_trust_rule')
    .columns(['issuer', 'stable_id', 'created_at', 'id'])
    .execute()
  await db.schema
    .createTable('ci_token')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('rule_id', text(dialect), (column) => column.notNull())
    .addColumn('run', text(dialect), (column) => column.notNull())
    .addColumn('mode', text(dialect), (column) => column.notNull())
    .addColumn('first_used_at', integer(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema.createIndex('ci_token_by_expiry').on('ci_token').columns(['expires_at', 'id']).execute()
  await db.schema.createIndex('ci_token_by_rule').on('ci_token').columns(['rule_id', 'expires_at']).execute()
}

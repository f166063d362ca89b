import { type Kysely, sql } from 'kysely'
import { bytes, clusteredTableOptions, type Dialect, integer, text } from '../column-types.ts'

/** Accounts that an operator stopped, when people last signed in, and links that set a new password. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  for (const column of ['disabled_at', 'last_sign_in_at']) {
    await db.schema.alterTable('user_account').addColumn(column, integer(dialect)).execute()
  }
  // Sessions that have ended left no trace here, so for some this is too early or missing.
  await sql`update user_account set last_sign_in_at =
    (select max(created_at) from user_session where user_session.user_id = user_account.id)`.execute(db)
  await db.schema
    .createIndex('user_account_by_age')
    .on('user_account')
    .columns(['created_at', 'id'])
    .execute()
  await db.schema
    .createTable('password_reset')
    .addColumn('user_id', text(dialect), (column) =>
      column.primaryKey().notNull().references('user_account.id'),
    )
    .addColumn('token_hmac', bytes(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('password_reset_by_token')
    .unique()
    .on('password_reset')
    .column('token_hmac')
    .execute()
}

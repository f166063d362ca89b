import type { Kysely } from 'kysely'
import { bytes, clusteredTableOptions, type Dialect, integer, text } from '../column-types.ts'

/** People, how they sign in, their sessions and tokens. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createAccounts(db, dialect)
  await createSessions(db, dialect)
  await createDeviceCodes(db, dialect)
  await createPersonalTokens(db, dialect)
}

async function createAccounts(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('user_account')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('email', text(dialect), (column) => column.notNull())
    .addColumn('email_verified', integer(dialect), (column) => column.notNull())
    .addColumn('image', text(dialect))
    .addColumn('is_operator', integer(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('updated_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema.createIndex('user_account_by_email').unique().on('user_account').column('email').execute()
  await db.schema
    .createTable('user_credential')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('user_id', text(dialect), (column) => column.notNull().references('user_account.id'))
    .addColumn('provider_id', text(dialect), (column) => column.notNull())
    .addColumn('account_id', text(dialect), (column) => column.notNull())
    .addColumn('password', text(dialect))
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('updated_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('user_credential_by_account')
    .unique()
    .on('user_credential')
    .columns(['provider_id', 'account_id'])
    .execute()
  await db.schema.createIndex('user_credential_by_user').on('user_credential').column('user_id').execute()
  await createPasskeys(db, dialect)
}

async function createPasskeys(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('user_passkey')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('user_id', text(dialect), (column) => column.notNull().references('user_account.id'))
    .addColumn('name', text(dialect))
    .addColumn('public_key', text(dialect), (column) => column.notNull())
    .addColumn('credential_id', text(dialect), (column) => column.notNull())
    .addColumn('counter', integer(dialect), (column) => column.notNull())
    .addColumn('device_type', text(dialect), (column) => column.notNull())
    .addColumn('backed_up', integer(dialect), (column) => column.notNull())
    .addColumn('transports', text(dialect))
    .addColumn('aaguid', text(dialect))
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('user_passkey_by_credential')
    .unique()
    .on('user_passkey')
    .column('credential_id')
    .execute()
  await db.schema.createIndex('user_passkey_by_user').on('user_passkey').column('user_id').execute()
  await db.schema
    .createTable('user_verification')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('identifier', text(dialect), (column) => column.notNull())
    .addColumn('value', text(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('updated_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('user_verification_by_identifier')
    .on('user_verification')
    .column('identifier')
    .execute()
  await db.schema
    .createIndex('user_verification_by_expiry')
    .on('user_verification')
    .column('expires_at')
    .execute()
}

async function createSessions(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('user_session')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('user_id', text(dialect), (column) => column.notNull().references('user_account.id'))
    .addColumn('token_hmac', text(dialect), (column) => column.notNull())
    .addColumn('kind', text(dialect), (column) => column.notNull())
    .addColumn('method', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('updated_at', integer(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect), (column) => column.notNull())
    .addColumn('confirmed_at', integer(dialect))
    .addColumn('ip_address', text(dialect))
    .addColumn('user_agent', text(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('user_session_by_token')
    .unique()
    .on('user_session')
    .column('token_hmac')
    .execute()
  await db.schema
    .createIndex('user_session_by_user')
    .on('user_session')
    .columns(['user_id', 'created_at', 'id'])
    .execute()
  await db.schema.createIndex('user_session_by_expiry').on('user_session').column('expires_at').execute()
}

async function createDeviceCodes(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('device_code')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('device_code', text(dialect), (column) => column.notNull())
    .addColumn('user_code', text(dialect), (column) => column.notNull())
    .addColumn('user_id', text(dialect))
    .addColumn('status', text(dialect), (column) => column.notNull())
    .addColumn('client_id', text(dialect))
    .addColumn('scope', text(dialect))
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect), (column) => column.notNull())
    .addColumn('last_polled_at', integer(dialect))
    .addColumn('polling_interval', integer(dialect))
    .addColumn('confirmed_at', integer(dialect))
    .addColumn('ip_address', text(dialect))
    .addColumn('user_agent', text(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('device_code_by_device_code')
    .unique()
    .on('device_code')
    .column('device_code')
    .execute()
  await db.schema
    .createIndex('device_code_by_user_code')
    .unique()
    .on('device_code')
    .column('user_code')
    .execute()
  await db.schema.createIndex('device_code_by_expiry').on('device_code').column('expires_at').execute()
}

async function createPersonalTokens(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('personal_token')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('user_id', text(dialect), (column) => column.notNull().references('user_account.id'))
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('pepper_version', integer(dialect), (column) => column.notNull())
    .addColumn('secret_hmac', bytes(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect))
    .addColumn('last_used_at', integer(dialect))
    .addColumn('revoked_at', integer(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('personal_token_by_user')
    .on('personal_token')
    .columns(['user_id', 'created_at', 'id'])
    .execute()
}

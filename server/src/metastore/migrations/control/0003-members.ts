import { type Kysely, sql } from 'kysely'
import { bytes, clusteredTableOptions, type Dialect, integer, text } from '../column-types.ts'

/** Members and invitations, keys of a member's own, warnings before expiry, and namespaces that come free again. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createMembers(db, dialect)
  await createInvitations(db, dialect)
  await extendKeys(db, dialect)
  await extendProjects(db, dialect)
}

async function createMembers(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  // The namespace never changes. Here it makes the list of a person's projects one range of an index.
  await db.schema
    .createTable('project_member')
    .addColumn('project_id', text(dialect), (column) => column.notNull().references('project.id'))
    .addColumn('user_id', text(dialect), (column) => column.notNull())
    .addColumn('namespace', text(dialect), (column) => column.notNull())
    .addColumn('role', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('project_member_pk', ['project_id', 'user_id'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('project_member_by_user')
    .unique()
    .on('project_member')
    .columns(['user_id', 'namespace'])
    .execute()
  await db.schema
    .createIndex('project_member_by_age')
    .on('project_member')
    .columns(['project_id', 'created_at', 'user_id'])
    .execute()
}

async function createInvitations(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('invitation')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.references('project.id'))
    .addColumn('email', text(dialect), (column) => column.notNull())
    .addColumn('role', text(dialect))
    .addColumn('is_operator', integer(dialect), (column) => column.notNull())
    .addColumn('token_hmac', bytes(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('created_by', text(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect), (column) => column.notNull())
    .addColumn('accepted_at', integer(dialect))
    .addColumn('accepted_by', text(dialect))
    .addColumn('revoked_at', integer(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('invitation_by_token')
    .unique()
    .on('invitation')
    .columns(['token_hmac'])
    .execute()
  await db.schema
    .createIndex('invitation_by_project')
    .on('invitation')
    .columns(['project_id', 'created_at', 'id'])
    .execute()
}

async function extendKeys(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema.alterTable('api_key').addColumn('user_id', text(dialect)).execute()
  for (const flag of ['expiry_warned', 'expiry_noted']) {
    await db.schema
      .alterTable('api_key')
      .addColumn(flag, integer(dialect), (column) => column.notNull().defaultTo(0))
      .execute()
  }
  await sql`create index api_key_by_user on api_key (user_id, project_id) where user_id is not null`.execute(
    db,
  )
  await sql`create index api_key_by_expiry on api_key (expires_at)
    where expires_at is not null and expiry_noted = 0`.execute(db)
}

async function extendProjects(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .alterTable('project')
    .addColumn('was_public', integer(dialect), (column) => column.notNull().defaultTo(0))
    .execute()
  // Projects that were deleted before this were told that their namespace is kept for ever.
  await sql`update project set was_public = 1
    where public_repositories <> '[]' or deleted_at is not null`.execute(db)
}

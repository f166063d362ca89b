import { type Kysely, sql } from 'kysely'
import {
  bytes,
  clusteredTableOptions,
  type Dialect,
  generatedId,
  integer,
  tableOptions,
  text,
} from '../column-types.ts'
import { createHealthCheckTable } from '../health-check-table.ts'

/** The tables of `control-schema.ts`. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createHealthCheckTable(db, dialect)
  await createPlaces(db, dialect)
  await createProjects(db, dialect)
  await createKeys(db, dialect)
  await createAccessFeed(db, dialect)
  await createAudit(db, dialect)
}

async function createPlaces(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('installation')
    .addColumn('name', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('value', text(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createTable('region')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('host', text(dialect), (column) => column.notNull())
    .addColumn('position', integer(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
}

async function createProjects(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('project')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('namespace', text(dialect), (column) => column.notNull())
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('quota_bytes', integer(dialect))
    .addColumn('public_repositories', text(dialect), (column) => column.notNull())
    .addColumn('allow_sparse_indexes', integer(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('deleted_at', integer(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  // Deleted projects keep their row, so a namespace is never given to somebody else.
  await db.schema.createIndex('project_by_namespace').unique().on('project').columns(['namespace']).execute()
  await db.schema
    .createTable('registry')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull().references('project.id'))
    .addColumn('provider', text(dialect), (column) => column.notNull())
    .addColumn('region_id', text(dialect))
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('host', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema.createIndex('registry_by_project').on('registry').columns(['project_id', 'id']).execute()
  await sql`create unique index registry_managed_by_region on registry (project_id, region_id)
    where provider = 'managed'`.execute(db)
}

async function createKeys(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('api_key')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull().references('project.id'))
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('pepper_version', integer(dialect), (column) => column.notNull())
    .addColumn('secret_version', integer(dialect), (column) => column.notNull())
    .addColumn('secret_hmac', bytes(dialect), (column) => column.notNull())
    .addColumn('previous_hmac', bytes(dialect))
    .addColumn('previous_expires_at', integer(dialect))
    .addColumn('actions', text(dialect), (column) => column.notNull())
    .addColumn('repositories', text(dialect), (column) => column.notNull())
    .addColumn('regions', text(dialect), (column) => column.notNull())
    .addColumn('cidrs', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('created_by', text(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect))
    .addColumn('revoked_at', integer(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema.createIndex('api_key_by_project').on('api_key').columns(['project_id', 'id']).execute()
}

async function createAccessFeed(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('access_counter')
    .addColumn('id', integer(dialect), (column) => column.primaryKey().notNull())
    .addColumn('seq', integer(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await sql`insert into access_counter (id, seq) values (1, 0)`.execute(db)
  await db.schema
    .createTable('access_change')
    .addColumn('seq', integer(dialect), (column) => column.primaryKey().notNull())
    .addColumn('kind', text(dialect), (column) => column.notNull())
    .addColumn('entity_id', text(dialect), (column) => column.notNull())
    .addColumn('at', integer(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
}

async function createAudit(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  // No foreign key: the audit outlives whatever it tells about.
  await db.schema
    .createTable('audit_event')
    .addColumn('id', generatedId(dialect), (column) => column.notNull())
    .addColumn('project_id', text(dialect))
    .addColumn('at', integer(dialect), (column) => column.notNull())
    .addColumn('actor', text(dialect), (column) => column.notNull())
    .addColumn('action', text(dialect), (column) => column.notNull())
    .addColumn('target', text(dialect), (column) => column.notNull())
    .addColumn('detail', text(dialect), (column) => column.notNull())
    .addColumn('request_id', text(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('audit_event_by_project')
    .on('audit_event')
    .columns(['project_id', 'id'])
    .execute()
}

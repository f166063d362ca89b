import { type Kysely, sql } from 'kysely'
import { clusteredTableOptions, type Dialect, integer, tableOptions, text } from '../column-types.ts'

/** Webhooks, their deliveries, and who delivers. The tables of `webhook-tables.ts`. */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createWebhooks(db, dialect)
  await createDeliveries(db, dialect)
  await db.schema
    .createTable('webhook_cursor')
    .addColumn('source', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('position', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createTable('job_lease')
    .addColumn('name', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('owner', text(dialect), (column) => column.notNull())
    .addColumn('until', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
}

async function createWebhooks(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('webhook')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull().references('project.id'))
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('url', text(dialect), (column) => column.notNull())
    .addColumn('events', text(dialect), (column) => column.notNull())
    .addColumn('disabled_at', integer(dialect))
    .addColumn('disabled_reason', text(dialect))
    .addColumn('failing_since', integer(dialect))
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('created_by', text(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema.createIndex('webhook_by_project').on('webhook').columns(['project_id', 'id']).execute()
  await db.schema
    .createTable('webhook_secret')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('webhook_id', text(dialect), (column) => column.notNull().references('webhook.id'))
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('sealed', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect))
    .modifyEnd(tableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('webhook_secret_by_webhook')
    .on('webhook_secret')
    .columns(['webhook_id'])
    .execute()
}

async function createDeliveries(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('webhook_delivery')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('webhook_id', text(dialect), (column) => column.notNull().references('webhook.id'))
    .addColumn('event_id', text(dialect), (column) => column.notNull())
    .addColumn('event_type', text(dialect), (column) => column.notNull())
    .addColumn('body', text(dialect), (column) => column.notNull())
    .addColumn('state', text(dialect), (column) => column.notNull())
    .addColumn('attempts', integer(dialect), (column) => column.notNull())
    .addColumn('tries', integer(dialect), (column) => column.notNull())
    .addColumn('due_at', integer(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('finished_at', integer(dialect))
    .modifyEnd(tableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('webhook_delivery_by_event')
    .unique()
    .on('webhook_delivery')
    .columns(['webhook_id', 'event_id'])
    .execute()
  await db.schema
    .createIndex('webhook_delivery_by_time')
    .on('webhook_delivery')
    .columns(['webhook_id', 'created_at', 'id'])
    .execute()
  await sql`create index webhook_delivery_waiting on webhook_delivery (webhook_id, due_at)
    where state = 'waiting'`.execute(db)
  await db.schema
    .createTable('webhook_attempt')
    .addColumn('delivery_id', text(dialect), (column) => column.notNull())
    .addColumn('number', integer(dialect), (column) => column.notNull())
    .addColumn('at', integer(dialect), (column) => column.notNull())
    .addColumn('duration_ms', integer(dialect), (column) => column.notNull())
    .addColumn('status', integer(dialect))
    .addColumn('error', text(dialect))
    .addColumn('response', text(dialect))
    .addPrimaryKeyConstraint('webhook_attempt_key', ['delivery_id', 'number'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
}

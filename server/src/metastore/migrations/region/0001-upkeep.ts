import type { Kysely } from 'kysely'
import {
  clusteredTableOptions,
  type Dialect,
  generatedId,
  integer,
  tableOptions,
  text,
} from '../column-types.ts'

/** Usage, garbage collection and audit. No foreign keys: these records outlive what they tell about. */
export async function createUpkeepTables(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('project_usage')
    .addColumn('project_id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('used_bytes', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await createGarbageCollection(db, dialect)
  await db.schema
    .createTable('audit_event')
    .addColumn('id', generatedId(dialect), (column) => column.notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
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

async function createGarbageCollection(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('gc_task')
    .addColumn('id', generatedId(dialect), (column) => column.notNull())
    .addColumn('kind', text(dialect), (column) => column.notNull())
    .addColumn('target', text(dialect), (column) => column.notNull().unique())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('repository_id', integer(dialect))
    .addColumn('digest', text(dialect))
    .addColumn('blob_id', integer(dialect))
    .addColumn('due_at', integer(dialect), (column) => column.notNull())
    .addColumn('reason', text(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await db.schema.createIndex('gc_task_by_due').on('gc_task').columns(['due_at', 'id']).execute()
  await db.schema
    .createTable('gc_run')
    .addColumn('id', generatedId(dialect), (column) => column.notNull())
    .addColumn('owner', text(dialect), (column) => column.notNull())
    .addColumn('started_at', integer(dialect), (column) => column.notNull())
    .addColumn('seen_at', integer(dialect), (column) => column.notNull())
    .addColumn('finished_at', integer(dialect))
    .addColumn('examined', integer(dialect), (column) => column.notNull())
    .addColumn('trashed_blobs', integer(dialect), (column) => column.notNull())
    .addColumn('trashed_bytes', integer(dialect), (column) => column.notNull())
    .addColumn('purged_blobs', integer(dialect), (column) => column.notNull())
    .addColumn('purged_bytes', integer(dialect), (column) => column.notNull())
    .addColumn('purged_manifests', integer(dialect), (column) => column.notNull())
    .addColumn('outcome', text(dialect), (column) => column.notNull())
    .addColumn('detail', text(dialect))
    .modifyEnd(tableOptions(dialect))
    .execute()
}

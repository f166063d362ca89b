import { type Kysely, sql } from 'kysely'
import { clusteredTableOptions, type Dialect, integer, text } from '../column-types.ts'

/**
 * Housekeeping of images: the copy of a project's rules, what is in use, when something was last pulled, and the bytes
 * of the trash. What is noted of a manifest or blob is in small tables of its own: a change there does not rewrite the
 * row with its content, and pulls and pushes that change nothing of it do not pay.
 */
export async function up(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .alterTable('access_project')
    .addColumn('immutable_tags', text(dialect), (column) => column.notNull().defaultTo('[]'))
    .execute()
  await db.schema.alterTable('access_project').addColumn('retention', text(dialect)).execute()
  await createNotes(db, dialect)
  await createTrash(db, dialect)
  await db.schema
    .createTable('retention_run')
    .addColumn('project_id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('owner', text(dialect), (column) => column.notNull())
    .addColumn('started_at', integer(dialect), (column) => column.notNull())
    .addColumn('seen_at', integer(dialect), (column) => column.notNull())
    .addColumn('finished_at', integer(dialect))
    .addColumn('outcome', text(dialect), (column) => column.notNull())
    .addColumn('removed_tags', integer(dialect), (column) => column.notNull())
    .addColumn('removed_manifests', integer(dialect), (column) => column.notNull())
    .addColumn('detail', text(dialect))
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
}

async function createNotes(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('image_hold')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull())
    .addColumn('digest', text(dialect), (column) => column.notNull())
    .addColumn('reason', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('image_hold_key', ['repository_id', 'digest', 'reason'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createTable('last_pull')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull())
    .addColumn('reference', text(dialect), (column) => column.notNull())
    .addColumn('pulled_at', integer(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('last_pull_key', ['repository_id', 'reference'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createTable('untagged_manifest')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull())
    .addColumn('digest', text(dialect), (column) => column.notNull())
    .addColumn('since', integer(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('untagged_manifest_key', ['repository_id', 'digest'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
}

async function createTrash(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('trashed_tag')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull())
    .addColumn('digest', text(dialect), (column) => column.notNull())
    .addColumn('tag', text(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('trashed_tag_key', ['repository_id', 'digest', 'tag'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createTable('idle_blob')
    .addColumn('blob_id', integer(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('since', integer(dialect), (column) => column.notNull())
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await sql`create index manifest_in_trash on manifest (repository_id, digest) where deleted_at is not null`.execute(
    db,
  )
  await sql`create index gc_task_of_trash on gc_task (project_id, kind, due_at)
    where kind = 'purge_blob' or kind = 'purge_manifest'`.execute(db)
  await db.schema
    .alterTable('project_usage')
    .addColumn('trashed_bytes', integer(dialect), (column) => column.notNull().defaultTo(0))
    .execute()
  await sql`update project_usage set trashed_bytes =
    coalesce((select sum(size_bytes) from blob
      where blob.project_id = project_usage.project_id and blob.state = 'trashed'), 0)
    + coalesce((select sum(manifest.size_bytes) from repository
      join manifest on manifest.repository_id = repository.id and manifest.deleted_at is not null
      where repository.project_id = project_usage.project_id), 0)`.execute(db)
}

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

/*
 * What exists: repositories, blobs, manifests and tags. Wide columns come last in their tables, so that SQLite reads
 * the others without following the overflow pages.
 *
 * Foreign keys stand guard where removing too much would break a visible tag: a membership keeps its blob, a tag and
 * an edge keep their manifest, and all keep their repository. Each costs one look-up in an index that the same
 * transaction reads anyway. What is only a record (history, usage, queue, audit) has none.
 */
export async function createContentTables(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await createRepositories(db, dialect)
  await createBlobs(db, dialect)
  await createManifests(db, dialect)
  await createTags(db, dialect)
}

async function createRepositories(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('repository')
    .addColumn('id', generatedId(dialect), (column) => column.notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('path', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .modifyEnd(tableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('repository_by_path')
    .unique()
    .on('repository')
    .columns(['project_id', 'path'])
    .execute()
}

async function createBlobs(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('blob')
    .addColumn('id', generatedId(dialect), (column) => column.notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('digest', text(dialect), (column) => column.notNull())
    .addColumn('size_bytes', integer(dialect), (column) => column.notNull())
    .addColumn('storage_key', text(dialect))
    .addColumn('state', text(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('trashed_at', integer(dialect))
    .addColumn('purge_at', integer(dialect))
    .addColumn('content', bytes(dialect))
    .addCheckConstraint('blob_content_is_in_one_place', sql`(storage_key is null) <> (content is null)`)
    .modifyEnd(tableOptions(dialect))
    .execute()
  await sql`create unique index blob_live on blob (project_id, digest) where state = 'live'`.execute(db)
  await db.schema.createIndex('blob_by_digest').on('blob').columns(['project_id', 'digest']).execute()
  await db.schema.createIndex('blob_by_purge').on('blob').columns(['state', 'purge_at']).execute()
  await sql`create unique index blob_by_storage_key on blob (storage_key) where storage_key is not null`.execute(
    db,
  )
  await db.schema
    .createTable('repository_blob')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull().references('repository.id'))
    .addColumn('digest', text(dialect), (column) => column.notNull())
    .addColumn('blob_id', integer(dialect), (column) => column.notNull().references('blob.id'))
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('leased_until', integer(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('repository_blob_key', ['repository_id', 'digest'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema.createIndex('repository_blob_by_blob').on('repository_blob').columns(['blob_id']).execute()
}

async function createManifests(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('manifest')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull().references('repository.id'))
    .addColumn('digest', text(dialect), (column) => column.notNull())
    .addColumn('media_type', text(dialect), (column) => column.notNull())
    .addColumn('kind', text(dialect), (column) => column.notNull())
    .addColumn('artifact_type', text(dialect))
    .addColumn('subject_digest', text(dialect))
    .addColumn('size_bytes', integer(dialect), (column) => column.notNull())
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('deleted_at', integer(dialect))
    .addColumn('purge_at', integer(dialect))
    .addColumn('annotations', text(dialect))
    .addColumn('content', bytes(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('manifest_key', ['repository_id', 'digest'])
    .modifyEnd(tableOptions(dialect))
    .execute()
  await sql`create index manifest_by_subject on manifest (repository_id, subject_digest, digest)
    where subject_digest is not null and deleted_at is null`.execute(db)
  await db.schema
    .createTable('manifest_reference')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull())
    .addColumn('manifest_digest', text(dialect), (column) => column.notNull())
    .addColumn('target_digest', text(dialect), (column) => column.notNull())
    .addColumn('target_kind', text(dialect), (column) => column.notNull())
    // An index may list blobs beside manifests, so the kind of the target belongs to the key.
    .addPrimaryKeyConstraint('manifest_reference_key', [
      'repository_id',
      'manifest_digest',
      'target_digest',
      'target_kind',
    ])
    .addForeignKeyConstraint('manifest_reference_source', ['repository_id', 'manifest_digest'], 'manifest', [
      'repository_id',
      'digest',
    ])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema
    .createIndex('manifest_reference_by_target')
    .on('manifest_reference')
    .columns(['repository_id', 'target_digest'])
    .execute()
}

async function createTags(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('tag')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull())
    .addColumn('name', text(dialect), (column) => column.notNull())
    .addColumn('digest', text(dialect), (column) => column.notNull())
    .addColumn('version', integer(dialect), (column) => column.notNull())
    .addColumn('updated_at', integer(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('tag_key', ['repository_id', 'name'])
    .addForeignKeyConstraint('tag_manifest', ['repository_id', 'digest'], 'manifest', [
      'repository_id',
      'digest',
    ])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
  await db.schema.createIndex('tag_by_digest').on('tag').columns(['repository_id', 'digest']).execute()
  await db.schema
    .createTable('tag_history')
    .addColumn('repository_id', integer(dialect), (column) => column.notNull().references('repository.id'))
    .addColumn('tag', text(dialect), (column) => column.notNull())
    .addColumn('version', integer(dialect), (column) => column.notNull())
    .addColumn('digest', text(dialect))
    .addColumn('at', integer(dialect), (column) => column.notNull())
    .addColumn('actor', text(dialect), (column) => column.notNull())
    .addPrimaryKeyConstraint('tag_history_key', ['repository_id', 'tag', 'version'])
    .modifyEnd(clusteredTableOptions(dialect))
    .execute()
}

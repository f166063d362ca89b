import type { Kysely } from 'kysely'
import { bytes, type Dialect, integer, tableOptions, text } from './column-types.ts'

/**
 * The table of upload sessions: part of the region's schema on PostgreSQL, in a file of its own on SQLite, where its
 * commits need no fsync. Stored column order puts the wide column last.
 */
export async function createUploadSessionTable(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  await db.schema
    .createTable('upload_session')
    .addColumn('id', text(dialect), (column) => column.primaryKey().notNull())
    .addColumn('project_id', text(dialect), (column) => column.notNull())
    .addColumn('repository_path', text(dialect), (column) => column.notNull())
    .addColumn('credential_id', text(dialect), (column) => column.notNull())
    .addColumn('algorithm', text(dialect), (column) => column.notNull())
    .addColumn('offset_bytes', integer(dialect), (column) => column.notNull())
    .addColumn('digest_so_far', text(dialect))
    .addColumn('reserved_bytes', integer(dialect), (column) => column.notNull())
    .addColumn('claimed_by', text(dialect))
    .addColumn('claimed_until', integer(dialect))
    .addColumn('created_at', integer(dialect), (column) => column.notNull())
    .addColumn('expires_at', integer(dialect), (column) => column.notNull())
    .addColumn('storage_state', text(dialect))
    .addColumn('pending', bytes(dialect))
    .modifyEnd(tableOptions(dialect))
    .execute()
  // The reservation is in the index so that a project's sum is read from the index alone.
  await db.schema
    .createIndex('upload_session_by_project')
    .on('upload_session')
    .columns(['project_id', 'id', 'reserved_bytes'])
    .execute()
  await db.schema
    .createIndex('upload_session_by_credential')
    .on('upload_session')
    .columns(['credential_id', 'id'])
    .execute()
  await db.schema
    .createIndex('upload_session_by_expiry')
    .on('upload_session')
    .columns(['expires_at'])
    .execute()
}

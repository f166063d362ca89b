import type { Kysely } from 'kysely'
import type { AccessChangeRow, ApiKeyRow, ControlSchema, ProjectRow } from '../control-schema.ts'

/** Notified after a change of the access rules was committed or applied. A hint, as in `Database.subscribe`. */
export const ACCESS_FEED_CHANNEL = 'access_feed'

const COUNTER_ID = 1

/**
 * Tells all regions that a project's or key's rules changed. Part of the transaction of the change itself: the
 * counter's row is locked until it commits, so sequence order is commit order, and whoever has read a number has
 * read all below it. Returns the number to wait for.
 */
export async function publishAccessChange(
  tx: Kysely<ControlSchema>,
  kind: AccessChangeRow['kind'],
  entityId: string,
  nowMs: number,
): Promise<number> {
  const { seq } = await tx
    .updateTable('access_counter')
    .set((expression) => ({ seq: expression('seq', '+', 1) }))
    .where('id', '=', COUNTER_ID)
    .returning('seq')
    .executeTakeFirstOrThrow()
  await tx.insertInto('access_change').values({ seq, kind, entity_id: entityId, at: nowMs }).execute()
  return seq
}

/** Changes after `seq` in commit order. */
export async function listAccessChanges(
  reader: Kysely<ControlSchema>,
  afterSeq: number,
  limit: number,
): Promise<AccessChangeRow[]> {
  return reader
    .selectFrom('access_change')
    .selectAll()
    .where('seq', '>', afterSeq)
    .orderBy('seq')
    .limit(limit)
    .execute()
}

/** The number of the last change. */
export async function loadLatestAccessSeq(reader: Kysely<ControlSchema>): Promise<number> {
  const { seq } = await reader
    .selectFrom('access_counter')
    .select('seq')
    .where('id', '=', COUNTER_ID)
    .executeTakeFirstOrThrow()
  return seq
}

/** A project as it is now, deleted or not. */
export async function loadProjectForFeed(
  reader: Kysely<ControlSchema>,
  id: string,
): Promise<ProjectRow | null> {
  return (await reader.selectFrom('project').selectAll().where('id', '=', id).executeTakeFirst()) ?? null
}

/** An API key as it is now, revoked or not. */
export async function loadApiKeyForFeed(
  reader: Kysely<ControlSchema>,
  id: string,
): Promise<ApiKeyRow | null> {
  return (await reader.selectFrom('api_key').selectAll().where('id', '=', id).executeTakeFirst()) ?? null
}

import type { Kysely } from 'kysely'
import type { AccessChangeRow, ApiKeyRow, ControlSchema, ProjectRow } from '../control-schema.ts'
import { defineCommand } from '../database.ts'

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

export interface CompactionStep {
  /** Rows up to this number were looked at; null: there are no more. */
  readonly seq: number | null
  readonly removed: number
}

/**
 * Removes changes that a later change of the same thing makes superfluous: a follower reads what the thing is like now,
 * so the last change of each is enough, for one that is far behind as for one that begins at the beginning. The last
 * change of all is always the last of its thing, so the feed never has a gap at its end. What was written after
 * `writtenBefore` stays: replicas of today drop what they remember by these rows.
 */
export const compactAccessFeed = defineCommand<
  ControlSchema,
  { readonly afterSeq: number; readonly writtenBefore: number; readonly limit: number },
  CompactionStep
>('access_feed.compact', async (tx, { afterSeq, writtenBefore, limit }) => {
  const rows = await tx
    .selectFrom('access_change')
    .select('seq')
    .where('seq', '>', afterSeq)
    .where('at', '<', writtenBefore)
    .orderBy('seq')
    .limit(limit)
    .execute()
  const last = rows.at(-1)
  if (last === undefined) return { seq: null, removed: 0 }
  const { numDeletedRows } = await tx
    .deleteFrom('access_change')
    .where('seq', '>', afterSeq)
    .where('seq', '<=', last.seq)
    .where('at', '<', writtenBefore)
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom('access_change as later')
          .select('later.seq')
          .whereRef('later.kind', '=', 'access_change.kind')
          .whereRef('later.entity_id', '=', 'access_change.entity_id')
          .whereRef('later.seq', '>', 'access_change.seq'),
      ),
    )
    .executeTakeFirst()
  return { seq: last.seq, removed: Number(numDeletedRows) }
})

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

export const accessFeedCommands = [compactAccessFeed]

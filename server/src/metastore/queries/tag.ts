import { type Kysely, sql } from 'kysely'
import { defineCommand, Rollback } from '../database.ts'
import type { RegionSchema, TagHistoryRow, TagRow } from '../region-schema.ts'
import { type ImmutablePatterns, isImmutable } from './immutable-tag.ts'
import { prepareQuery } from './prepared-query.ts'
import { insertRegionAudit } from './region-audit.ts'
import { loadRepositoryId, lockRepositoryAt } from './repository.ts'
import { mayStillWrite, type WriteContext } from './write-context.ts'

interface TagKey {
  readonly repositoryId: number
  readonly tag: string
}

const insertHistory = prepareQuery<
  RegionSchema,
  TagKey & { digest: string | null; nowMs: number; actor: string }
>()((db, p) => ({
  compile: () =>
    sql<{ version: number }>`
      insert into tag_history (repository_id, tag, version, digest, at, actor)
      values (${p('repositoryId')}, ${p('tag')}, 1 + coalesce((
          select version from tag_history
          where repository_id = ${p('repositoryId')} and tag = ${p('tag')} order by version desc limit 1
        ), 0), ${p('digest')}, ${p('nowMs')}, ${p('actor')})
      returning version`.compile(db),
}))

const upsertTag = prepareQuery<RegionSchema, TagKey & { digest: string; version: number; nowMs: number }>()(
  (db, p) =>
    db
      .insertInto('tag')
      .values({
        repository_id: p('repositoryId'),
        name: p('tag'),
        digest: p('digest'),
        version: p('version'),
        updated_at: p('nowMs'),
      })
      .onConflict((conflict) =>
        conflict.columns(['repository_id', 'name']).doUpdateSet((eb) => ({
          digest: eb.ref('excluded.digest'),
          version: eb.ref('excluded.version'),
          updated_at: eb.ref('excluded.updated_at'),
        })),
      ),
)

const noteUntagged = prepareQuery<RegionSchema, TagKey & { digest: string; nowMs: number }>()((db, p) => ({
  compile: () =>
    sql`
      insert into untagged_manifest (repository_id, digest, since)
      select repository_id, digest, cast(${p('nowMs')} as bigint) from tag
      where repository_id = ${p('repositoryId')} and name = ${p('tag')} and digest <> ${p('digest')}
      on conflict (repository_id, digest) do update set since = excluded.since`.compile(db),
}))

/**
 * Points a tag at a manifest of the repository and records it, inside a command that holds the repository's lock.
 * Every acknowledged push makes a version, also one that changes nothing: so the history tells of each of them, and
 * versions have no gaps, not even over a deletion.
 */
export async function writeTag(
  tx: Kysely<RegionSchema>,
  tag: TagKey & { digest: string; nowMs: number; actor: string },
): Promise<number> {
  const inserted = await insertHistory.first(tx, tag)
  if (inserted === undefined) throw new Error('a tag version was not written')
  await noteUntagged.run(tx, tag)
  await upsertTag.run(tx, { ...tag, version: inserted.version })
  return inserted.version
}

/**
 * Removes every tag that points at the manifests (of one repository, on their way to the trash), each with its history
 * row, and notes them for an undelete. Answers the tags' names.
 */
export async function removeTagsOf(
  tx: Kysely<RegionSchema>,
  target: { repositoryId: number; digests: readonly string[] | 'all'; nowMs: number; actor: string },
): Promise<string[]> {
  const { repositoryId, digests, nowMs, actor } = target
  const which = sql`repository_id = ${repositoryId} and ${
    digests === 'all' ? sql`1 = 1` : sql`digest in (${sql.join([...digests])})`
  }`
  await sql`
    insert into tag_history (repository_id, tag, version, digest, at, actor)
    select repository_id, name, version + 1, null, cast(${nowMs} as bigint), cast(${actor} as text)
    from tag where ${which}`.execute(tx)
  await sql`
    insert into trashed_tag (repository_id, digest, tag)
    select repository_id, digest, name from tag where ${which} on conflict do nothing`.execute(tx)
  await sql`
    delete from last_pull where repository_id = ${repositoryId}
      and reference in (select name from tag where ${which})`.execute(tx)
  const removed = await sql<{ name: string }>`delete from tag where ${which} returning name`.execute(tx)
  return removed.rows.map((row) => row.name)
}

export type DeleteTagResult =
  /** What it pointed at, and the version that its deletion is. */
  | { readonly ok: true; readonly digest: string; readonly version: number }
  | { readonly ok: false; readonly reason: 'revoked' | 'no_repository' | 'no_tag' | 'immutable_tag' }

/** Deletes a tag, unless it is immutable. Its manifest stays. */
export const deleteTag = defineCommand(
  'tag.delete',
  async (
    tx: Kysely<RegionSchema>,
    args: WriteContext & { path: string; tag: string; immutable: ImmutablePatterns },
  ): Promise<DeleteTagResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, tag, nowMs, actor } = args
    const repositoryId = await lockRepositoryAt(tx, projectId, path)
    if (repositoryId === null) return { ok: false, reason: 'no_repository' }
    const removed = await removeTag(tx, { repositoryId, tag, nowMs, actor })
    if (removed === null) return { ok: false, reason: 'no_tag' }
    if (isImmutable(args.immutable, tag)) throw new Rollback({ ok: false, reason: 'immutable_tag' })
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'tag.delete',
      target: `${path}:${tag}`,
      detail: { digest: removed.digest },
      requestId: args.requestId,
    })
    return { ok: true, ...removed }
  },
)

/** Removes one tag, inside a command that holds the repository's lock. Null: there is no such tag. */
export async function removeTag(
  tx: Kysely<RegionSchema>,
  target: TagKey & { nowMs: number; actor: string },
): Promise<{ digest: string; version: number } | null> {
  const { repositoryId, tag } = target
  const removed = await tx
    .deleteFrom('tag')
    .where('repository_id', '=', repositoryId)
    .where('name', '=', tag)
    .returning('digest')
    .executeTakeFirst()
  if (removed === undefined) return null
  const history = await insertHistory.first(tx, { ...target, digest: null })
  if (history === undefined) throw new Error('a tag version was not written')
  await tx
    .insertInto('untagged_manifest')
    .values({ repository_id: repositoryId, digest: removed.digest, since: target.nowMs })
    .onConflict((conflict) =>
      conflict.columns(['repository_id', 'digest']).doUpdateSet({ since: target.nowMs }),
    )
    .execute()
  await tx
    .deleteFrom('last_pull')
    .where('repository_id', '=', repositoryId)
    .where('reference', '=', tag)
    .execute()
  return { digest: removed.digest, version: history.version }
}

const selectTagNames = prepareQuery<
  RegionSchema,
  { projectId: string; path: string; after: string; limit: number }
>()((db, p) =>
  db
    .selectFrom('repository')
    .leftJoin('tag', (join) =>
      join.onRef('tag.repository_id', '=', 'repository.id').on('tag.name', '>', p('after')),
    )
    .select('tag.name')
    .where('repository.project_id', '=', p('projectId'))
    .where('repository.path', '=', p('path'))
    .orderBy('tag.name')
    .limit(p('limit')),
)

/**
 * Names of a repository's tags in byte order after `after`, at most `limit`; null when there is no such repository.
 * A range of the primary key: the cost is that of the page, not of the repository.
 */
export async function listTagNames(
  db: Kysely<RegionSchema>,
  page: { projectId: string; path: string; after: string | null; limit: number },
): Promise<string[] | null> {
  const rows = await selectTagNames.all(db, { ...page, after: page.after ?? '' })
  if (rows.length === 0) {
    return (await loadRepositoryId(db, page.projectId, page.path)) === null ? null : []
  }
  return rows.flatMap((row) => row.name ?? [])
}

/** Tags of a repository in byte order of their names, after `after`, at most `limit`. */
export async function listTags(
  db: Kysely<RegionSchema>,
  page: { repositoryId: number; after: string | null; limit: number },
): Promise<TagRow[]> {
  return db
    .selectFrom('tag')
    .selectAll()
    .where('repository_id', '=', page.repositoryId)
    .where('name', '>', page.after ?? '')
    .orderBy('name')
    .limit(page.limit)
    .execute()
}

/** A tag's versions, newest first, below `beforeVersion` when given, at most `limit`. */
export async function listTagHistory(
  db: Kysely<RegionSchema>,
  page: { repositoryId: number; tag: string; beforeVersion: number | null; limit: number },
): Promise<TagHistoryRow[]> {
  return db
    .selectFrom('tag_history')
    .selectAll()
    .where('repository_id', '=', page.repositoryId)
    .where('tag', '=', page.tag)
    .$if(page.beforeVersion !== null, (query) => query.where('version', '<', page.beforeVersion ?? 0))
    .orderBy('version', 'desc')
    .limit(page.limit)
    .execute()
}

export const tagCommands = [deleteTag]

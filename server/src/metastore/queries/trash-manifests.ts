import { type Kysely, sql } from 'kysely'
import { attachedTagPrefix, subjectOfAttachedTag } from '../attached-tag.ts'
import type { RegionSchema } from '../region-schema.ts'
import { setBlobsIdle } from './idle-blob.ts'
import { loadHold } from './image-hold.ts'
import { removeTagsOf } from './tag.ts'
import { changeUsage } from './usage.ts'

/** Manifests that go to the trash together, all of one repository whose lock is held. */
export interface TrashTarget {
  readonly projectId: string
  readonly repositoryId: number
  readonly digests: readonly string[] | 'all'
  readonly nowMs: number
  readonly purgeAt: number
  readonly actor: string
}

/**
 * Puts live manifests into the trash: their tags go, their edges stay until the purge, so that what they refer to is
 * still there when they are undeleted. Gives back the quota of what nothing live needs any more. Statements work on
 * sets: ten thousand manifests are one transaction. Checks nothing and writes no audit event.
 */
export async function trashManifests(
  tx: Kysely<RegionSchema>,
  target: TrashTarget,
): Promise<{ tags: string[]; count: number }> {
  const { projectId, repositoryId, digests, nowMs, purgeAt } = target
  if (digests.length === 0) return { tags: [], count: 0 }
  const tags = await removeTagsOf(tx, target)
  const which = sql`repository_id = ${repositoryId} and deleted_at is null and ${
    digests === 'all' ? sql`1 = 1` : sql`digest in (${sql.join([...digests])})`
  }`
  // The queue has one row for each target, named as `enqueueGcTask` names it. A row from an earlier deletion is due
  // earlier, and is put back when it is looked at.
  await sql`
    insert into gc_task (kind, target, project_id, repository_id, digest, blob_id, due_at, reason)
    select 'purge_manifest', 'purge_manifest/' || repository_id || '/' || digest, cast(${projectId} as text),
      repository_id, digest, null, cast(${purgeAt} as bigint), 'its time in the trash has ended'
    from manifest where ${which}
    on conflict (target) do nothing`.execute(tx)
  const { rows } = await sql<{ size_bytes: number }>`
    update manifest set deleted_at = ${nowMs}, purge_at = ${purgeAt} where ${which}
    returning size_bytes`.execute(tx)
  const bytes = rows.reduce((sum, row) => sum + Number(row.size_bytes), 0)
  await changeUsage(tx, projectId, { usedBytes: -bytes, trashedBytes: bytes })
  await setBlobsIdle(tx, { projectId, repositoryId, digests, nowMs })
  return { tags, count: rows.length }
}

/** Manifests that one deletion takes along, or looks at for that, at most. */
const MAX_PARTS = 1_000
/** Rows that the search for parts looks at. A deletion that would need more takes along what was found until then. */
const MAX_ROWS_LOOKED_AT = 50_000
/** Statements, or a thousand rows each, between two turns of the event loop. */
const STEPS_PER_TURN = 100
const ROWS_PER_STEP = 1_000

export interface PartsOptions {
  /** Manifests that are looked at. */
  readonly maxParts?: number
  /** Called now and then. Reads on SQLite hold the event loop up: who is no command lets it take a turn here. */
  readonly pause?: () => Promise<unknown>
}

export interface Parts {
  /** By digest, without the manifests themselves. */
  readonly digests: readonly string[]
  /** False: there may be more, which a deletion leaves, too. */
  readonly isComplete: boolean
}

/**
 * What only these manifests need: manifests that an index lists, and artifacts that refer to one of them by their
 * subject or by an attached tag, and in turn what only those need. Whatever has a tag of its own, is held, or is needed
 * by something else of the repository is not among them. The work grows with the number of relations, and is limited;
 * where it ends early, what was found is right, and another call finds the same.
 */
export async function listParts(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  roots: readonly string[],
  { maxParts = MAX_PARTS, pause }: PartsOptions = {},
): Promise<Parts> {
  const going = new Set(roots)
  /** Of each manifest that was looked at: by what it is still needed; null for what stays whatever goes. */
  const needers = new Map<string, Set<string> | null>()
  const limit = roots.length + maxParts + 1
  const maxRows = MAX_ROWS_LOOKED_AT + roots.length
  let isComplete = true
  let rows = 0
  let steps = 0
  async function account(count: number): Promise<void> {
    rows += count
    steps += 1 + count / ROWS_PER_STEP
    if (steps < STEPS_PER_TURN) return
    steps = 0
    await pause?.()
  }
  // The set grows while it is walked: each manifest that goes is looked at once.
  for (const digest of going) {
    const related = await listRelated(db, repositoryId, digest, limit)
    await account(related.length)
    if (related.length >= limit) isComplete = false
    for (const candidate of new Set(related)) {
      if (going.has(candidate)) continue
      let needs = needers.get(candidate)
      if (needs === undefined) {
        if (needers.size >= maxParts || rows > maxRows) {
          isComplete = false
          continue
        }
        needs = await loadNeeders(db, repositoryId, candidate, limit)
        await account(needs?.size ?? 1)
        for (const needer of needs ?? []) if (going.has(needer)) needs?.delete(needer)
        needers.set(candidate, needs)
      }
      needs?.delete(digest)
      if (needs?.size === 0) going.add(candidate)
    }
    if (rows > maxRows) {
      isComplete = false
      break
    }
  }
  for (const root of roots) going.delete(root)
  return { digests: [...going].sort(), isComplete }
}

/** Live manifests that a manifest lists, that name it as their subject, or that are attached to it by a tag. */
async function listRelated(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  limit: number,
): Promise<string[]> {
  const prefix = attachedTagPrefix(digest)
  // Each in an order of its own, so that a deletion finds what was announced.
  const { rows } = await sql<{ digest: string; tag: string | null }>`
    select digest, null as tag from (
      select manifest.digest from manifest_reference edge
      join manifest on manifest.repository_id = edge.repository_id and manifest.digest = edge.target_digest
        and manifest.deleted_at is null
      where edge.repository_id = ${repositoryId} and edge.manifest_digest = ${digest}
        and edge.target_kind = 'manifest'
      order by edge.target_digest limit ${limit}) as listed
    union all
    select digest, null as tag from (
      select digest from manifest
      where repository_id = ${repositoryId} and subject_digest = ${digest} and deleted_at is null
      order by digest limit ${limit}) as referrers
    union all
    select digest, name as tag from (
      select digest, name from tag
      where repository_id = ${repositoryId} and name >= ${prefix} and name < ${`${prefix}/`}
      order by name limit ${limit}) as attached`.execute(db)
  return rows
    .filter(({ tag }) => tag === null || subjectOfAttachedTag(tag) === digest)
    .map((row) => row.digest)
}

/**
 * By which manifests one is needed: those that list it, its subject, and those that its attached tags belong to. Null:
 * it is held, has a tag of its own, or is needed by more than `limit`, of which not all can go.
 */
async function loadNeeders(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  limit: number,
): Promise<Set<string> | null> {
  if ((await loadHold(db, repositoryId, digest)) !== null) return null
  const parents = await listNeeding(db, repositoryId, digest, limit)
  const tags = await listTagsOf(db, repositoryId, digest, { after: '', limit })
  if (parents.length >= limit || tags.length >= limit) return null
  const needers = new Set(parents.map(({ name }) => name))
  for (const tag of tags) {
    const subject = subjectOfAttachedTag(tag)
    if (subject === null) return null
    needers.add(subject)
  }
  return needers
}

const TAGS_PER_PAGE = 500

/** Something that keeps a manifest, for people; null when nothing does but, perhaps, these tags. */
export async function loadNeed(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  { exceptTags }: { readonly exceptTags: ReadonlySet<string> },
): Promise<string | null> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const tags: string[] = await listTagsOf(db, repositoryId, digest, { after, limit: TAGS_PER_PAGE })
    const tag = tags.find((name) => !exceptTags.has(name))
    if (tag !== undefined) return `tag ${tag}`
    after = tags.length < TAGS_PER_PAGE ? undefined : tags.at(-1)
  }
  const hold = await loadHold(db, repositoryId, digest)
  if (hold !== null) return `hold ${hold}`
  const [manifest] = await listNeeding(db, repositoryId, digest, 1)
  return manifest === undefined ? null : `manifest ${manifest.name}`
}

async function listTagsOf(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  page: { readonly after: string; readonly limit: number },
): Promise<string[]> {
  const rows = await db
    .selectFrom('tag')
    .select('name')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .where('name', '>', page.after)
    .orderBy('name')
    .limit(page.limit)
    .execute()
  return rows.map(({ name }) => name)
}

/** Live manifests that list this one, and its subject where that is live; at most `limit`. */
async function listNeeding(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  limit: number,
): Promise<{ readonly name: string }[]> {
  const { rows } = await sql<{ name: string }>`
    select edge.manifest_digest as name from manifest_reference edge
      join manifest on manifest.repository_id = edge.repository_id and manifest.digest = edge.manifest_digest
        and manifest.deleted_at is null
      where edge.repository_id = ${repositoryId} and edge.target_digest = ${digest}
        and edge.target_kind = 'manifest'
    union all
    select subject.digest as name from manifest
      join manifest subject on subject.repository_id = manifest.repository_id
        and subject.digest = manifest.subject_digest and subject.deleted_at is null
      where manifest.repository_id = ${repositoryId} and manifest.digest = ${digest}
    limit ${limit}`.execute(db)
  return rows
}

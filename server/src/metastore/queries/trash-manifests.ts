import { type Kysely, sql } from 'kysely'
import { attachedTagPrefix, subjectOfAttachedTag } from '../attached-tag.ts'
import type { RegionSchema } from '../region-schema.ts'
import { setBlobsIdle } from './idle-blob.ts'
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

/** Manifests that one deletion takes along at most. */
const MAX_PARTS = 1_000

/**
 * What only this manifest needs: manifests that an index lists, and artifacts that refer to it by their subject or by an
 * attached tag, and in turn what only those need. Whatever has a tag of its own, is held, or is needed by something
 * else of the repository is not among them. By digest, without the manifest itself.
 */
export async function listParts(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
): Promise<string[]> {
  const going = new Set([digest])
  let waiting = await listRelated(db, repositoryId, digest)
  for (let found = true; found; ) {
    found = false
    const later: string[] = []
    for (const candidate of waiting) {
      if (going.has(candidate) || going.size > MAX_PARTS) continue
      if (await isNeeded(db, repositoryId, candidate, going)) {
        // By something that may turn out to go, too.
        later.push(candidate)
        continue
      }
      going.add(candidate)
      found = true
      later.push(...(await listRelated(db, repositoryId, candidate)))
    }
    waiting = later
  }
  going.delete(digest)
  return [...going].sort()
}

/** Live manifests that a manifest lists, that name it as their subject, or that are attached to it by a tag. */
async function listRelated(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
): Promise<string[]> {
  const prefix = attachedTagPrefix(digest)
  const { rows } = await sql<{ digest: string; tag: string | null }>`
    select manifest.digest, null as tag from manifest_reference edge
      join manifest on manifest.repository_id = edge.repository_id and manifest.digest = edge.target_digest
        and manifest.deleted_at is null
      where edge.repository_id = ${repositoryId} and edge.manifest_digest = ${digest}
        and edge.target_kind = 'manifest'
    union
    select digest, null as tag from manifest
      where repository_id = ${repositoryId} and subject_digest = ${digest} and deleted_at is null
    union
    select digest, name as tag from tag
      where repository_id = ${repositoryId} and name >= ${prefix} and name < ${`${prefix}/`}`.execute(db)
  return rows
    .filter(({ tag }) => tag === null || subjectOfAttachedTag(tag) === digest)
    .map((row) => row.digest)
}

async function isNeeded(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  going: ReadonlySet<string>,
): Promise<boolean> {
  const needs = await listNeeds(db, repositoryId, digest)
  return needs.some(({ kind, name }) => {
    if (kind === 'manifest') return !going.has(name)
    const subject = kind === 'tag' ? subjectOfAttachedTag(name) : null
    return subject === null || !going.has(subject)
  })
}

/** Something that keeps a manifest, for people; null when nothing does but, perhaps, these tags. */
export async function loadNeed(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  { exceptTags }: { readonly exceptTags: ReadonlySet<string> },
): Promise<string | null> {
  const needs = await listNeeds(db, repositoryId, digest)
  const need = needs.find(({ kind, name }) => kind !== 'tag' || !exceptTags.has(name))
  return need === undefined ? null : `${need.kind} ${need.name}`
}

interface Need {
  readonly kind: 'tag' | 'hold' | 'manifest'
  readonly name: string
}

/** Needs that are looked at: one that is not the image's own is enough. */
const NEEDS_LOOKED_AT = 1_000

async function listNeeds(db: Kysely<RegionSchema>, repositoryId: number, digest: string): Promise<Need[]> {
  const { rows } = await sql<Need>`
    select 'tag' as kind, name from tag where repository_id = ${repositoryId} and digest = ${digest}
    union all
    select 'hold' as kind, reason as name from image_hold
      where repository_id = ${repositoryId} and digest = ${digest}
    union all
    select 'manifest' as kind, edge.manifest_digest as name from manifest_reference edge
      join manifest on manifest.repository_id = edge.repository_id and manifest.digest = edge.manifest_digest
        and manifest.deleted_at is null
      where edge.repository_id = ${repositoryId} and edge.target_digest = ${digest}
        and edge.target_kind = 'manifest'
    union all
    select 'manifest' as kind, subject.digest as name from manifest
      join manifest subject on subject.repository_id = manifest.repository_id
        and subject.digest = manifest.subject_digest and subject.deleted_at is null
      where manifest.repository_id = ${repositoryId} and manifest.digest = ${digest}
    limit ${NEEDS_LOOKED_AT}`.execute(db)
  return rows
}

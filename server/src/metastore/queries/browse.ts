import { type Kysely, type Selectable, sql } from 'kysely'
import type {
  BlobTable,
  ManifestTable,
  RegionSchema,
  RepositoryRow,
  TagHistoryRow,
} from '../region-schema.ts'

/*
 * What the console shows of a region. Read only. Every list goes by a key and takes at most `limit` rows; nothing here
 * is part of the data plane.
 */

// Sorts behind every text that starts with the prefix, in byte order: no name holds this character.
const AFTER_ALL = '\u{10ffff}'

export interface RepositoryPageRequest {
  readonly afterPath: string | null
  readonly prefix: string
  /** Leaves out repositories in which nothing is left but the trash. */
  readonly liveOnly: boolean
  readonly limit: number
}

/** Repositories of a project by path. */
export async function listRepositories(
  reader: Kysely<RegionSchema>,
  projectId: string,
  { afterPath, prefix, liveOnly, limit }: RepositoryPageRequest,
): Promise<RepositoryRow[]> {
  let query = reader.selectFrom('repository').selectAll().where('project_id', '=', projectId)
  if (afterPath !== null) query = query.where('path', '>', afterPath)
  if (prefix !== '') query = query.where('path', '>=', prefix).where('path', '<', prefix + AFTER_ALL)
  if (liveOnly) {
    query = query.where((where) =>
      where.exists(
        where
          .selectFrom('manifest')
          .select('manifest.digest')
          .whereRef('manifest.repository_id', '=', 'repository.id')
          .where('manifest.deleted_at', 'is', null),
      ),
    )
  }
  return query.orderBy('path').limit(limit).execute()
}

/** One repository of a project. Null: it was never pushed to in this region. */
export async function loadRepository(
  reader: Kysely<RegionSchema>,
  projectId: string,
  path: string,
): Promise<RepositoryRow | null> {
  const row = await reader
    .selectFrom('repository')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('path', '=', path)
    .executeTakeFirst()
  return row ?? null
}

export interface RepositoryCounts {
  readonly tags: number
  readonly manifests: number
  readonly trashedManifests: number
  readonly manifestBytes: number
  readonly blobBytes: number
  /** Of the newest change of a tag or arrival of a manifest. */
  readonly lastPushedAt: number | null
}

/** Counts of one repository, as of one moment. Costs one look at each of its tags, manifests and blobs. */
export async function countRepository(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
): Promise<RepositoryCounts> {
  const { rows } = await sql<Record<keyof RepositoryCounts, number | null>>`
    select
      (select count(*) from tag where repository_id = ${repositoryId}) as "tags",
      (select count(*) from manifest where repository_id = ${repositoryId} and deleted_at is null) as "manifests",
      (select count(*) from manifest where repository_id = ${repositoryId} and deleted_at is not null) as "trashedManifests",
      (select sum(size_bytes) from manifest where repository_id = ${repositoryId} and deleted_at is null) as "manifestBytes",
      (select sum(blob.size_bytes) from repository_blob join blob on blob.id = repository_blob.blob_id
        where repository_blob.repository_id = ${repositoryId}) as "blobBytes",
      (select max(created_at) from manifest where repository_id = ${repositoryId}) as "lastManifestAt",
      (select max(updated_at) from tag where repository_id = ${repositoryId}) as "lastTagAt"
  `.execute(reader)
  const row = (rows[0] ?? {}) as Record<string, number | null>
  const lastPushedAt = Math.max(Number(row['lastManifestAt'] ?? 0), Number(row['lastTagAt'] ?? 0))
  return {
    tags: Number(row['tags'] ?? 0),
    manifests: Number(row['manifests'] ?? 0),
    trashedManifests: Number(row['trashedManifests'] ?? 0),
    manifestBytes: Number(row['manifestBytes'] ?? 0),
    blobBytes: Number(row['blobBytes'] ?? 0),
    lastPushedAt: lastPushedAt === 0 ? null : lastPushedAt,
  }
}

/** A tag with what its manifest is. */
export interface TagWithManifest {
  readonly name: string
  readonly digest: string
  readonly version: number
  readonly updated_at: number
  readonly media_type: string
  readonly artifact_type: string | null
  readonly size_bytes: number
}

function tagsWithManifests(reader: Kysely<RegionSchema>, repositoryId: number) {
  return reader
    .selectFrom('tag')
    .innerJoin('manifest', (join) =>
      join
        .onRef('manifest.repository_id', '=', 'tag.repository_id')
        .onRef('manifest.digest', '=', 'tag.digest'),
    )
    .select([
      'tag.name',
      'tag.digest',
      'tag.version',
      'tag.updated_at',
      'manifest.media_type',
      'manifest.artifact_type',
      'manifest.size_bytes',
    ])
    .where('tag.repository_id', '=', repositoryId)
}

/** Tags of a repository by name, in byte order. */
export async function listTagsWithManifests(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  page: { readonly afterName: string | null; readonly prefix: string; readonly limit: number },
): Promise<TagWithManifest[]> {
  let query = tagsWithManifests(reader, repositoryId)
  if (page.afterName !== null) query = query.where('tag.name', '>', page.afterName)
  if (page.prefix !== '') {
    query = query.where('tag.name', '>=', page.prefix).where('tag.name', '<', page.prefix + AFTER_ALL)
  }
  return query.orderBy('tag.name').limit(page.limit).execute()
}

/** One tag. Null: the repository has none with this name now. */
export async function loadTagWithManifest(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  name: string,
): Promise<TagWithManifest | null> {
  const row = await tagsWithManifests(reader, repositoryId).where('tag.name', '=', name).executeTakeFirst()
  return row ?? null
}

/** The newest version of a tag that pointed at this manifest, whatever the tag points at now. Null: there is none. */
export async function loadTagVersionWithManifest(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  version: { readonly name: string; readonly digest: string },
): Promise<TagWithManifest | null> {
  const row = await reader
    .selectFrom('tag_history')
    .innerJoin('manifest', (join) =>
      join
        .onRef('manifest.repository_id', '=', 'tag_history.repository_id')
        .onRef('manifest.digest', '=', 'tag_history.digest'),
    )
    .select([
      'tag_history.repository_id',
      'tag_history.tag as name',
      'manifest.digest',
      'tag_history.version',
      'tag_history.at as updated_at',
      'manifest.media_type',
      'manifest.artifact_type',
      'manifest.size_bytes',
    ])
    .where('tag_history.repository_id', '=', repositoryId)
    .where('tag_history.tag', '=', version.name)
    .where('tag_history.digest', '=', version.digest)
    .orderBy('tag_history.version', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ?? null
}

export type TagHistoryEntry = TagHistoryRow & {
  /** Null: the version is a deletion, or the manifest is gone. */
  readonly manifest_exists: number | null
  readonly manifest_deleted_at: number | null
}

/** Changes of a tag, newest first. Empty when there never was such a tag. */
export async function listTagHistory(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  tag: string,
  page: { readonly beforeVersion: number | null; readonly limit: number },
): Promise<TagHistoryEntry[]> {
  let query = reader
    .selectFrom('tag_history')
    .leftJoin('manifest', (join) =>
      join
        .onRef('manifest.repository_id', '=', 'tag_history.repository_id')
        .onRef('manifest.digest', '=', 'tag_history.digest'),
    )
    .selectAll('tag_history')
    .select(['manifest.repository_id as manifest_exists', 'manifest.deleted_at as manifest_deleted_at'])
    .where('tag_history.repository_id', '=', repositoryId)
    .where('tag_history.tag', '=', tag)
  if (page.beforeVersion !== null) query = query.where('tag_history.version', '<', page.beforeVersion)
  return query.orderBy('tag_history.version', 'desc').limit(page.limit).execute()
}

/** A manifest without its content. */
export type ManifestHead = Omit<Selectable<ManifestTable>, 'content'>

const MANIFEST_HEAD = [
  'repository_id',
  'digest',
  'media_type',
  'kind',
  'artifact_type',
  'subject_digest',
  'annotations',
  'size_bytes',
  'created_at',
  'deleted_at',
  'purge_at',
] as const

/** Manifests of a repository by digest, live or in the trash. */
export async function listManifests(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  page: { readonly afterDigest: string | null; readonly trashed: boolean; readonly limit: number },
): Promise<ManifestHead[]> {
  let query = reader
    .selectFrom('manifest')
    .select(MANIFEST_HEAD)
    .where('repository_id', '=', repositoryId)
    .where('deleted_at', page.trashed ? 'is not' : 'is', null)
  if (page.afterDigest !== null) query = query.where('digest', '>', page.afterDigest)
  return query.orderBy('digest').limit(page.limit).execute()
}

/** One manifest with its content, live or in the trash. */
export async function loadManifestRow(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
): Promise<Selectable<ManifestTable> | null> {
  const row = await reader
    .selectFrom('manifest')
    .selectAll()
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .executeTakeFirst()
  return row ?? null
}

/** Names of the tags that point at each of the digests, at most `limitPerDigest` for each, by name. */
export async function listTagsOfManifests(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  digests: readonly string[],
  limitPerDigest: number,
): Promise<ReadonlyMap<string, string[]>> {
  const byDigest = new Map<string, string[]>()
  if (digests.length === 0) return byDigest
  const rows = await reader
    .selectFrom((from) =>
      from
        .selectFrom('tag')
        .select([
          'digest',
          'name',
          sql<number>`row_number() over (partition by digest order by name)`.as('place'),
        ])
        .where('repository_id', '=', repositoryId)
        .where('digest', 'in', [...digests])
        .as('ranked'),
    )
    .select(['digest', 'name'])
    .where('place', '<=', limitPerDigest)
    .orderBy('digest')
    .orderBy('name')
    .execute()
  for (const { digest, name } of rows) {
    const names = byDigest.get(digest)
    if (names === undefined) byDigest.set(digest, [name])
    else names.push(name)
  }
  return byDigest
}

/** Live manifests that name the digest as their subject, by digest. */
export async function listReferrerHeads(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  subject: string,
  page: { readonly afterDigest: string | null; readonly limit: number },
): Promise<ManifestHead[]> {
  let query = reader
    .selectFrom('manifest')
    .select(MANIFEST_HEAD)
    .where('repository_id', '=', repositoryId)
    .where('subject_digest', '=', subject)
    .where('deleted_at', 'is', null)
  if (page.afterDigest !== null) query = query.where('digest', '>', page.afterDigest)
  return query.orderBy('digest').limit(page.limit).execute()
}

/** Content of a repository's blob when it is kept in the database and not longer than this; else null. */
export async function loadInlineContent(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  maxBytes: number,
): Promise<BlobTable['content']> {
  const row = await reader
    .selectFrom('repository_blob')
    .innerJoin('blob', 'blob.id', 'repository_blob.blob_id')
    .select('blob.content')
    .where('repository_blob.repository_id', '=', repositoryId)
    .where('repository_blob.digest', '=', digest)
    .where('blob.size_bytes', '<=', maxBytes)
    .executeTakeFirst()
  return row?.content ?? null
}

/** When each of the keys was last used in this region; a key that never was is left out. */
export async function loadLastUsed(
  reader: Kysely<RegionSchema>,
  keyIds: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  if (keyIds.length === 0) return new Map()
  const rows = await reader
    .selectFrom('access_key')
    .select(['id', 'last_used_at'])
    .where('id', 'in', [...keyIds])
    .where('last_used_at', 'is not', null)
    .execute()
  return new Map(rows.map(({ id, last_used_at }) => [id, last_used_at ?? 0]))
}

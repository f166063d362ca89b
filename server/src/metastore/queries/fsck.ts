import type { Kysely } from 'kysely'
import type { BlobRow, ManifestRow, RegionSchema } from '../region-schema.ts'

/** Live blobs in order of their id, after `afterId`. */
export async function listLiveBlobsAfter(
  db: Kysely<RegionSchema>,
  afterId: number,
  limit: number,
): Promise<Pick<BlobRow, 'id' | 'digest' | 'size_bytes' | 'storage_key' | 'content'>[]> {
  return db
    .selectFrom('blob')
    .select(['id', 'digest', 'size_bytes', 'storage_key', 'content'])
    .where('state', '=', 'live')
    .where('id', '>', afterId)
    .orderBy('id')
    .limit(limit)
    .execute()
}

/** Manifests, those in the trash included, in order of repository and digest. */
export async function listManifestsAfter(
  db: Kysely<RegionSchema>,
  after: { repositoryId: number; digest: string },
  limit: number,
): Promise<Pick<ManifestRow, 'repository_id' | 'digest' | 'content'>[]> {
  return db
    .selectFrom('manifest')
    .select(['repository_id', 'digest', 'content'])
    .where((eb) =>
      eb.or([
        eb('repository_id', '>', after.repositoryId),
        eb.and([eb('repository_id', '=', after.repositoryId), eb('digest', '>', after.digest)]),
      ]),
    )
    .orderBy('repository_id')
    .orderBy('digest')
    .limit(limit)
    .execute()
}

/** Edges of visible manifests whose target is not in the repository; children of sparse indexes are allowed. */
export async function listBrokenReferences(
  db: Kysely<RegionSchema>,
  limit: number,
): Promise<{ repository_id: number; manifest_digest: string; target_digest: string; target_kind: string }[]> {
  return (
    db
      .selectFrom('manifest_reference as reference')
      .innerJoin('manifest', (join) =>
        join
          .onRef('manifest.repository_id', '=', 'reference.repository_id')
          .onRef('manifest.digest', '=', 'reference.manifest_digest'),
      )
      .innerJoin('repository', 'repository.id', 'reference.repository_id')
      .innerJoin('access_project', 'access_project.id', 'repository.project_id')
      .select([
        'reference.repository_id',
        'reference.manifest_digest',
        'reference.target_digest',
        'reference.target_kind',
      ])
      .where('manifest.deleted_at', 'is', null)
      // What a copy of another registry's manifest refers to is fetched when somebody asks for it.
      .where('repository.cached_from', 'is', null)
      .where((eb) =>
        eb.or([
          eb.and([
            eb('reference.target_kind', '=', 'blob'),
            eb.not(
              eb.exists(
                eb
                  .selectFrom('repository_blob')
                  .innerJoin('blob', 'blob.id', 'repository_blob.blob_id')
                  .select('repository_blob.blob_id')
                  .whereRef('repository_blob.repository_id', '=', 'reference.repository_id')
                  .whereRef('repository_blob.digest', '=', 'reference.target_digest')
                  .where('blob.state', '=', 'live'),
              ),
            ),
          ]),
          eb.and([
            eb('reference.target_kind', '=', 'manifest'),
            eb('access_project.allow_sparse_indexes', '=', 0),
            eb.not(
              eb.exists(
                eb
                  .selectFrom('manifest as child')
                  .select('child.digest')
                  .whereRef('child.repository_id', '=', 'reference.repository_id')
                  .whereRef('child.digest', '=', 'reference.target_digest')
                  .where('child.deleted_at', 'is', null),
              ),
            ),
          ]),
        ]),
      )
      .limit(limit)
      .execute()
  )
}

/** Tags whose manifest is missing or in the trash. */
export async function listDanglingTags(
  db: Kysely<RegionSchema>,
  limit: number,
): Promise<{ repository_id: number; name: string; digest: string }[]> {
  return db
    .selectFrom('tag')
    .leftJoin('manifest', (join) =>
      join
        .onRef('manifest.repository_id', '=', 'tag.repository_id')
        .onRef('manifest.digest', '=', 'tag.digest')
        .on('manifest.deleted_at', 'is', null),
    )
    .select(['tag.repository_id', 'tag.name', 'tag.digest'])
    .where('manifest.digest', 'is', null)
    .limit(limit)
    .execute()
}

/** Live blobs that no repository has and that garbage collection will not look at: a leak, not a danger. */
export async function listUnqueuedBlobs(
  db: Kysely<RegionSchema>,
  limit: number,
): Promise<{ id: number; digest: string }[]> {
  return db
    .selectFrom('blob')
    .leftJoin('repository_blob', 'repository_blob.blob_id', 'blob.id')
    .leftJoin('gc_task', (join) =>
      join.onRef('gc_task.blob_id', '=', 'blob.id').on('gc_task.kind', '=', 'blob'),
    )
    .select(['blob.id', 'blob.digest'])
    .where('blob.state', '=', 'live')
    .where('repository_blob.blob_id', 'is', null)
    .where('gc_task.id', 'is', null)
    .limit(limit)
    .execute()
}

/** True when a blob row, live or in the trash, names this storage key. */
export async function storageKeyIsKnown(db: Kysely<RegionSchema>, storageKey: string): Promise<boolean> {
  const row = await db
    .selectFrom('blob')
    .select('id')
    .where('storage_key', '=', storageKey)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

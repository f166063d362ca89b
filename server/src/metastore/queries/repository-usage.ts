import { type Kysely, sql } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'
import { loadFreedBlobBytes } from './freed-bytes.ts'

export interface RepositoryBytes {
  /** Live manifests, and blobs that no other repository of the project has. */
  readonly uniqueBytes: number
  /** Blobs that other repositories of the project have too. */
  readonly sharedBytes: number
  /** What deleting the repository frees. */
  readonly freedBytes: number
}

/** Bytes of each of the repositories. One look at each of their blobs and manifests. */
export async function loadRepositoryBytes(
  reader: Kysely<RegionSchema>,
  repositoryIds: readonly number[],
): Promise<ReadonlyMap<number, RepositoryBytes>> {
  if (repositoryIds.length === 0) return new Map()
  const ids = sql.join([...repositoryIds])
  const blobs = await sql<{ repository_id: number; unique_bytes: number; shared_bytes: number }>`
    select repository_id,
      sum(case when is_shared then 0 else size_bytes end) as unique_bytes,
      sum(case when is_shared then size_bytes else 0 end) as shared_bytes
    from (
      select mine.repository_id, blob.size_bytes, exists (
        select 1 from repository_blob other
        where other.blob_id = mine.blob_id and other.repository_id <> mine.repository_id
      ) as is_shared
      from repository_blob mine join blob on blob.id = mine.blob_id
      where mine.repository_id in (${ids})
    ) as held
    group by repository_id
  `.execute(reader)
  const manifests = await sql<{ repository_id: number; bytes: number }>`
    select repository_id, sum(size_bytes) as bytes from manifest
    where repository_id in (${ids}) and deleted_at is null group by repository_id
  `.execute(reader)
  const freed = await loadFreedBlobBytes(reader, repositoryIds)
  const manifestBytes = new Map(manifests.rows.map((row) => [row.repository_id, Number(row.bytes)]))
  const blobBytes = new Map(blobs.rows.map((row) => [row.repository_id, row]))
  return new Map(
    repositoryIds.map((id) => {
      const row = blobBytes.get(id)
      return [
        id,
        {
          uniqueBytes: Number(row?.unique_bytes ?? 0) + (manifestBytes.get(id) ?? 0),
          sharedBytes: Number(row?.shared_bytes ?? 0),
          freedBytes: (freed.get(id) ?? 0) + (manifestBytes.get(id) ?? 0),
        },
      ]
    }),
  )
}

export interface ProjectBytes {
  readonly usedBytes: number
  readonly trashBytes: number
  readonly repositoryCount: number
}

/** What a project holds in this region. Costs one look at each of its repositories. */
export async function loadProjectBytes(
  reader: Kysely<RegionSchema>,
  projectId: string,
): Promise<ProjectBytes> {
  const { rows } = await sql<Record<string, number | null>>`
    select
      (select used_bytes from project_usage where project_id = ${projectId}) as used,
      (select trashed_bytes from project_usage where project_id = ${projectId}) as trashed,
      (select count(*) from repository where project_id = ${projectId} and exists (
        select 1 from manifest where manifest.repository_id = repository.id and manifest.deleted_at is null
      )) as repositories
  `.execute(reader)
  const row = rows[0] ?? {}
  return {
    usedBytes: Number(row['used'] ?? 0),
    trashBytes: Number(row['trashed'] ?? 0),
    repositoryCount: Number(row['repositories'] ?? 0),
  }
}

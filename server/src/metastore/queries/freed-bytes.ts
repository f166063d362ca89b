import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'

/*
 * What a deletion would free, by the rules of garbage collection: manifests themselves, and blobs that no live manifest
 * of the project would refer to any more. It comes back to the disk when the time in the trash is over; what is in the
 * trash already needs nothing. The cost is that of what would go, not of the project.
 */

/** Live manifests of one repository that would go together. */
export interface GoingManifests {
  readonly repositoryId: number
  readonly digests: readonly string[]
}

// Between two statements the event loop takes a turn, because reads on SQLite hold it up.
const MANIFESTS_PER_STATEMENT = 200
const BLOBS_PER_STATEMENT = 100

/** Bytes that deleting the manifests would free. They must not be in the trash. */
export async function loadFreedBytes(
  reader: Kysely<RegionSchema>,
  going: readonly GoingManifests[],
): Promise<number> {
  let freed = 0
  /** By blob: how many references to it would go. */
  const goingReferences = new Map<number, number>()
  for (const { repositoryId, digests } of going) {
    for (let i = 0; i < digests.length; i += MANIFESTS_PER_STATEMENT) {
      const batch = sql.join(digests.slice(i, i + MANIFESTS_PER_STATEMENT))
      freed += await sumManifests(reader, repositoryId, batch)
      for (const [blobId, count] of await countReferences(reader, repositoryId, batch))
        goingReferences.set(blobId, (goingReferences.get(blobId) ?? 0) + count)
      await nextTurn()
    }
  }
  const blobIds = [...goingReferences.keys()]
  for (let i = 0; i < blobIds.length; i += BLOBS_PER_STATEMENT) {
    for (const blob of await countLiveReferences(reader, blobIds.slice(i, i + BLOBS_PER_STATEMENT)))
      if (blob.live <= (goingReferences.get(blob.id) ?? 0)) freed += blob.sizeBytes
    await nextTurn()
  }
  return freed
}

type List = ReturnType<typeof sql.join>

async function sumManifests(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  digests: List,
): Promise<number> {
  const { rows } = await sql<{ bytes: number | null }>`
    select sum(size_bytes) as bytes from manifest
    where repository_id = ${repositoryId} and digest in (${digests}) and deleted_at is null`.execute(reader)
  return Number(rows[0]?.bytes ?? 0)
}

async function countReferences(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  digests: List,
): Promise<[blobId: number, count: number][]> {
  const { rows } = await sql<{ blob_id: number; count: number }>`
    select member.blob_id, count(*) as count from manifest_reference edge
    join repository_blob member on member.repository_id = edge.repository_id and member.digest = edge.target_digest
    where edge.repository_id = ${repositoryId} and edge.manifest_digest in (${digests})
      and edge.target_kind = 'blob'
    group by member.blob_id`.execute(reader)
  return rows.map((row) => [row.blob_id, Number(row.count)])
}

async function countLiveReferences(
  reader: Kysely<RegionSchema>,
  blobIds: readonly number[],
): Promise<{ id: number; sizeBytes: number; live: number }[]> {
  const { rows } = await sql<{ id: number; size_bytes: number; live: number }>`
    select blob.id, blob.size_bytes, (
      select count(*) from repository_blob holder
      join manifest_reference need on need.repository_id = holder.repository_id
        and need.target_digest = holder.digest and need.target_kind = 'blob'
      join manifest on manifest.repository_id = need.repository_id and manifest.digest = need.manifest_digest
        and manifest.deleted_at is null
      where holder.blob_id = blob.id
    ) as live
    from blob where blob.id in (${sql.join([...blobIds])})`.execute(reader)
  return rows.map((row) => ({ id: row.id, sizeBytes: Number(row.size_bytes), live: Number(row.live) }))
}

/** What of their blobs deleting each of the repositories would free. One look at each of the blobs. */
export async function loadFreedBlobBytes(
  reader: Kysely<RegionSchema>,
  repositoryIds: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  if (repositoryIds.length === 0) return new Map()
  const ids = sql.join([...repositoryIds])
  const { rows } = await sql<{ repository_id: number; bytes: number }>`
    select mine.repository_id, sum(blob.size_bytes) as bytes from repository_blob mine
      join blob on blob.id = mine.blob_id
      where mine.repository_id in (${ids})
        and exists (select 1 from manifest_reference need
          join manifest on manifest.repository_id = need.repository_id
            and manifest.digest = need.manifest_digest and manifest.deleted_at is null
          where need.repository_id = mine.repository_id and need.target_digest = mine.digest
            and need.target_kind = 'blob')
        and not exists (select 1 from repository_blob other
          join manifest_reference need on need.repository_id = other.repository_id
            and need.target_digest = other.digest and need.target_kind = 'blob'
          join manifest on manifest.repository_id = need.repository_id
            and manifest.digest = need.manifest_digest and manifest.deleted_at is null
          where other.blob_id = mine.blob_id and other.repository_id <> mine.repository_id)
      group by mine.repository_id`.execute(reader)
  return new Map(rows.map((row) => [row.repository_id, Number(row.bytes)]))
}

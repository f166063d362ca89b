import { type Kysely, sql } from 'kysely'
import { dialectOf } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { prepareQuery } from './prepared-query.ts'
import { changeUsage } from './usage.ts'

/*
 * A blob is idle while only manifests in the trash refer to it: its bytes count as trash, not as used, so that a
 * deletion gives quota back at once. It stays live and readable, and the next manifest that needs it revives it. A blob
 * that no manifest ever referred to is not idle: it was uploaded for a push that is still under way.
 *
 * On PostgreSQL a deletion and a push that meet are put in order by the row of the project's use: both lock it before
 * they look at what the other one changes.
 */

/**
 * Makes idle what the manifests (just put into the trash, in one repository) leave without any live manifest in the
 * project. `changeUsage` must have been called before in the same transaction. Answers the bytes.
 */
export async function setBlobsIdle(
  tx: Kysely<RegionSchema>,
  target: { projectId: string; repositoryId: number; digests: readonly string[] | 'all'; nowMs: number },
): Promise<number> {
  const { projectId, repositoryId, digests, nowMs } = target
  if (digests.length === 0) return 0
  const ofManifests =
    digests === 'all' ? sql`1 = 1` : sql`edge.manifest_digest in (${sql.join([...digests])})`
  const { rows } = await sql<{ blob_id: number }>`
    insert into idle_blob (blob_id, project_id, since)
    select blob.id, cast(${projectId} as text), cast(${nowMs} as bigint)
    from blob
    where blob.id in (
      select member.blob_id from manifest_reference edge
      join repository_blob member
        on member.repository_id = edge.repository_id and member.digest = edge.target_digest
      where edge.repository_id = ${repositoryId} and edge.target_kind = 'blob' and ${ofManifests}
    ) and blob.state = 'live' and not exists (
      select 1 from repository_blob holder
      join manifest_reference need on need.repository_id = holder.repository_id
        and need.target_digest = holder.digest and need.target_kind = 'blob'
      join manifest on manifest.repository_id = need.repository_id
        and manifest.digest = need.manifest_digest and manifest.deleted_at is null
      where holder.blob_id = blob.id
    )
    on conflict (blob_id) do nothing
    returning blob_id`.execute(tx)
  const sizeBytes = await sizeOfBlobs(
    tx,
    rows.map((row) => row.blob_id),
  )
  if (sizeBytes > 0) await changeUsage(tx, projectId, { usedBytes: -sizeBytes, trashedBytes: sizeBytes })
  return sizeBytes
}

const deleteIdleOfMembers = prepareQuery<RegionSchema, { repositoryId: number; digests: string }>()(
  (db, p) => ({
    compile: () =>
      sql<{ blob_id: number }>`
        delete from idle_blob where blob_id in (
          select blob_id from repository_blob where repository_id = ${p('repositoryId')} and digest in ${
            dialectOf(db) === 'postgres'
              ? sql`(select jsonb_array_elements_text(cast(${p('digests')} as jsonb)))`
              : sql`(select value from json_each(${p('digests')}))`
          }
        ) returning blob_id`.compile(db),
  }),
)

/**
 * Takes the blobs of a repository with these digests out of the trash. `changeUsage` must have been called before in
 * the same transaction. Answers the bytes that count as used again.
 */
export async function reviveBlobs(
  tx: Kysely<RegionSchema>,
  target: { projectId: string; repositoryId: number; digests: readonly string[] },
): Promise<number> {
  if (target.digests.length === 0) return 0
  const digests = JSON.stringify(target.digests)
  const rows = await deleteIdleOfMembers.all(tx, { repositoryId: target.repositoryId, digests })
  const sizeBytes = await sizeOfBlobs(
    tx,
    rows.map((row) => row.blob_id),
  )
  if (sizeBytes > 0)
    await changeUsage(tx, target.projectId, { usedBytes: sizeBytes, trashedBytes: -sizeBytes })
  return sizeBytes
}

/** Whether the blob was idle; it is not any more. The caller counts its bytes. */
export async function forgetIdleBlob(tx: Kysely<RegionSchema>, blobId: number): Promise<boolean> {
  return (await deleteIdle.run(tx, { blobId })) > 0
}

const deleteIdle = prepareQuery<RegionSchema, { blobId: number }>()((db, p) =>
  db.deleteFrom('idle_blob').where('blob_id', '=', p('blobId')),
)

/** Blobs whose sizes one statement adds up: SQLite and PostgreSQL both limit the parameters of a statement. */
const BLOBS_PER_STATEMENT = 500

async function sizeOfBlobs(tx: Kysely<RegionSchema>, blobIds: readonly number[]): Promise<number> {
  let sum = 0
  for (let i = 0; i < blobIds.length; i += BLOBS_PER_STATEMENT) {
    const row = await tx
      .selectFrom('blob')
      .select(sql<number>`sum(size_bytes)`.as('bytes'))
      .where('id', 'in', blobIds.slice(i, i + BLOBS_PER_STATEMENT))
      .executeTakeFirst()
    sum += Number(row?.bytes ?? 0)
  }
  return sum
}

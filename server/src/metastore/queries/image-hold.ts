import { type Kysely, sql } from 'kysely'
import { defineCommand } from '../database.ts'
import { lockRepository } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'

/*
 * Images in use. A hold is a root: neither retention nor a deletion takes a held manifest, and what it refers to stays
 * with it. Several reasons hold one manifest independently. Deleting the whole project is not stopped by holds.
 */

interface HoldArgs {
  readonly repositoryId: number
  readonly digest: string
  /** For people, and what tells this hold from others: `release 12 of app web`. */
  readonly reason: string
}

/** Holds a live manifest; holding it again for the same reason changes nothing. */
export const holdImage = defineCommand<
  RegionSchema,
  HoldArgs & { readonly nowMs: number },
  'held' | 'no_manifest'
>('image.hold', async (tx, { repositoryId, digest, reason, nowMs }) => {
  // The same lock as a deletion's: either it sees the hold, or this finds the manifest gone.
  await lockRepository(tx, repositoryId)
  const manifest = await tx
    .selectFrom('manifest')
    .select('digest')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  if (manifest === undefined) return 'no_manifest'
  await tx
    .insertInto('image_hold')
    .values({ repository_id: repositoryId, digest, reason, created_at: nowMs })
    .onConflict((conflict) => conflict.columns(['repository_id', 'digest', 'reason']).doNothing())
    .execute()
  return 'held'
})

/** Ends a hold. */
export const releaseImage = defineCommand<RegionSchema, HoldArgs, 'released' | 'not_held'>(
  'image.release',
  async (tx, { repositoryId, digest, reason }) => {
    const removed = await tx
      .deleteFrom('image_hold')
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .where('reason', '=', reason)
      .executeTakeFirst()
    return removed.numDeletedRows > 0n ? 'released' : 'not_held'
  },
)

/** A reason why a manifest is held; null when nothing holds it. */
export async function loadHold(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
): Promise<string | null> {
  const row = await db
    .selectFrom('image_hold')
    .select('reason')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .orderBy('reason')
    .limit(1)
    .executeTakeFirst()
  return row?.reason ?? null
}

/** The first held manifest of a repository that is not in the trash; null when there is none. */
export async function loadHoldIn(
  db: Kysely<RegionSchema>,
  repositoryId: number,
): Promise<{ readonly digest: string; readonly reason: string } | null> {
  const { rows } = await sql<{ digest: string; reason: string }>`
    select image_hold.digest, image_hold.reason from image_hold
    join manifest on manifest.repository_id = image_hold.repository_id
      and manifest.digest = image_hold.digest and manifest.deleted_at is null
    where image_hold.repository_id = ${repositoryId}
    order by image_hold.digest, image_hold.reason limit 1`.execute(db)
  return rows[0] ?? null
}

/** Reasons for which each of the manifests is held; one that is not held is left out. */
export async function listHolds(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digests: readonly string[],
): Promise<ReadonlyMap<string, string[]>> {
  const byDigest = new Map<string, string[]>()
  if (digests.length === 0) return byDigest
  const rows = await db
    .selectFrom('image_hold')
    .select(['digest', 'reason'])
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', [...digests])
    .orderBy('digest')
    .orderBy('reason')
    .execute()
  for (const { digest, reason } of rows) byDigest.set(digest, [...(byDigest.get(digest) ?? []), reason])
  return byDigest
}

export const imageHoldCommands = [holdImage, releaseImage]

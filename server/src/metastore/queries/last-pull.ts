import { type Kysely, sql } from 'kysely'
import { defineCommand } from '../database.ts'
import { dialectOf } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'

/** A tag or manifest that was pulled. */
export interface Pull {
  readonly repositoryId: number
  /** A tag or a digest. */
  readonly reference: string
  readonly pulledAt: number
}

/**
 * Notes when tags and manifests were last pulled. A time before the one that is known changes nothing, and what was
 * deleted meanwhile is left out. One statement for all of them, in one order, so that two processes do not wait for
 * each other in a circle.
 */
export const recordPulls = defineCommand<RegionSchema, { readonly pulls: readonly Pull[] }, null>(
  'pull.record',
  async (tx, { pulls }) => {
    const json = JSON.stringify(
      pulls.map(({ repositoryId, reference, pulledAt }) => [repositoryId, reference, pulledAt]),
    )
    const source =
      dialectOf(tx) === 'postgres'
        ? sql`(select cast(item ->> 0 as bigint) as repository_id, item ->> 1 as reference,
            cast(item ->> 2 as bigint) as pulled_at from jsonb_array_elements(cast(${json} as jsonb)) as item)`
        : sql`(select json_extract(value, '$[0]') as repository_id, json_extract(value, '$[1]') as reference,
            json_extract(value, '$[2]') as pulled_at from json_each(${json}))`
    await sql`
      insert into last_pull (repository_id, reference, pulled_at)
      select pull.repository_id, pull.reference, pull.pulled_at from ${source} as pull
      where exists (select 1 from manifest where manifest.repository_id = pull.repository_id
          and manifest.digest = pull.reference)
        or exists (select 1 from tag where tag.repository_id = pull.repository_id and tag.name = pull.reference)
      order by pull.repository_id, pull.reference
      on conflict (repository_id, reference) do update set pulled_at = excluded.pulled_at
      where excluded.pulled_at > last_pull.pulled_at`.execute(tx)
    return null
  },
)

/** When each of the references (tags or digests) was last pulled; one that never was is left out. */
export async function loadLastPulls(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  references: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  if (references.length === 0) return new Map()
  const rows = await db
    .selectFrom('last_pull')
    .select(['reference', 'pulled_at'])
    .where('repository_id', '=', repositoryId)
    .where('reference', 'in', [...references])
    .execute()
  return new Map(rows.map((row) => [row.reference, row.pulled_at]))
}

export const lastPullCommands = [recordPulls]

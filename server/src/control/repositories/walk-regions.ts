import { z } from 'zod'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { ControlRegion } from '../runtime.ts'

const place = z.object({ region: z.string(), after: z.string().nullable() })

/**
 * One page of a list that goes through regions one after the other, each in the order of a text key. `load` answers at
 * most `limit` rows of a region that come after the key.
 */
export async function walkRegions<Row>(
  regions: readonly ControlRegion[],
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
  load: (region: ControlRegion, after: string | null, limit: number) => Promise<Row[]>,
  keyOf: (row: Row) => string,
): Promise<{ rows: { region: ControlRegion; row: Row }[]; nextCursor: string | null }> {
  const start = decodeCursor(place, cursor)
  const first =
    start === null
      ? 0
      : Math.max(
          0,
          regions.findIndex(({ region }) => region.id === start.region),
        )
  const rows: { region: ControlRegion; row: Row }[] = []
  for (const region of regions.slice(first)) {
    const after = start !== null && region.region.id === start.region ? start.after : null
    const wanted = limit - rows.length + 1
    for (const row of await load(region, after, wanted)) rows.push({ region, row })
    if (rows.length > limit) break
  }
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  if (rows.length <= limit || last === undefined) return { rows: shown, nextCursor: null }
  return { rows: shown, nextCursor: encodeCursor({ region: last.region.region.id, after: keyOf(last.row) }) }
}

import { z } from 'zod'
import type { RegionRow } from '../../metastore/control-schema.ts'
import { listRegions } from '../../metastore/queries/region.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { toTimestamp } from '../time.ts'

const place = z.object({ position: z.int(), id: z.string() })

export const regionHandlers: HandlersOf<'regions.list'> = {
  'regions.list': async ({ runtime }, { query }) => {
    const after = decodeCursor(place, query.cursor)
    const rows = await listRegions(runtime.db.reader, { after, limit: query.limit + 1 })
    return pageOfRows(rows, query.limit, toRegion, ({ position, id }) => ({ position, id }))
  },
}

function toRegion({ id, name, host, created_at }: RegionRow) {
  return { id, name, host, createdAt: toTimestamp(created_at) }
}

import { z } from 'zod'
import type { RegistryRow } from '../../metastore/control-schema.ts'
import { listRegistries } from '../../metastore/queries/registry.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { toTimestamp } from '../time.ts'

export const registryHandlers: HandlersOf<'registries.list'> = {
  'registries.list': async ({ runtime, project }, { query }) => {
    const afterId = decodeCursor(z.string(), query.cursor)
    const rows = await listRegistries(runtime.db.reader, project.id, { afterId, limit: query.limit + 1 })
    return pageOfRows(
      rows,
      query.limit,
      (row) => toRegistry(row, project.namespace),
      (row) => row.id,
    )
  },
}

function toRegistry(row: RegistryRow, namespace: string) {
  return {
    id: row.id,
    provider: row.provider,
    name: row.name,
    host: row.host,
    region: row.region_id,
    address: row.provider === 'managed' ? `${row.host}/${namespace}` : row.host,
    createdAt: toTimestamp(row.created_at),
  }
}

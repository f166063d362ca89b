import { ApiError } from '@berth/api/errors'
import { z } from 'zod'
import { listApiKeys, loadApiKey } from '../../metastore/queries/api-key.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { createApiKey, endOverlap, revokeApiKey, rotateApiKey, toApiKeys } from './service.ts'

const place = z.object({ createdAt: z.int(), id: z.string() })

export const apiKeyHandlers: HandlersOf<
  | 'apiKeys.list'
  | 'apiKeys.create'
  | 'apiKeys.show'
  | 'apiKeys.revoke'
  | 'apiKeys.rotate'
  | 'apiKeys.endOverlap'
> = {
  'apiKeys.list': async ({ runtime, project }, { query }) => {
    const rows = await listApiKeys(runtime.db.reader, project.id, {
      activeAt: query.state === 'active' ? runtime.clock.nowMs() : null,
      after: decodeCursor(place, query.cursor),
      limit: query.limit + 1,
    })
    const page = pageOfRows(
      rows,
      query.limit,
      (row) => row,
      (row) => ({ createdAt: row.created_at, id: row.id }),
    )
    return { ...page, items: await toApiKeys(runtime, page.items) }
  },
  'apiKeys.create': ({ runtime, project, origin }, { body }) =>
    createApiKey(runtime, project, body, origin()),
  'apiKeys.show': async ({ runtime, project }, { params }) => {
    const row = await loadApiKey(runtime.db.reader, project.id, params.key)
    const [key] = row === null ? [] : await toApiKeys(runtime, [row])
    if (key === undefined) throw new ApiError('api_key_not_found')
    return key
  },
  'apiKeys.revoke': ({ runtime, project, origin }, { params }) =>
    revokeApiKey(runtime, { projectId: project.id, id: params.key }, origin()),
  'apiKeys.rotate': ({ runtime, project, origin }, { params, body }) =>
    rotateApiKey(runtime, { projectId: project.id, id: params.key }, body.overlapSeconds, origin()),
  'apiKeys.endOverlap': ({ runtime, project, origin }, { params }) =>
    endOverlap(runtime, { projectId: project.id, id: params.key }, origin()),
}

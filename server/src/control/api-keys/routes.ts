import { ApiError } from '@berth/api/errors'
import type { ApiKeyCreate } from '@berth/api/api-keys'
import { z } from 'zod'
import type { ApiKeyRow } from '../../metastore/control-schema.ts'
import { listApiKeys, loadApiKey } from '../../metastore/queries/api-key.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf, ProjectCallContext } from '../handler.ts'
import { createApiKey, endOverlap, type KeyOwner, revokeApiKey, rotateApiKey, toApiKeys } from './service.ts'

const place = z.object({ createdAt: z.int(), id: z.string() })

export const apiKeyHandlers: HandlersOf<
  | 'apiKeys.list'
  | 'apiKeys.create'
  | 'apiKeys.show'
  | 'apiKeys.revoke'
  | 'apiKeys.rotate'
  | 'apiKeys.endOverlap'
> = {
  'apiKeys.list': async (context, { query }) => {
    const { runtime, project } = context
    const rows = await listApiKeys(runtime.db.reader, project.id, {
      activeAt: query.state === 'active' ? runtime.clock.nowMs() : null,
      ofUser: onlyOwnOf(context),
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
  'apiKeys.create': (context, { body }) =>
    createApiKey(context.runtime, context.project, body, ownerOf(context, body), context.origin()),
  'apiKeys.show': async (context, { params }) => {
    const row = await loadVisibleKey(context, params.key)
    const [key] = await toApiKeys(context.runtime, [row])
    if (key === undefined) throw new ApiError('api_key_not_found')
    return key
  },
  'apiKeys.revoke': async (context, { params }) => {
    const { id } = await loadVisibleKey(context, params.key)
    return revokeApiKey(context.runtime, { projectId: context.project.id, id }, context.origin())
  },
  'apiKeys.rotate': async (context, { params, body }) => {
    const row = await loadVisibleKey(context, params.key)
    refuseOthersOwn(context, row)
    const target = { projectId: context.project.id, id: row.id }
    return rotateApiKey(context.runtime, target, body.overlapSeconds, context.origin())
  },
  'apiKeys.endOverlap': async (context, { params }) => {
    const { id } = await loadVisibleKey(context, params.key)
    return endOverlap(context.runtime, { projectId: context.project.id, id }, context.origin())
  },
}

/** The person whose own keys are all that the caller sees; null: the caller manages all keys of the project. */
function onlyOwnOf({ principal, may }: ProjectCallContext): string | null {
  if (may('keys.manage')) return null
  if (principal.kind !== 'person') throw new ApiError('forbidden')
  return principal.userId
}

/** A key that the caller may see. Somebody else's own key is not found, as one that does not exist. */
async function loadVisibleKey(context: ProjectCallContext, id: string): Promise<ApiKeyRow> {
  const row = await loadApiKey(context.runtime.db.reader, context.project.id, id)
  const owner = onlyOwnOf(context)
  if (row === null || (owner !== null && row.user_id !== owner)) throw new ApiError('api_key_not_found')
  return row
}

/** Its new secret would make the caller that person, in the registry and in the audit log. Raises `forbidden`. */
function refuseOthersOwn({ principal }: ProjectCallContext, { user_id: ownerId }: ApiKeyRow): void {
  if (ownerId === null || (principal.kind === 'person' && principal.userId === ownerId)) return
  throw new ApiError('forbidden', 'It is a key of somebody else’s own: they rotate it, you can revoke it.')
}

/** Whose a new key is to be: null for the project's. Raises `forbidden`. */
function ownerOf({ principal, role, may }: ProjectCallContext, { own }: ApiKeyCreate): KeyOwner | null {
  const manages = may('keys.manage')
  if (manages && own !== true) return null
  if (!manages && own === false) {
    throw new ApiError('forbidden', `As ${role} you can have keys of your own, not keys of the project.`)
  }
  if (principal.kind === 'person' && role !== null) return { userId: principal.userId, role }
  throw new ApiError('forbidden', 'Only a member of the project can have a key of their own.')
}

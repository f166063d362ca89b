import { ApiError } from '@berth/api/errors'
import { z } from 'zod'
import { listMembers } from '../../metastore/queries/member.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { refuseTokens } from '../principal.ts'
import { changeMemberRole, memberTarget, removeMember, toMember } from './service.ts'

const place = z.object({ createdAt: z.int(), userId: z.string() })

export const memberHandlers: HandlersOf<
  'members.list' | 'members.update' | 'members.remove' | 'members.leave'
> = {
  'members.list': async ({ runtime, project }, { query }) => {
    const page = { after: decodeCursor(place, query.cursor), limit: query.limit + 1 }
    const rows = await listMembers(runtime.db.reader, project.id, page)
    return pageOfRows(rows, query.limit, toMember, (row) => ({
      createdAt: row.created_at,
      userId: row.user_id,
    }))
  },
  'members.update': async (context, { params, body }) => {
    if (body.role === 'owner') refuseTokens(context.principal)
    return changeMemberRole(context.runtime, memberTarget(context, params.user, context.origin()), body.role)
  },
  'members.remove': (context, { params }) =>
    removeMember(context.runtime, memberTarget(context, params.user, context.origin()), 'member.remove'),
  'members.leave': async ({ runtime, project, principal, origin }) => {
    if (principal.kind !== 'person')
      throw new ApiError('member_not_found', 'You are no member of the project.')
    // Owners, too, may go by themselves.
    const target = {
      projectId: project.id,
      userId: principal.userId,
      mayManageOwners: true,
      origin: origin(),
    }
    return removeMember(runtime, target, 'member.leave')
  },
}

import { ApiError } from '@berth/api/errors'
import type { PageQuery } from '@berth/api/paging'
import { z } from 'zod'
import { listInvitations } from '../../metastore/queries/invitation.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { ownersOnly } from '../members/service.ts'
import { type ConsolePrincipal, refuseTokens } from '../principal.ts'
import type { ControlRuntime } from '../runtime.ts'
import {
  acceptInvitation,
  createInvitation,
  openInvitation,
  revokeInvitation,
  toInvitation,
  toPreview,
} from './service.ts'

const place = z.object({ createdAt: z.int(), id: z.string() })

export const invitationHandlers: HandlersOf<
  | 'invitations.list'
  | 'invitations.create'
  | 'invitations.revoke'
  | 'installationInvitations.list'
  | 'installationInvitations.create'
  | 'installationInvitations.revoke'
  | 'invitations.show'
  | 'invitations.accept'
> = {
  'invitations.list': ({ runtime, project }, { query }) => list(runtime, project.id, query),
  'invitations.create': async ({ runtime, project, principal, may, origin }, { body }) => {
    if (body.role === 'owner') refuseTokens(principal)
    const mayManageOwners = may('owners.manage')
    if (body.role === 'owner' && !mayManageOwners) throw ownersOnly()
    const request = { ...body, projectId: project.id, operator: false, mayManageOwners }
    return createInvitation(runtime, request, origin())
  },
  'invitations.revoke': ({ runtime, project, may, origin }, { params }) => {
    const target = {
      projectId: project.id,
      id: params.invitation,
      mayManageOwners: may('owners.manage'),
    }
    return revokeInvitation(runtime, target, origin())
  },
  'installationInvitations.list': ({ runtime }, { query }) => list(runtime, null, query),
  'installationInvitations.create': async ({ runtime, principal, origin }, { body }) => {
    if (body.operator) refuseTokens(principal)
    const request = { ...body, projectId: null, role: null, mayManageOwners: true }
    return createInvitation(runtime, request, origin())
  },
  'installationInvitations.revoke': ({ runtime, origin }, { params }) =>
    revokeInvitation(runtime, { projectId: null, id: params.invitation, mayManageOwners: true }, origin()),
  'invitations.show': async ({ runtime }, { body }) => {
    const found = await openInvitation(runtime, body.token)
    if (found === null) throw new ApiError('invitation_not_found')
    return toPreview(found)
  },
  'invitations.accept': ({ runtime, principal, origin }, { body }) =>
    acceptInvitation(runtime, body.token, personOf(principal), origin()),
}

async function list(
  runtime: ControlRuntime,
  projectId: string | null,
  query: PageQuery & { readonly state: 'pending' | 'all' },
) {
  const nowMs = runtime.clock.nowMs()
  const rows = await listInvitations(runtime.db.reader, projectId, {
    pendingAt: query.state === 'pending' ? nowMs : null,
    after: decodeCursor(place, query.cursor),
    limit: query.limit + 1,
  })
  return pageOfRows(
    rows,
    query.limit,
    (row) => toInvitation(row, nowMs),
    (row) => ({ createdAt: row.created_at, id: row.id }),
  )
}

function personOf(principal: ConsolePrincipal): string {
  if (principal.kind === 'person') return principal.userId
  throw new ApiError('forbidden')
}

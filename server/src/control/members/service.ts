import { keyActionsOf, type Role } from '@berth/api/access'
import { ApiError } from '@berth/api/errors'
import type { Member, MemberChanged, MemberRemoved } from '@berth/api/members'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import {
  changeMemberRole as changeMemberRoleCommand,
  loadMember,
  type MemberChange,
  type MemberTarget,
  type MemberView,
  removeMember as removeMemberCommand,
} from '../../metastore/queries/member.ts'
import { propagateEverywhere } from '../propagate.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp } from '../time.ts'

/** A member as the contract shows it. */
export function toMember(row: MemberView): Member {
  return {
    userId: row.user_id,
    name: row.name,
    email: row.email,
    role: row.role,
    createdAt: toTimestamp(row.created_at),
  }
}

/**
 * Gives a member another role. Own keys that can do more than it end, everywhere, before this returns.
 * Raises `member_not_found`, `last_owner`, `forbidden` (owners are for owners), `not_everywhere_yet`.
 */
export async function changeMemberRole(
  runtime: ControlRuntime,
  target: MemberTarget,
  role: Role,
): Promise<MemberChanged> {
  const args = { ...target, role, keyActions: keyActionsOf(role) }
  const ended = await settle(runtime, await runtime.db.run(changeMemberRoleCommand, args))
  const member = await loadMember(runtime.db.reader, target.projectId, target.userId)
  if (member === null) throw new ApiError('member_not_found')
  return { ...toMember(member), ...ended }
}

/** Ends a membership with the member's own keys. Raises what `changeMemberRole` raises. */
export async function removeMember(
  runtime: ControlRuntime,
  target: MemberTarget,
  action: 'member.remove' | 'member.leave',
): Promise<MemberRemoved> {
  const outcome = await runtime.db.run(removeMemberCommand, { ...target, action })
  return { userId: target.userId, ...(await settle(runtime, outcome)) }
}

async function settle(
  runtime: ControlRuntime,
  outcome: MemberChange,
): Promise<Pick<MemberRemoved, 'revokedKeys' | 'propagation'>> {
  if (!outcome.ok) throw refusal(outcome.reason)
  const propagation = outcome.seq === null ? null : await propagateEverywhere(runtime, outcome.seq)
  return { revokedKeys: [...outcome.revokedKeys], propagation }
}

function refusal(reason: Extract<MemberChange, { ok: false }>['reason']): ApiError {
  switch (reason) {
    case 'not_found':
      return new ApiError('member_not_found')
    case 'last_owner':
      return new ApiError('last_owner')
    case 'owners_only':
      return ownersOnly()
  }
}

/** What an admin is told who wants to make, invite, change or remove an owner. */
export function ownersOnly(): ApiError {
  return new ApiError('forbidden', 'Only an owner may decide who is an owner of the project.')
}

/** Whom a change of membership is about, and how far the caller may go. */
export function memberTarget(
  { project, may }: { readonly project: { readonly id: string }; may(permission: 'owners.manage'): boolean },
  userId: string,
  origin: ChangeOrigin,
): MemberTarget {
  return { projectId: project.id, userId, mayManageOwners: may('owners.manage'), origin }
}

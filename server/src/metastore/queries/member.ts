import { type Role, roleMay } from '@berth/api/access'
import type { Kysely } from 'kysely'
import type { ControlSchema, ProjectRow } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { ProjectMemberRow } from '../member-tables.ts'
import { revokeKeysOfMember } from './api-key.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

/** The role of a person in a project; null when they are no member. */
export async function loadMemberRole(
  reader: Kysely<ControlSchema>,
  projectId: string,
  userId: string,
): Promise<Role | null> {
  const row = await reader
    .selectFrom('project_member')
    .select('role')
    .where('project_id', '=', projectId)
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return row?.role ?? null
}

/** A member with what people are called. */
export interface MemberView extends ProjectMemberRow {
  readonly name: string
  readonly email: string
}

function selectMembers(reader: Kysely<ControlSchema>, projectId: string) {
  return reader
    .selectFrom('project_member')
    .innerJoin('user_account', 'user_account.id', 'project_member.user_id')
    .selectAll('project_member')
    .select(['user_account.name as name', 'user_account.email as email'])
    .where('project_member.project_id', '=', projectId)
}

/** One member of a project, or null. */
export async function loadMember(
  reader: Kysely<ControlSchema>,
  projectId: string,
  userId: string,
): Promise<MemberView | null> {
  const query = selectMembers(reader, projectId).where('project_member.user_id', '=', userId)
  return (await query.executeTakeFirst()) ?? null
}

/** Members of a project, longest first, after the given one. */
export async function listMembers(
  reader: Kysely<ControlSchema>,
  projectId: string,
  page: {
    readonly after: { readonly createdAt: number; readonly userId: string } | null
    readonly limit: number
  },
): Promise<MemberView[]> {
  let query = selectMembers(reader, projectId)
  const { after } = page
  if (after !== null) {
    query = query.where((where) =>
      where.or([
        where('project_member.created_at', '>', after.createdAt),
        where.and([
          where('project_member.created_at', '=', after.createdAt),
          where('project_member.user_id', '>', after.userId),
        ]),
      ]),
    )
  }
  return query
    .orderBy('project_member.created_at')
    .orderBy('project_member.user_id')
    .limit(page.limit)
    .execute()
}

/** Locks a live project: whoever changes its members does this first. Null: there is none (any more). */
export async function lockLiveProject(
  tx: Kysely<ControlSchema>,
  projectId: string,
): Promise<ProjectRow | null> {
  const query = tx
    .selectFrom('project')
    .selectAll()
    .where('id', '=', projectId)
    .where('deleted_at', 'is', null)
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) ?? null
}

/** Makes a person a member. Whoever is one already stays what they are. Part of the transaction of the caller. */
export async function insertMember(
  tx: Kysely<ControlSchema>,
  member: Omit<ProjectMemberRow, 'created_at'>,
  origin: ChangeOrigin,
): Promise<void> {
  const inserted = await tx
    .insertInto('project_member')
    .values({ ...member, created_at: origin.nowMs })
    .onConflict((conflict) => conflict.columns(['project_id', 'user_id']).doNothing())
    .executeTakeFirst()
  if (inserted.numInsertedOrUpdatedRows !== 1n) return
  await insertControlAuditEvent(tx, origin, {
    projectId: member.project_id,
    action: 'member.add',
    target: member.user_id,
    detail: { role: member.role },
  })
}

export interface MemberTarget {
  readonly projectId: string
  readonly userId: string
  /** Whether the caller may change owners and make them. */
  readonly mayManageOwners: boolean
  readonly origin: ChangeOrigin
}

type Refused = {
  readonly ok: false
  readonly reason: 'not_found' | 'last_owner' | 'owners_only'
}

/** `seq`: the access change to wait for; null when no key ended. */
export type MemberChange =
  | { readonly ok: true; readonly revokedKeys: readonly string[]; readonly seq: number | null }
  | Refused

/**
 * Gives a member another role. Keys of the member's own that can do more than `keyActions` end in the same transaction.
 * Setting the role that the member has changes nothing but ends such keys, so a call that broke off can be repeated.
 */
export const changeMemberRole = defineCommand<
  ControlSchema,
  MemberTarget & { readonly role: Role; readonly keyActions: readonly string[] },
  MemberChange
>('member.change_role', async (tx, { role, keyActions, ...target }) => {
  const before = await lockMember(tx, target, role)
  if (!before.ok) return before
  const { projectId, userId, origin } = target
  if (before.role !== role) {
    await tx
      .updateTable('project_member')
      .set({ role })
      .where('project_id', '=', projectId)
      .where('user_id', '=', userId)
      .execute()
    await insertControlAuditEvent(tx, origin, {
      projectId,
      action: 'member.update',
      target: userId,
      detail: { role, before: before.role },
    })
    await revokeInvitationsBy(tx, target, role)
  }
  return { ok: true, ...(await revokeKeysOfMember(tx, { projectId, userId, keyActions, origin })) }
})

/**
 * Ends a membership, with all keys of the member's own. For somebody who is no member any more it only publishes the
 * end of those keys again, so that whoever repeats a call that broke off still waits until it is true everywhere.
 */
export const removeMember = defineCommand<
  ControlSchema,
  MemberTarget & { readonly action: 'member.remove' | 'member.leave' },
  MemberChange
>('member.remove', async (tx, { action, ...target }) => {
  const { projectId, userId, origin } = target
  const before = await lockMember(tx, target, null)
  if (!before.ok) {
    if (before.reason !== 'not_found') return before
    const ended = await revokeKeysOfMember(tx, { projectId, userId, keyActions: [], origin })
    return ended.seq === null ? before : { ok: true, ...ended }
  }
  await tx
    .deleteFrom('project_member')
    .where('project_id', '=', projectId)
    .where('user_id', '=', userId)
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action,
    target: userId,
    detail: { role: before.role },
  })
  await revokeInvitationsBy(tx, target, null)
  return { ok: true, ...(await revokeKeysOfMember(tx, { projectId, userId, keyActions: [], origin })) }
})

/**
 * The member's role, when it may become `next` (null: none). The project is locked, so two owners cannot make each
 * other leave at the same time.
 */
async function lockMember(
  tx: Kysely<ControlSchema>,
  { projectId, userId, mayManageOwners }: MemberTarget,
  next: Role | null,
): Promise<{ readonly ok: true; readonly role: Role } | Refused> {
  if ((await lockLiveProject(tx, projectId)) === null) return { ok: false, reason: 'not_found' }
  const role = await loadMemberRole(tx, projectId, userId)
  if (role === null) return { ok: false, reason: 'not_found' }
  if (!mayManageOwners && (role === 'owner' || next === 'owner')) return { ok: false, reason: 'owners_only' }
  if (role === 'owner' && next !== 'owner' && !(await hasOtherOwner(tx, projectId, userId))) {
    return { ok: false, reason: 'last_owner' }
  }
  return { ok: true, role }
}

/**
 * Ends the open invitations to the project that a member made and could not make any more: all of them when the new role
 * invites nobody (null: no member any more), and those of owners when it is an admin's.
 */
async function revokeInvitationsBy(
  tx: Kysely<ControlSchema>,
  { projectId, userId, origin }: MemberTarget,
  role: Role | null,
): Promise<void> {
  if (role !== null && roleMay(role, 'owners.manage')) return
  let query = tx
    .updateTable('invitation')
    .set({ revoked_at: origin.nowMs })
    .where('project_id', '=', projectId)
    .where('created_by', '=', `person:${userId}`)
    .where('accepted_at', 'is', null)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', origin.nowMs)
  if (role !== null && roleMay(role, 'members.manage')) query = query.where('role', '=', 'owner')
  for (const { id, email } of await query.returning(['id', 'email']).execute()) {
    await insertControlAuditEvent(tx, origin, {
      projectId,
      action: 'invitation.revoke',
      target: id,
      detail: { email, because: 'inviter' },
    })
  }
}

async function hasOtherOwner(tx: Kysely<ControlSchema>, projectId: string, userId: string): Promise<boolean> {
  const row = await tx
    .selectFrom('project_member')
    .select('user_id')
    .where('project_id', '=', projectId)
    .where('role', '=', 'owner')
    .where('user_id', '<>', userId)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

export const memberCommands = [changeMemberRole, removeMember]

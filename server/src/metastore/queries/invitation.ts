import { type Role, ROLES } from '@berth/api/access'
import type { ExpressionBuilder, Kysely } from 'kysely'
import type { ControlSchema, ProjectRow } from '../control-schema.ts'
import { defineCommand, defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { InvitationRow } from '../member-tables.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { displaceHolder } from './displaced-person.ts'
import { insertMember, loadMemberRole, lockLiveProject } from './member.ts'
import { insertPerson, loadPerson, type NewPerson } from './person.ts'

/** Most invitations that a project, or the installation, may have open at once. */
export const MAX_PENDING_INVITATIONS = 500

/** Invitations of a project (null: to the installation), newest first, after the given one. */
export async function listInvitations(
  reader: Kysely<ControlSchema>,
  projectId: string | null,
  page: {
    /** Leaves out those that were accepted, revoked or have expired. */
    readonly pendingAt: number | null
    readonly after: { readonly createdAt: number; readonly id: string } | null
    readonly limit: number
  },
): Promise<InvitationRow[]> {
  const { pendingAt, after, limit } = page
  let query = reader
    .selectFrom('invitation')
    .selectAll()
    .where('project_id', projectId === null ? 'is' : '=', projectId)
  if (pendingAt !== null) query = query.where(isPending(pendingAt))
  if (after !== null) {
    query = query.where((where) =>
      where.or([
        where('created_at', '<', after.createdAt),
        where.and([where('created_at', '=', after.createdAt), where('id', '<', after.id)]),
      ]),
    )
  }
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
}

function isPending(nowMs: number) {
  return (where: ExpressionBuilder<ControlSchema, 'invitation'>) =>
    where.and([
      where('accepted_at', 'is', null),
      where('revoked_at', 'is', null),
      where('expires_at', '>', nowMs),
    ])
}

/** An open invitation with its project. */
export interface OpenInvitation {
  readonly invitation: InvitationRow
  /** Null: to the installation. */
  readonly project: Pick<ProjectRow, 'id' | 'namespace' | 'name'> | null
}

/** The invitation that a secret belongs to; null when there is none that can still be accepted. */
export async function loadOpenInvitation(
  reader: Kysely<ControlSchema>,
  tokenHmac: Uint8Array,
  nowMs: number,
): Promise<OpenInvitation | null> {
  const invitation = await reader
    .selectFrom('invitation')
    .selectAll()
    .where('token_hmac', '=', tokenHmac)
    .where(isPending(nowMs))
    .executeTakeFirst()
  if (invitation === undefined) return null
  if (invitation.project_id === null) return { invitation, project: null }
  const project = await reader
    .selectFrom('project')
    .select(['id', 'namespace', 'name'])
    .where('id', '=', invitation.project_id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return project === undefined ? null : { invitation, project }
}

/** The secret itself never gets here: only its HMAC. */
export interface NewInvitation {
  readonly id: string
  readonly projectId: string | null
  /** In lower case. */
  readonly email: string
  readonly role: Role | null
  readonly isOperator: boolean
  readonly tokenHmac: Uint8Array
  readonly expiresAt: number
  /** Without it an open invitation of an owner is left alone: `owners_only`. */
  readonly mayManageOwners: boolean
}

export type InvitationCreation =
  | { readonly ok: true; readonly invitation: InvitationRow }
  | {
      readonly ok: false
      readonly reason: 'project_not_found' | 'already_member' | 'too_many' | 'owners_only'
    }

/** Invites somebody. An open invitation of the same address to the same place ends. */
export const createInvitation = defineCommand<
  ControlSchema,
  { readonly invitation: NewInvitation; readonly origin: ChangeOrigin },
  InvitationCreation
>('invitation.create', async (tx, { invitation, origin }) => {
  const { projectId, email, role } = invitation
  if (projectId !== null) {
    if ((await lockLiveProject(tx, projectId)) === null) return { ok: false, reason: 'project_not_found' }
    if (await isMember(tx, projectId, email)) return { ok: false, reason: 'already_member' }
  }
  const open = tx
    .selectFrom('invitation')
    .select('id')
    .where('project_id', projectId === null ? 'is' : '=', projectId)
    .where('email', '<>', email)
    .where(isPending(origin.nowMs))
    .limit(MAX_PENDING_INVITATIONS)
  if ((await open.execute()).length >= MAX_PENDING_INVITATIONS) return { ok: false, reason: 'too_many' }
  if (!(await replaceOpenInvitations(tx, invitation, origin))) return { ok: false, reason: 'owners_only' }
  const row = await tx
    .insertInto('invitation')
    .values({
      id: invitation.id,
      project_id: projectId,
      email,
      role,
      is_operator: invitation.isOperator ? 1 : 0,
      token_hmac: invitation.tokenHmac,
      created_at: origin.nowMs,
      created_by: origin.actor,
      expires_at: invitation.expiresAt,
      accepted_at: null,
      accepted_by: null,
      revoked_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'invitation.create',
    target: invitation.id,
    detail: { email, role, operator: invitation.isOperator, expiresAt: invitation.expiresAt },
  })
  return { ok: true, invitation: row }
})

/** Ends open invitations of the same address to the same place. False: one is an owner's, which the caller may not end. */
async function replaceOpenInvitations(
  tx: Kysely<ControlSchema>,
  { id: newId, projectId, email, mayManageOwners }: NewInvitation,
  origin: ChangeOrigin,
): Promise<boolean> {
  const query = tx
    .selectFrom('invitation')
    .select(['id', 'role'])
    .where('project_id', projectId === null ? 'is' : '=', projectId)
    .where('email', '=', email)
    .where(isPending(origin.nowMs))
  const open = await lockForUpdate(query, dialectOf(tx)).execute()
  if (!mayManageOwners && open.some(({ role }) => role === 'owner')) return false
  for (const { id } of open) {
    await tx.updateTable('invitation').set({ revoked_at: origin.nowMs }).where('id', '=', id).execute()
    await insertControlAuditEvent(tx, origin, {
      projectId,
      action: 'invitation.revoke',
      target: id,
      detail: { email, replacedBy: newId },
    })
  }
  return true
}

async function isMember(tx: Kysely<ControlSchema>, projectId: string, email: string): Promise<boolean> {
  const row = await tx
    .selectFrom('user_account')
    .innerJoin('project_member', 'project_member.user_id', 'user_account.id')
    .select('user_account.id')
    .where('user_account.email', '=', email)
    .where('project_member.project_id', '=', projectId)
    .executeTakeFirst()
  return row !== undefined
}

/** Ends an invitation; one that is over already stays as it is. Null: the project (null: the installation) has none such. */
export const revokeInvitation = defineCommand<
  ControlSchema,
  {
    readonly projectId: string | null
    readonly id: string
    /** Without it an invitation of an owner is left alone: `owners_only`. */
    readonly mayManageOwners: boolean
    readonly origin: ChangeOrigin
  },
  | { readonly ok: true; readonly invitation: InvitationRow }
  | { readonly ok: false; readonly reason: 'not_found' | 'owners_only' }
>('invitation.revoke', async (tx, { projectId, id, mayManageOwners, origin }) => {
  const query = tx
    .selectFrom('invitation')
    .selectAll()
    .where('id', '=', id)
    .where('project_id', projectId === null ? 'is' : '=', projectId)
  const before = await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()
  if (before === undefined) return { ok: false, reason: 'not_found' }
  if (before.role === 'owner' && !mayManageOwners) return { ok: false, reason: 'owners_only' }
  if (before.accepted_at !== null || before.revoked_at !== null) return { ok: true, invitation: before }
  const invitation = await tx
    .updateTable('invitation')
    .set({ revoked_at: origin.nowMs })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'invitation.revoke',
    target: id,
    detail: { email: before.email },
  })
  return { ok: true, invitation }
})

/** `role`: what the person is in the project now; a member keeps a role that is higher than the invitation's. */
export type InvitationAcceptance =
  | { readonly ok: true; readonly opened: OpenInvitation; readonly role: Role | null }
  | { readonly ok: false; readonly reason: 'not_found' | 'for_another' }

/** Makes a person what the invitation says. It works once, and only for the address that was invited. */
export const acceptInvitation = defineCommand<
  ControlSchema,
  { readonly tokenHmac: Uint8Array; readonly userId: string; readonly origin: ChangeOrigin },
  InvitationAcceptance
>('invitation.accept', async (tx, { tokenHmac, userId, origin }) => {
  const opened = await lockOpenInvitation(tx, tokenHmac, origin.nowMs)
  if (opened === null) return { ok: false, reason: 'not_found' }
  const person = await loadPerson(tx, userId)
  if (person?.email !== opened.invitation.email) return { ok: false, reason: 'for_another' }
  if (opened.project === null) {
    // Whoever holds the account has the link as well, which an operator made for the address.
    await tx.updateTable('user_account').set({ email_verified: 1 }).where('id', '=', userId).execute()
  }
  return { ok: true, opened, role: await accept(tx, opened, person, origin) }
})

/** Somebody who has no account yet. The password itself never gets here: only its hash. */
export type NewcomerDetails = Omit<NewPerson, 'email' | 'isOperator'>

export type NewcomerAcceptance =
  | { readonly ok: true; readonly opened: OpenInvitation; readonly role: Role | null }
  | { readonly ok: false; readonly reason: 'not_found' | 'has_account' }

/**
 * Makes an account with the address that was invited, and makes it what the invitation says. The event's actor is the
 * new person. A link that a member of a project passes on proves nothing about the address, so it counts as verified
 * only when an operator invited: else whoever invites could take an address that somebody else signs in with later.
 * Then an account that holds the address and never showed that it is theirs gives way.
 */
export const acceptInvitationAsNewcomer = defineErasingCommand<
  ControlSchema,
  { readonly tokenHmac: Uint8Array; readonly newcomer: NewcomerDetails; readonly origin: ChangeOrigin },
  NewcomerAcceptance
>('invitation.accept_as_newcomer', async (tx, { tokenHmac, newcomer, origin }) => {
  const opened = await lockOpenInvitation(tx, tokenHmac, origin.nowMs)
  if (opened === null) return { ok: false, reason: 'not_found' }
  const { email, project_id: projectId, created_at: decidedAt } = opened.invitation
  if (projectId === null) await displaceHolder(tx, { email, decidedAt, because: 'invitation', origin })
  const made = await insertPerson(tx, { ...newcomer, email, isOperator: false }, origin)
  if (!made) return { ok: false, reason: 'has_account' }
  if (projectId !== null) {
    await tx.updateTable('user_account').set({ email_verified: 0 }).where('id', '=', newcomer.id).execute()
  }
  const person = { id: newcomer.id, is_operator: 0 }
  return { ok: true, opened, role: await accept(tx, opened, person, origin) }
})

/** An open invitation whose project, and then itself, is locked: the order of all commands about members. */
async function lockOpenInvitation(
  tx: Kysely<ControlSchema>,
  tokenHmac: Uint8Array,
  nowMs: number,
): Promise<OpenInvitation | null> {
  const found = await loadOpenInvitation(tx, tokenHmac, nowMs)
  if (found === null) return null
  const { project } = found
  if (project !== null && (await lockLiveProject(tx, project.id)) === null) return null
  const query = tx
    .selectFrom('invitation')
    .selectAll()
    .where('id', '=', found.invitation.id)
    .where(isPending(nowMs))
  const invitation = await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()
  return invitation === undefined ? null : { invitation, project }
}

async function accept(
  tx: Kysely<ControlSchema>,
  { invitation, project }: OpenInvitation,
  person: { readonly id: string; readonly is_operator: number },
  origin: ChangeOrigin,
): Promise<Role | null> {
  await tx
    .updateTable('invitation')
    .set({ accepted_at: origin.nowMs, accepted_by: person.id })
    .where('id', '=', invitation.id)
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: project?.id ?? null,
    action: 'invitation.accept',
    target: invitation.id,
    detail: { email: invitation.email, role: invitation.role },
  })
  if (invitation.is_operator === 1 && person.is_operator !== 1) await makeOperator(tx, person.id, origin)
  if (project === null || invitation.role === null) return null
  return join(tx, { project, userId: person.id, role: invitation.role, origin })
}

async function makeOperator(tx: Kysely<ControlSchema>, userId: string, origin: ChangeOrigin): Promise<void> {
  await tx.updateTable('user_account').set({ is_operator: 1 }).where('id', '=', userId).execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'person.make_operator',
    target: userId,
    detail: { because: 'invitation' },
  })
}

async function join(
  tx: Kysely<ControlSchema>,
  {
    project,
    userId,
    role,
    origin,
  }: {
    readonly project: NonNullable<OpenInvitation['project']>
    readonly userId: string
    readonly role: Role
    readonly origin: ChangeOrigin
  },
): Promise<Role> {
  const before = await loadMemberRole(tx, project.id, userId)
  if (before === null) {
    const member = { project_id: project.id, user_id: userId, namespace: project.namespace, role }
    await insertMember(tx, member, origin)
    return role
  }
  if (ROLES.indexOf(before) <= ROLES.indexOf(role)) return before
  await tx
    .updateTable('project_member')
    .set({ role })
    .where('project_id', '=', project.id)
    .where('user_id', '=', userId)
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: project.id,
    action: 'member.update',
    target: userId,
    detail: { role, before, because: 'invitation' },
  })
  return role
}

export const invitationCommands = [
  createInvitation,
  revokeInvitation,
  acceptInvitation,
  acceptInvitationAsNewcomer,
]

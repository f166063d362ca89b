import { randomBytes, randomUUID } from 'node:crypto'
import type { Role } from '@berth/api/access'
import { ApiError } from '@berth/api/errors'
import type {
  Invitation,
  InvitationAccepted,
  InvitationPreview,
  InvitationSecret,
} from '@berth/api/invitations'
import { MAX_INVITATION_TOKEN_LENGTH } from '@berth/api/limits'
import { mintKeyId } from '../../access/key.ts'
import type { InvitationRow } from '../../metastore/member-tables.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import {
  acceptInvitation as acceptInvitationCommand,
  acceptInvitationAsNewcomer,
  createInvitation as createInvitationCommand,
  loadOpenInvitation,
  type OpenInvitation,
  revokeInvitation as revokeInvitationCommand,
} from '../../metastore/queries/invitation.ts'
import { ownersOnly } from '../members/service.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp } from '../time.ts'

const SECRET_BYTES = 32

/** Where the link of an invitation leads. */
export const INVITATION_PATH = '/invitation'

/** An invitation as the contract shows it. */
export function toInvitation(row: InvitationRow, nowMs: number): Invitation {
  return {
    id: row.id,
    projectId: row.project_id,
    email: row.email,
    role: row.role,
    operator: row.is_operator === 1,
    state: stateOf(row, nowMs),
    createdAt: toTimestamp(row.created_at),
    createdBy: row.created_by,
    expiresAt: toTimestamp(row.expires_at),
  }
}

function stateOf(row: InvitationRow, nowMs: number): Invitation['state'] {
  if (row.accepted_at !== null) return 'accepted'
  if (row.revoked_at !== null) return 'revoked'
  return row.expires_at <= nowMs ? 'expired' : 'pending'
}

export interface InvitationRequest {
  /** Null: to the installation. */
  readonly projectId: string | null
  readonly email: string
  readonly role: Role | null
  readonly operator: boolean
  readonly expiresInSeconds: number
  /** Whether the caller may replace an open invitation of an owner. */
  readonly mayManageOwners: boolean
}

/**
 * Invites a person. The answer alone has the link: the database holds an HMAC of its secret.
 * Raises `project_not_found`, `already_member`, `too_many_invitations`, `forbidden` (instead of an owner, by an admin).
 */
export async function createInvitation(
  runtime: ControlRuntime,
  request: InvitationRequest,
  origin: ChangeOrigin,
): Promise<InvitationSecret> {
  const token = `berth-invitation-${randomBytes(SECRET_BYTES).toString('base64url')}`
  const { projectId, role } = request
  const invitation = {
    id: mintKeyId(),
    projectId,
    email: request.email.toLowerCase(),
    role,
    isOperator: request.operator,
    tokenHmac: runtime.operatorAuth.hmac(token),
    expiresAt: origin.nowMs + request.expiresInSeconds * 1000,
    mayManageOwners: request.mayManageOwners,
  }
  const outcome = await runtime.db.run(createInvitationCommand, { invitation, origin })
  if (!outcome.ok) {
    if (outcome.reason === 'owners_only') throw ownersOnly()
    throw new ApiError(outcome.reason === 'too_many' ? 'too_many_invitations' : outcome.reason)
  }
  const link = `${runtime.consoleUrl}${INVITATION_PATH}?token=${token}`
  return { ...toInvitation(outcome.invitation, origin.nowMs), link, token }
}

/** Ends an invitation. Raises `invitation_not_found`, `forbidden` (of an owner, by an admin). */
export async function revokeInvitation(
  runtime: ControlRuntime,
  target: { readonly projectId: string | null; readonly id: string; readonly mayManageOwners: boolean },
  origin: ChangeOrigin,
): Promise<Invitation> {
  const outcome = await runtime.db.run(revokeInvitationCommand, { ...target, origin })
  if (outcome.ok) return toInvitation(outcome.invitation, origin.nowMs)
  throw outcome.reason === 'owners_only' ? ownersOnly() : new ApiError('invitation_not_found')
}

/** The open invitation of a link's secret; null when there is none. */
export async function openInvitation(runtime: ControlRuntime, token: string): Promise<OpenInvitation | null> {
  if (token.length > MAX_INVITATION_TOKEN_LENGTH) return null
  const hmac = runtime.operatorAuth.hmac(token)
  return loadOpenInvitation(runtime.db.reader, hmac, runtime.clock.nowMs())
}

/** What the person invited is shown. */
export function toPreview({ invitation, project }: OpenInvitation): InvitationPreview {
  return {
    email: invitation.email,
    role: invitation.role,
    operator: invitation.is_operator === 1,
    project,
    expiresAt: toTimestamp(invitation.expires_at),
  }
}

/** Who has no account yet, as the page of an invitation asks for it. */
export interface Newcomer {
  readonly name: string
  /** PHC string. */
  readonly passwordHash: string
}

/**
 * Makes an account with the address that was invited, and accepts the invitation with it. Answers the new person's id.
 * Raises `invitation_not_found`, `invitation_for_another` (somebody has an account with this address: they sign in).
 */
export async function acceptAsNewcomer(
  runtime: ControlRuntime,
  token: string,
  { name, passwordHash }: Newcomer,
  request: { readonly requestId: string },
): Promise<{ readonly userId: string; readonly accepted: InvitationAccepted }> {
  const userId = randomUUID()
  const newcomer = { id: userId, credentialId: randomUUID(), name, passwordHash }
  const origin = { actor: `person:${userId}`, requestId: request.requestId, nowMs: runtime.clock.nowMs() }
  const tokenHmac = runtime.operatorAuth.hmac(token)
  const outcome = await runtime.db.run(acceptInvitationAsNewcomer, { tokenHmac, newcomer, origin })
  if (!outcome.ok) throw refusal(outcome.reason)
  return { userId, accepted: toAccepted(outcome) }
}

/** Accepts an invitation for a person. Raises `invitation_not_found`, `invitation_for_another`. */
export async function acceptInvitation(
  runtime: ControlRuntime,
  token: string,
  userId: string,
  origin: ChangeOrigin,
): Promise<InvitationAccepted> {
  const tokenHmac = runtime.operatorAuth.hmac(token)
  const outcome = await runtime.db.run(acceptInvitationCommand, { tokenHmac, userId, origin })
  if (!outcome.ok) throw refusal(outcome.reason)
  return toAccepted(outcome)
}

function toAccepted({ opened, role }: { opened: OpenInvitation; role: Role | null }): InvitationAccepted {
  const { expiresAt: _, ...preview } = toPreview(opened)
  return { ...preview, role }
}

function refusal(reason: 'not_found' | 'for_another' | 'has_account'): ApiError {
  return new ApiError(reason === 'not_found' ? 'invitation_not_found' : 'invitation_for_another')
}

import { z } from 'zod'
import { timestamp } from './fields.ts'
import {
  DEFAULT_INVITATION_SECONDS,
  MAX_EMAIL_LENGTH,
  MAX_INVITATION_SECONDS,
  MAX_INVITATION_TOKEN_LENGTH,
} from './limits.ts'
import { role } from './members.ts'
import { pageOf, pageQuery } from './paging.ts'
import { projectParams } from './projects.ts'

/** An e-mail address in a request. Addresses are compared in lower case. */
export const emailInput = z
  .string()
  .trim()
  .max(MAX_EMAIL_LENGTH)
  .pipe(z.email('must be an e-mail address'))
  .meta({ examples: ['ada@example.com'] })

const invitationId = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[0-9a-z]+$/, 'must be the id of an invitation')

export const invitationParams = projectParams.extend({ invitation: invitationId })
export const installationInvitationParams = z.strictObject({ invitation: invitationId })

export const invitation = z
  .object({
    id: z.string(),
    projectId: z.string().nullable().describe('Null: an invitation to the installation.'),
    email: z.string(),
    role: role.nullable().describe('Role in the project; null for the installation.'),
    operator: z.boolean().describe('Whether the person becomes an operator of the installation.'),
    state: z.enum(['pending', 'accepted', 'revoked', 'expired']),
    createdAt: timestamp,
    createdBy: z.string(),
    expiresAt: timestamp,
  })
  .meta({ id: 'Invitation' })

export type Invitation = z.output<typeof invitation>

export const invitationPage = pageOf('InvitationPage', invitation)

export const invitationListQuery = pageQuery.extend({
  state: z
    .enum(['pending', 'all'])
    .default('pending')
    .describe('`all` also lists accepted, revoked and expired invitations.'),
})

const expiresInSeconds = z
  .int()
  .min(60)
  .max(MAX_INVITATION_SECONDS)
  .default(DEFAULT_INVITATION_SECONDS)
  .describe('How long the link works.')

export const invitationCreate = z
  .strictObject({ email: emailInput, role, expiresInSeconds })
  .meta({ id: 'InvitationCreate' })

export type InvitationCreate = z.output<typeof invitationCreate>

export const installationInvitationCreate = z
  .strictObject({
    email: emailInput,
    operator: z.boolean().default(false).describe('Make the person an operator of the installation.'),
    expiresInSeconds,
  })
  .meta({ id: 'InstallationInvitationCreate' })

export type InstallationInvitationCreate = z.output<typeof installationInvitationCreate>

/** Berth sends no mail: whoever invites passes the link on. This answer alone has it. */
export const invitationSecret = invitation
  .extend({
    link: z.string().describe('To be opened by the person invited. It is not shown again.'),
    token: z.string().describe("The link's secret, for `invitations.accept`."),
  })
  .meta({ id: 'InvitationSecret' })

export type InvitationSecret = z.output<typeof invitationSecret>

export const invitationToken = z
  .strictObject({ token: z.string().min(1).max(MAX_INVITATION_TOKEN_LENGTH) })
  .meta({ id: 'InvitationToken' })

/** What the person invited is shown before accepting. */
export const invitationPreview = z
  .object({
    email: z.string(),
    role: role.nullable(),
    operator: z.boolean(),
    project: z
      .object({ id: z.string(), namespace: z.string(), name: z.string() })
      .nullable()
      .describe('Null: an invitation to the installation.'),
    expiresAt: timestamp,
  })
  .meta({ id: 'InvitationPreview' })

export type InvitationPreview = z.output<typeof invitationPreview>

export const invitationAccepted = invitationPreview
  .omit({ expiresAt: true })
  .meta({ id: 'InvitationAccepted' })

export type InvitationAccepted = z.output<typeof invitationAccepted>

import { ROLES } from '@berth/api/access'
import type { Invitation, InvitationSecret } from '@berth/api/invitations'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { formatRelative, parseSeconds } from '../format.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'
import { parseRole } from './members.ts'

interface PlaceOptions {
  readonly installation?: boolean
}

interface CreateOptions extends PlaceOptions {
  readonly role?: string
  readonly operator?: boolean
  readonly expires?: string
}

const INSTALLATION = 'to the whole installation instead of a project (operators only)'

/** `invitations …` */
export const defineInvitations: Define = (parent, io) => {
  const invitations = parent
    .command('invitations')
    .description('links that let people into a project, or make them an account')

  leaf(invitations, 'create <email>', 'invite somebody; the link is shown once, and is for you to pass on')
    .option('--role <role>', `role in the project: ${ROLES.join(', ')} (default: developer)`)
    .option('--installation', INSTALLATION)
    .option('--operator', 'with --installation: make the person an operator')
    .option('--expires <duration>', 'how long the link works, such as 12h or 3d (default: 7d)')
    .action(
      withSession<CreateOptions>(io, async (session, [email = ''], options) => {
        showLink(session, await create(session, email, options), io.nowMs())
      }),
    )

  withListOptions(leaf(invitations, 'list', 'list invitations, without their links'))
    .option('--installation', INSTALLATION)
    .option('--all-states', 'also list those that were accepted, revoked or have expired')
    .action(
      withSession<ListOptions & PlaceOptions & { allStates?: boolean }>(
        io,
        async (session, _args, options) => {
          const query = { state: options.allStates === true ? ('all' as const) : ('pending' as const) }
          const page =
            options.installation === true
              ? await readList(session.client, 'installationInvitations.list', { query }, options)
              : await readList(
                  session.client,
                  'invitations.list',
                  { params: { project: session.project() }, query },
                  options,
                )
          showList(session, page, invitationColumns(io.nowMs()), 'There are no open invitations.')
        },
      ),
    )

  leaf(invitations, 'revoke <id>', 'revoke an invitation: its link works no more')
    .option('--installation', INSTALLATION)
    .action(
      withSession<PlaceOptions>(io, async (session, [invitation = ''], options) => {
        const { client } = session
        const revoked =
          options.installation === true
            ? await client.call('installationInvitations.revoke', { params: { invitation } })
            : await client.call('invitations.revoke', { params: { project: session.project(), invitation } })
        show(session, revoked, ({ email, state }) => [
          state === 'accepted'
            ? `${email} had accepted the invitation already.`
            : `Revoked the invitation of ${email}.`,
        ])
      }),
    )
}

async function create(session: Session, email: string, options: CreateOptions): Promise<InvitationSecret> {
  const { client } = session
  const lifetime = options.expires === undefined ? {} : { expiresInSeconds: secondsOf(options.expires) }
  if (options.installation === true) {
    if (options.role !== undefined) throw new CliError('usage', 'A role is one in a project.')
    const body = { email, operator: options.operator === true, ...lifetime }
    return client.call('installationInvitations.create', { body })
  }
  if (options.operator === true) throw new CliError('usage', '--operator needs --installation.')
  const params = { project: session.project() }
  const body = { email, role: parseRole(options.role ?? 'developer'), ...lifetime }
  return client.call('invitations.create', { params, body })
}

function secondsOf(text: string): number {
  const seconds = parseSeconds(text)
  if (seconds !== null) return seconds
  throw new CliError('usage', `--expires "${text}" is not a duration such as 12h or 3d.`)
}

function showLink(session: Session, created: InvitationSecret, nowMs: number): void {
  show(session, created, ({ email, link, expiresAt }) => [
    `Invited ${email}${whatAs(created)}. Pass this link on; it works once, and ends ${formatRelative(expiresAt, nowMs)}:`,
    '',
    `  ${link}`,
    '',
    'It is not shown again.',
  ])
}

function whatAs({ role, operator }: Invitation): string {
  if (role !== null) return ` as ${role}`
  return operator ? ' as an operator' : ''
}

function invitationColumns(nowMs: number) {
  return [
    { title: 'ID', value: (row: Invitation) => row.id },
    { title: 'E-MAIL', value: (row: Invitation) => row.email },
    { title: 'ROLE', value: (row: Invitation) => row.role ?? (row.operator ? 'operator' : 'none') },
    { title: 'STATE', value: (row: Invitation) => row.state },
    { title: 'EXPIRES', value: (row: Invitation) => formatRelative(row.expiresAt, nowMs) },
    { title: 'INVITED BY', value: (row: Invitation) => row.createdBy },
  ]
}

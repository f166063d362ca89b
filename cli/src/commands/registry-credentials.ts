import type { RegistryCredentials } from '@berth/api/registries'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { findRegistry } from '../find-registry.ts'
import { formatRelative, parseSeconds } from '../format.ts'
import { note } from '../io.ts'
import { fields, show } from '../output.ts'
import type { Session } from '../session.ts'
import { withSpinner } from '../spinner.ts'

/** `registries credentials …`, of managed registries. */
export const defineRegistryCredentials: Define = (registries, io) => {
  const credentials = registries
    .command('credentials')
    .description('credentials of a managed registry: made when they are asked for, and shown again')

  leaf(credentials, 'generate <registry>', 'make credentials that pull and push in its region').action(
    withSession(io, async (session, [reference = '']) => {
      const params = await paramsOf(session, reference)
      const made = await session.client.call('registries.generateCredentials', { params })
      showCredentials(
        session,
        made,
        'Generated. Owners and admins can see them again; each time is an audit event.',
      )
    }),
  )

  leaf(credentials, 'show <registry>', 'show the credentials again; this is an audit event').action(
    withSession(io, async (session, [reference = '']) => {
      const params = await paramsOf(session, reference)
      showCredentials(session, await session.client.call('registries.showCredentials', { params }), null)
    }),
  )

  leaf(credentials, 'rotate <registry>', 'make a new password')
    .option(
      '--overlap <duration>',
      'how long the password before goes on working, such as 12h; 0s ends it at once (default: 1d)',
    )
    .action(
      withSession<{ overlap?: string }>(io, async (session, [reference = ''], { overlap }) => {
        const overlapSeconds = overlap === undefined ? undefined : parseSeconds(overlap)
        if (overlapSeconds === null) {
          throw new CliError(
            'usage',
            `--overlap "${overlap ?? ''}" is not a duration such as 30m, 12h or 7d.`,
          )
        }
        const params = await paramsOf(session, reference)
        const body = overlapSeconds === undefined ? {} : { overlapSeconds }
        const rotated = await withSpinner(session, 'Rotating', () =>
          session.client.call('registries.rotateCredentials', { params, body }),
        )
        const before =
          rotated.overlapEndsAt === null
            ? 'The password before has ended.'
            : `The password before ends ${formatRelative(rotated.overlapEndsAt, io.nowMs())}.`
        showCredentials(session, rotated, before)
      }),
    )

  leaf(
    credentials,
    'revoke <registry>',
    'end the credentials; when this returns nothing accepts them any more',
  ).action(
    withSession(io, async (session, [reference = '']) => {
      const { id, name, region } = await findRegistry(session, reference)
      await confirmByName(session, `This revokes the credentials of ${name}, at once.`, region ?? name)
      const params = { project: session.project(), registry: id }
      const revoked = await withSpinner(session, 'Revoking', () =>
        session.client.call('registries.revokeCredentials', { params }),
      )
      show(session, revoked, ({ keyId }) => [`Revoked the credentials of ${name} (key ${keyId}) everywhere.`])
    }),
  )
}

async function paramsOf(session: Session, reference: string) {
  const { id } = await findRegistry(session, reference)
  return { project: session.project(), registry: id }
}

/** The only place that prints a stored password. The command asks for it: an argument could be read by others. */
function showCredentials(session: Session, credentials: RegistryCredentials, message: string | null): void {
  show(session, credentials, ({ host, username, password, login }) => [
    ...(message === null ? [] : [message, '']),
    ...fields([
      ['Host', host],
      ['Username', username],
      ['Password', password],
    ]),
    '',
    'To log in (docker asks for the password; scripts add --password-stdin):',
    ...login.map(({ command }) => `  ${command}`),
  ])
  const pending = credentials.propagation?.pendingRegions ?? []
  if (pending.length > 0) {
    note(session.io, `warning: ${pending.join(', ')} could not be reached and will follow when it can.`)
  }
}

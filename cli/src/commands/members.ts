import { type Role, ROLES } from '@berth/api/access'
import type { Member, MemberRemoved } from '@berth/api/members'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatRelative } from '../format.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'
import { withSpinner } from '../spinner.ts'

/** `members …` */
export const defineMembers: Define = (parent, io) => {
  const members = parent
    .command('members')
    .description('who belongs to a project, and what they may do there')

  withListOptions(leaf(members, 'list', "list a project's members")).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const params = { project: session.project() }
      const page = await readList(session.client, 'members.list', { params }, options)
      showList(
        session,
        page,
        [
          { title: 'NAME', value: (row) => row.name, shrink: true },
          { title: 'E-MAIL', value: (row) => row.email },
          { title: 'ROLE', value: (row) => row.role },
          { title: 'SINCE', value: (row) => formatRelative(row.createdAt, io.nowMs()) },
          { title: 'ID', value: (row) => row.userId },
        ],
        'The project has no members. Invite somebody with: berth invitations create <e-mail>',
      )
    }),
  )

  leaf(members, 'set-role <person> <role>', `give a member another role: ${ROLES.join(', ')}`).action(
    withSession(io, async (session, [person = '', role = '']) => {
      const member = await findMember(session, person)
      const input = {
        params: { project: session.project(), user: member.userId },
        body: { role: parseRole(role) },
      }
      const changed = await withSpinner(session, 'Changing the role', () =>
        session.client.call('members.update', input),
      )
      show(session, changed, ({ name, role: now, revokedKeys }) => [
        `${name} is ${now} now.`,
        ...endedKeys(revokedKeys),
      ])
    }),
  )

  leaf(members, 'remove <person>', 'remove a member, with the API keys of their own').action(
    withSession(io, async (session, [person = '']) => {
      const { userId, name, email } = await findMember(session, person)
      const what = `This removes ${name} (${email}) from the project, with all keys of their own.`
      await confirmByName(session, what, email)
      const params = { project: session.project(), user: userId }
      const removed = await withSpinner(session, 'Removing', () =>
        session.client.call('members.remove', { params }),
      )
      show(session, removed, describeRemoval(`${name} is no member any more.`))
    }),
  )

  leaf(members, 'leave', 'leave a project; your own API keys for it end').action(
    withSession(io, async (session) => {
      const project = session.project()
      await confirmByName(session, `You leave the project ${project}, and your own keys for it end.`, project)
      const left = await withSpinner(session, 'Leaving', () =>
        session.client.call('members.leave', { params: { project } }),
      )
      show(session, left, describeRemoval(`You left ${project}.`))
    }),
  )
}

/** A role as it is typed. Raises a usage error. */
export function parseRole(text: string): Role {
  const role = ROLES.find((each) => each === text)
  if (role !== undefined) return role
  throw new CliError('usage', `"${text}" is not a role: choose from ${ROLES.join(', ')}.`)
}

/** A member by id or e-mail address. */
async function findMember(session: Session, person: string): Promise<Member> {
  const params = { project: session.project() }
  const { items } = await readList(session.client, 'members.list', { params }, { all: true })
  const wanted = person.toLowerCase()
  const found = items.find(({ userId, email }) => userId === person || email === wanted)
  if (found !== undefined) return found
  throw new CliError(
    'notFound',
    `"${person}" is no member of ${params.project}.`,
    'See who is: berth members list',
  )
}

function describeRemoval(message: string): (removed: MemberRemoved) => string[] {
  return ({ revokedKeys }) => [message, ...endedKeys(revokedKeys)]
}

/** Which keys ended with a change, for people. */
export function endedKeys(ids: readonly string[]): string[] {
  return ids.length === 0 ? [] : [`Their keys ended, everywhere: ${ids.join(', ')}.`]
}

import type { Person, PersonUpdate } from '@berth/api/people'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatRelative, printable } from '../format.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'
import { withSpinner } from '../spinner.ts'
import { endedKeys } from './members.ts'

interface SetOptions {
  readonly operator?: boolean
  readonly disable?: boolean
  readonly enable?: boolean
}

/** `people …` */
export const definePeople: Define = (parent, io) => {
  const people = parent
    .command('people')
    .description('who has an account on this Berth (for operators); <person> is an id or an e-mail address')

  withListOptions(leaf(people, 'list', 'list people')).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const page = await readList(session.client, 'people.list', {}, options)
      const empty = 'There is nobody. Invite somebody with: berth invitations create <e-mail> --installation'
      showList(session, page, personColumns(io.nowMs()), empty)
    }),
  )

  leaf(people, 'set <person>', 'make a person an operator or not, disable or enable their account')
    .option('--operator', 'may do everything in this Berth')
    .option('--no-operator', 'may do only what projects let them')
    .option('--disable', 'end sessions, tokens and own API keys, and let nobody sign in with the account')
    .option('--enable', 'let the person sign in again')
    .action(
      withSession<SetOptions>(io, async (session, [who = ''], options) => {
        const body = readUpdate(options)
        const { id, name, email } = await findPerson(session, who)
        if (body.disabled === true) {
          const what = `This disables the account of ${printable(name)} (${email}), and ends its sessions, tokens and keys.`
          await confirmByName(session, what, email)
        }
        const changed = await withSpinner(session, 'Changing the account', () =>
          session.client.call('people.update', { params: { user: id }, body }),
        )
        show(session, changed, (person) => [describePerson(person), ...endedKeys(person.revokedKeys)])
      }),
    )

  leaf(people, 'reset-password <person>', 'make a link that sets a new password; it is shown once').action(
    withSession(io, async (session, [who = '']) => {
      const { id } = await findPerson(session, who)
      const made = await session.client.call('people.resetPassword', { params: { user: id } })
      // The only place that prints the link.
      show(session, made, ({ email, link, expiresAt }) => [
        `Pass this link on to ${email}; it works once, and ends ${formatRelative(expiresAt, io.nowMs())}:`,
        '',
        `  ${link}`,
        '',
        'It is not shown again. Their sessions end when they use it.',
      ])
    }),
  )
}

function readUpdate({ operator, disable, enable }: SetOptions): PersonUpdate {
  if (disable === true && enable === true) throw new CliError('usage', 'Either --disable or --enable.')
  const isDisabled = disable === true ? true : enable === true ? false : undefined
  if (operator === undefined && isDisabled === undefined) {
    throw new CliError('usage', 'Say what to change: --operator, --no-operator, --disable or --enable.')
  }
  return {
    ...(operator === undefined ? {} : { isOperator: operator }),
    ...(isDisabled === undefined ? {} : { disabled: isDisabled }),
  }
}

/** A person by id or e-mail address. */
async function findPerson(session: Session, who: string): Promise<Person> {
  const { items } = await readList(session.client, 'people.list', {}, { all: true })
  const wanted = who.toLowerCase()
  const found = items.find(({ id, email }) => id === who || email === wanted)
  if (found !== undefined) return found
  throw new CliError('notFound', `"${who}" has no account here.`, 'See who has: berth people list')
}

function describePerson({ name, isOperator, disabled }: Person): string {
  const is = isOperator ? 'an operator' : 'no operator'
  return `${printable(name)} is ${is}, and the account is ${disabled ? 'disabled' : 'enabled'}.`
}

function personColumns(nowMs: number) {
  return [
    { title: 'NAME', value: (row: Person) => printable(row.name), shrink: true },
    { title: 'E-MAIL', value: (row: Person) => row.email },
    { title: 'OPERATOR', value: (row: Person) => (row.isOperator ? 'yes' : '') },
    { title: 'STATE', value: (row: Person) => (row.disabled ? 'disabled' : 'enabled') },
    { title: 'SIGNS IN WITH', value: (row: Person) => row.methods.join(', ') },
    { title: 'LAST SIGN-IN', value: (row: Person) => formatRelative(row.lastSignInAt, nowMs) },
    { title: 'SINCE', value: (row: Person) => formatRelative(row.createdAt, nowMs) },
    { title: 'ID', value: (row: Person) => row.id },
  ]
}

import type { Registry, RegistryTested } from '@berth/api/registries'
import { Argument } from 'commander'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { findRegistry } from '../find-registry.ts'
import { formatRelative, parseSeconds, printable } from '../format.ts'
import { note } from '../io.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { PASSWORD_VARIABLE, readPassword } from '../password-input.ts'
import type { Session } from '../session.ts'
import { withSpinner } from '../spinner.ts'
import { defineRegistryBrowse } from './registry-browse.ts'
import { defineRegistryCredentials } from './registry-credentials.ts'

const DAY_SECONDS = 86_400

interface LoginOptions {
  readonly username?: string
  readonly passwordStdin?: boolean
}

interface AddOptions extends LoginOptions {
  readonly name?: string
  readonly slug?: string
  readonly host?: string
}

interface UpdateOptions extends AddOptions {
  readonly anonymous?: boolean
}

/** `registries …` */
export const defineRegistries: Define = (parent, io) => {
  const registries = parent
    .command('registries')
    .description("registries: a project's managed one in each region, and third-party ones")

  withListOptions(leaf(registries, 'list', "list a project's registries")).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const input = { params: { project: session.project() } }
      const page = await readList(session.client, 'registries.list', input, options)
      showList(session, page, COLUMNS, 'There are no registries.')
    }),
  )

  leaf(registries, 'show <registry>', 'show a registry, by its slug, its region or its id').action(
    withSession(io, async (session, [reference = '']) => {
      show(session, await findRegistry(session, reference), describe(io.nowMs()))
    }),
  )
  defineThirdParty(registries, io)
  defineChecks(registries, io)
  defineSchedule(registries, io)
  defineRegistryBrowse(registries, io)
  defineRegistryCredentials(registries, io)
}

/** What connects, changes and disconnects third-party registries. */
const defineThirdParty: Define = (registries, io) => {
  leaf(registries, 'add', 'connect a third-party registry; its password is asked for')
    .addArgument(new Argument('<kind>', 'which kind').choices(['docker-hub', 'ghcr', 'custom']))
    .option('--host <host>', 'of a custom registry: host or host:port')
    .option('--name <name>', 'display name')
    .option('--slug <slug>', 'its place in the namespace of the project')
    .option('--username <name>', 'leave out for public images')
    .option(
      '--password-stdin',
      `read the password or token from standard input (or set ${PASSWORD_VARIABLE})`,
    )
    .action(
      withSession<AddOptions>(io, async (session, [kind = ''], options) => {
        const provider = kind === 'docker-hub' ? 'docker_hub' : (kind as 'ghcr' | 'custom')
        const { name, slug, host } = options
        const body = {
          provider,
          ...(name === undefined ? {} : { name }),
          ...(slug === undefined ? {} : { slug }),
          ...(host === undefined ? {} : { host }),
          ...(await readLogin(session, options, host ?? kind)),
        } as const
        const params = { project: session.project() }
        const added = await session.client.call('registries.create', { params, body })
        show(session, added, () => [
          `Connected ${added.name} (${added.slug ?? added.id}). See whether it works: berth registries test ${added.slug ?? added.id}`,
          ...added.pullAddresses.map(({ address }) => `  docker pull ${address}/<repository>`),
        ])
      }),
    )

  leaf(registries, 'update <registry>', 'change a third-party registry')
    .option('--host <host>', 'of a custom registry; its password has to be given again')
    .option('--name <name>', 'display name')
    .option('--slug <slug>', 'its place in the namespace of the project')
    .option('--username <name>', 'a new login; its password is asked for')
    .option(
      '--password-stdin',
      `read the password or token from standard input (or set ${PASSWORD_VARIABLE})`,
    )
    .option('--anonymous', 'remove the stored login')
    .action(
      withSession<UpdateOptions>(io, async (session, [reference = ''], options) => {
        await update(session, reference, options)
      }),
    )
}

/** What tries and disconnects them. */
const defineChecks: Define = (registries, io) => {
  leaf(registries, 'test <registry>', 'try the connection and the login, and say what is wrong')
    .option('--repository <repository>', 'also see whether this can be pulled, such as library/alpine:latest')
    .action(
      withSession<{ repository?: string }>(io, async (session, [reference = ''], { repository }) => {
        const { id, name } = await findRegistry(session, reference)
        const input = {
          params: { project: session.project(), registry: id },
          body: repository === undefined ? {} : { repository },
        }
        const tested = await withSpinner(session, 'Testing', () =>
          session.client.call('registries.test', input),
        )
        show(session, tested, testLines)
        if (!tested.ok) throw new CliError('failure', `${name} does not work.`)
      }),
    )

  leaf(registries, 'remove <registry>', 'disconnect a third-party registry and forget its login').action(
    withSession(io, async (session, [reference = '']) => {
      const { id, name, slug } = await findRegistry(session, reference)
      const what = `This disconnects ${name}. Images that were not pulled yet cannot be pulled through it any more.`
      await confirmByName(session, what, slug ?? name)
      const params = { project: session.project(), registry: id }
      const removed = await session.client.call('registries.delete', { params })
      show(session, removed, () => [`Disconnected ${name}. Its login is forgotten.`])
    }),
  )
}

async function update(session: Session, reference: string, options: UpdateOptions): Promise<void> {
  const { name, slug, host, anonymous } = options
  if (anonymous === true && options.username !== undefined) {
    throw new CliError('usage', '--anonymous removes the login, --username sets one: give one of them.')
  }
  const { id } = await findRegistry(session, reference)
  const login =
    anonymous === true ? { username: null, password: null } : await readLogin(session, options, reference)
  const body = {
    ...(name === undefined ? {} : { name }),
    ...(slug === undefined ? {} : { slug }),
    ...(host === undefined ? {} : { host }),
    ...login,
  }
  if (Object.keys(body).length === 0) throw new CliError('usage', 'Nothing to change was given.')
  const params = { project: session.project(), registry: id }
  const changed = await session.client.call('registries.update', { params, body })
  show(session, changed, (registry) => [`Changed ${registry.name}.`])
  if (changed.notice !== null) note(session.io, `warning: ${changed.notice}`)
}

async function readLogin(
  session: Session,
  options: LoginOptions,
  where: string,
): Promise<{ username: string; password: string } | Record<string, never>> {
  const { username } = options
  if (username !== undefined) {
    return { username, password: await readPassword(session.io, `Password or token for ${where}`, options) }
  }
  if (options.passwordStdin === true) throw new CliError('usage', '--password-stdin needs --username.')
  return {}
}

const defineSchedule: Define = (registries, io) => {
  leaf(registries, 'schedule <registry>', 'rotate the credentials of a managed registry by themselves')
    .option('--every <duration>', 'in whole days, such as 30d')
    .option('--overlap <duration>', 'how long the password before goes on working (default: 1d)')
    .option('--off', 'end the schedule')
    .action(
      withSession<{ every?: string; overlap?: string; off?: boolean }>(
        io,
        async (session, [reference = ''], options) => {
          const rotation = options.off === true ? null : readSchedule(options)
          const { id } = await findRegistry(session, reference)
          const input = { params: { project: session.project(), registry: id }, body: { rotation } }
          const changed = await session.client.call('registries.update', input)
          show(session, changed, ({ name, rotation: set }) => [
            set === null
              ? `The credentials of ${name} are not rotated by themselves.`
              : `The credentials of ${name} are rotated every ${set.everyDays} days${set.dueAt === null ? ', once there are any' : `, next ${formatRelative(set.dueAt, io.nowMs())}`}.`,
          ])
        },
      ),
    )
}

function readSchedule({ every, overlap }: { readonly every?: string; readonly overlap?: string }) {
  const everySeconds = every === undefined ? null : parseSeconds(every)
  if (everySeconds === null || everySeconds % DAY_SECONDS !== 0 || everySeconds === 0) {
    throw new CliError('usage', 'Say how often, in whole days: --every 30d. To end a schedule: --off')
  }
  const overlapSeconds = overlap === undefined ? undefined : parseSeconds(overlap)
  if (overlapSeconds === null)
    throw new CliError('usage', `--overlap "${overlap ?? ''}" is not a duration such as 12h or 7d.`)
  return {
    everyDays: everySeconds / DAY_SECONDS,
    ...(overlapSeconds === undefined ? {} : { overlapSeconds }),
  }
}

const COLUMNS = [
  { title: 'NAME', value: (row: Registry) => row.name, shrink: true },
  { title: 'KIND', value: (row: Registry) => row.provider },
  { title: 'SLUG', value: (row: Registry) => row.slug ?? '' },
  { title: 'REGION', value: (row: Registry) => row.region ?? '' },
  { title: 'ADDRESS', value: (row: Registry) => row.address },
  { title: 'LOGIN', value: (row: Registry) => (row.hasPassword ? (row.username ?? '') : 'none') },
]

function describe(nowMs: number): (registry: Registry) => string[] {
  return (registry) =>
    fields([
      ['Id', registry.id],
      ['Name', registry.name],
      ['Kind', registry.provider],
      ...(registry.slug === null ? [] : ([['Slug', registry.slug]] as const)),
      ...(registry.region === null ? [] : ([['Region', registry.region]] as const)),
      ['Host', registry.host],
      ['Pull', registry.pullAddresses.map(({ address }) => `${address}/…`).join(', ')],
      [
        'Login',
        registry.hasPassword
          ? `${registry.username ?? ''}, set ${formatRelative(registry.passwordSetAt, nowMs)}`
          : 'none',
      ],
      ...(registry.keyId === null ? [] : ([['API key', registry.keyId]] as const)),
      ...(registry.exchange === null
        ? []
        : ([['Exchange', 'short-lived ECR password at each use']] as const)),
      ...(registry.rotation === null
        ? []
        : ([
            [
              'Rotation',
              `every ${registry.rotation.everyDays} days, next ${formatRelative(registry.rotation.dueAt, nowMs)}`,
            ],
          ] as const)),
      ['Created', formatRelative(registry.createdAt, nowMs)],
    ])
}

/** What the other side says may hold anything, so it is made safe for a terminal. */
function testLines({ nextStep, checks }: RegistryTested): string[] {
  return [
    ...checks.map((check) => `${check.ok ? 'ok  ' : 'FAIL'}  ${check.step}: ${printable(check.message)}`),
    // The reason is what the check that failed says.
    ...(nextStep === null ? [] : [printable(nextStep)]),
  ]
}

import type { ApiKey, ApiKeyChanged, ApiKeySecret } from '@berth/api/api-keys'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, listOption, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatRelative, parseSeconds } from '../format.ts'
import { note } from '../io.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { parseExpiry } from '../parse-expiry.ts'
import type { Session } from '../session.ts'
import { withSpinner } from '../spinner.ts'

interface CreateOptions {
  readonly actions?: string[]
  readonly repositories?: string[]
  readonly regions?: string[]
  readonly cidrs?: string[]
  readonly expires?: string
  readonly own?: boolean
}

/** `keys …` */
export const defineKeys: Define = (parent, io) => {
  const keys = parent
    .command('keys')
    .description("API keys: what people and CI log in to a project's registry with")

  withListOptions(leaf(keys, 'list', "list a project's keys"))
    .option('--all-states', 'also list revoked and expired keys')
    .action(
      withSession<ListOptions & { allStates?: boolean }>(io, async (session, _args, options) => {
        const state = options.allStates === true ? ('all' as const) : ('active' as const)
        const input = { params: { project: session.project() }, query: { state } }
        const page = await readList(session.client, 'apiKeys.list', input, options)
        showList(
          session,
          page,
          keyColumns(io.nowMs()),
          'There are no keys. Create one with: berth keys create <name>',
        )
        warnOfExpiry(session, page.items)
      }),
    )

  leaf(keys, 'create <name>', 'create a key; it is shown once')
    .addOption(listOption('--actions <actions>', 'pull, push, delete (default: pull,push)'))
    .addOption(listOption('--repositories <globs>', 'such as "web/**" (default: the whole project)'))
    .addOption(listOption('--regions <regions>', 'regions in which it works (default: all)'))
    .addOption(listOption('--cidrs <networks>', 'networks from which it works (default: any)'))
    .option('--expires <when>', 'a duration such as 90d, or a date such as 2027-01-31')
    .option('--own', 'a key of your own: it can do no more than your role, and ends when you leave')
    .action(
      withSession<CreateOptions>(io, async (session, [name = ''], options) => {
        const body = { name, ...scopeOf(options, io.nowMs()) }
        const params = { project: session.project() }
        const created = await session.client.call('apiKeys.create', { params, body })
        showSecret(session, created, `Created the key "${created.name}" (${created.id}).`)
      }),
    )

  leaf(keys, 'show <id>', 'show a key, without its secret').action(
    withSession(io, async (session, [key = '']) => {
      const params = { project: session.project(), key }
      show(session, await session.client.call('apiKeys.show', { params }), describeKey(io.nowMs()))
    }),
  )
  defineKeyChanges(keys, io)
}

/** What changes a key that exists. */
const defineKeyChanges: Define = (keys, io) => {
  leaf(keys, 'revoke <id>', 'revoke a key; when this returns nothing accepts it any more').action(
    withSession(io, async (session, [key = '']) => revoke(session, key)),
  )

  leaf(keys, 'rotate <id>', 'give a key a new secret; it is shown once')
    .option(
      '--overlap <duration>',
      'how long the secret before goes on working, such as 12h; 0s ends it at once (default: 1d)',
    )
    .action(
      withSession<{ overlap?: string }>(io, async (session, [key = ''], { overlap }) => {
        const overlapSeconds = overlap === undefined ? undefined : secondsOf(overlap, '--overlap')
        const input = { params: { project: session.project(), key }, body: { overlapSeconds } }
        const rotated = await withSpinner(session, 'Rotating', () =>
          session.client.call('apiKeys.rotate', input),
        )
        const before =
          rotated.overlapEndsAt === null
            ? 'The one before has ended.'
            : `The one before ends ${formatRelative(rotated.overlapEndsAt, io.nowMs())}.`
        showSecret(session, rotated, `The key "${rotated.name}" has a new secret. ${before}`)
      }),
    )

  leaf(keys, 'end-overlap <id>', 'end the secret before the last rotation now').action(
    withSession(io, async (session, [key = '']) => {
      const params = { project: session.project(), key }
      const changed = await withSpinner(session, 'Ending the overlap', () =>
        session.client.call('apiKeys.endOverlap', { params }),
      )
      show(session, changed, () => [
        `Only the newest secret of "${changed.name}" works now. ${reach(changed)}`,
      ])
    }),
  )
}

async function revoke(session: Session, id: string): Promise<void> {
  const params = { project: session.project(), key: id }
  const { name } = await session.client.call('apiKeys.show', { params })
  await confirmByName(session, `This revokes the key "${name}" everywhere, at once.`, name)
  const revoked = await withSpinner(session, 'Revoking', () =>
    session.client.call('apiKeys.revoke', { params }),
  )
  show(session, revoked, () => [`Revoked the key "${name}". ${reach(revoked)}`])
}

function reach({ propagation }: ApiKeyChanged): string {
  const { replicas, tookMs } = propagation
  return `In force everywhere (${replicas} ${replicas === 1 ? 'replica' : 'replicas'}, ${Math.round(tookMs)} ms).`
}

/** The only place that prints a key. The command asks for it: an argument would be readable in the process list. */
function showSecret(session: Session, created: ApiKeySecret, message: string): void {
  show(session, created, ({ key, login }) => [
    message,
    '',
    `  ${key}`,
    '',
    'It is not shown again. To log in (docker asks for the key; scripts add --password-stdin):',
    ...login.map(({ command }) => `  ${command}`),
  ])
  const { pendingRegions } = created.propagation
  if (pendingRegions.length > 0) {
    note(
      session.io,
      `warning: ${pendingRegions.join(', ')} could not be reached and will follow when it can.`,
    )
  }
}

function scopeOf(options: CreateOptions, nowMs: number) {
  const { actions, repositories, regions, cidrs, expires, own } = options
  return {
    ...(actions === undefined ? {} : { actions: actions.map(parseAction) }),
    ...(repositories === undefined ? {} : { repositories }),
    ...(regions === undefined ? {} : { regions }),
    ...(cidrs === undefined ? {} : { cidrs }),
    ...(expires === undefined ? {} : { expiresAt: parseExpiry(expires, nowMs) }),
    ...(own === undefined ? {} : { own }),
  }
}

function parseAction(text: string): 'pull' | 'push' | 'delete' {
  if (text === 'pull' || text === 'push' || text === 'delete') return text
  throw new CliError('usage', `"${text}" is not an action: choose from pull, push, delete.`)
}

function secondsOf(text: string, option: string): number {
  const seconds = parseSeconds(text)
  if (seconds === null)
    throw new CliError('usage', `${option} "${text}" is not a duration such as 30m, 12h or 7d.`)
  return seconds
}

function keyColumns(nowMs: number) {
  return [
    { title: 'ID', value: (row: ApiKey) => row.id },
    { title: 'NAME', value: (row: ApiKey) => row.name, shrink: true },
    { title: 'STATE', value: (row: ApiKey) => row.state },
    { title: 'ACTIONS', value: (row: ApiKey) => row.actions.join(',') },
    { title: 'REPOSITORIES', value: (row: ApiKey) => row.repositories.join(','), shrink: true },
    { title: 'OF', value: (row: ApiKey) => row.userId ?? 'project' },
    { title: 'EXPIRES', value: (row: ApiKey) => expiryText(row, nowMs) },
    { title: 'LAST USED', value: (row: ApiKey) => formatRelative(row.lastUsedAt, nowMs) },
  ]
}

/** Keys that end within days, beside the list, so that nobody finds out by a failing push. */
function warnOfExpiry({ io }: Session, keys: readonly ApiKey[]): void {
  const ending = keys.filter(({ expiresSoon }) => expiresSoon)
  if (ending.length === 0) return
  const names = ending.map(({ name, expiresAt }) => `"${name}" (${formatRelative(expiresAt, io.nowMs())})`)
  note(io, `warning: these keys expire soon: ${names.join(', ')}. Make new ones and log in with them.`)
}

function expiryText({ expiresAt, expiresSoon }: ApiKey, nowMs: number): string {
  return formatRelative(expiresAt, nowMs) + (expiresSoon ? ' (soon)' : '')
}

function describeKey(nowMs: number): (key: ApiKey) => string[] {
  return (key) =>
    fields([
      ['Id', key.id],
      ['Name', key.name],
      ['State', key.state],
      ['Actions', key.actions.join(', ')],
      ['Repositories', key.repositories.join(', ')],
      ['Regions', key.regions.length === 0 ? 'all' : key.regions.join(', ')],
      ['Networks', key.cidrs.length === 0 ? 'any' : key.cidrs.join(', ')],
      ['Created', `${formatRelative(key.createdAt, nowMs)} by ${key.createdBy}`],
      ['Of', key.userId ?? 'the project'],
      ['Expires', expiryText(key, nowMs)],
      ['Last used', formatRelative(key.lastUsedAt, nowMs)],
      ['Secret version', String(key.version)],
      ...(key.overlapEndsAt === null
        ? []
        : ([['Secret before', `ends ${formatRelative(key.overlapEndsAt, nowMs)}`]] as const)),
      ...(key.revokedAt === null ? [] : ([['Revoked', formatRelative(key.revokedAt, nowMs)]] as const)),
    ])
}

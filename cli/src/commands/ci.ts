import type { CiSnippet, TrustRule, TrustRuleChanged } from '@berth/api/trust-rules'
import { type Command, Option } from 'commander'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, listOption, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatRelative, parseSeconds } from '../format.ts'
import { note } from '../io.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'
import { withSpinner } from '../spinner.ts'

interface RuleOptions {
  readonly provider?: string
  readonly issuer?: string
  readonly audience?: string
  readonly condition?: Record<string, string>
  readonly actions?: string[]
  readonly repositories?: string[]
  readonly regions?: string[]
  readonly cidrs?: string[]
  readonly sessionDuration?: string
  readonly exchangeOnly?: boolean
  readonly name?: string
  readonly enable?: boolean
  readonly disable?: boolean
  readonly allowPassword?: boolean
}

const PROVIDERS: Readonly<Record<string, TrustRule['provider']>> = {
  github: 'github_actions',
  gitlab: 'gitlab_ci',
  circleci: 'circleci',
  custom: 'custom',
}
const SNIPPET_PROVIDERS = ['github', 'gitlab', 'circleci', 'jenkins'] as const

/** `ci …` */
export const defineCi: Define = (parent, io) => {
  const ci = parent.command('ci').description('push and pull from CI: without keys, and what to paste')
  const rules = ci.command('rules').description('which CI jobs the project trusts')
  defineRuleQueries(rules, io)
  defineRuleChanges(rules, io)

  leaf(ci, 'snippet', 'print a workflow file that signs in, builds and pushes')
    .addOption(
      new Option('--provider <service>', 'where it runs').choices(SNIPPET_PROVIDERS).makeOptionMandatory(),
    )
    .addOption(
      new Option('--mode <mode>', 'with an API key, or with the CI service’s own tokens')
        .choices(['key', 'keyless'])
        .default('keyless'),
    )
    .option('--region <region>', 'default: the host without a region when there is one, else the first')
    .option('--image <repository>', 'repository below the namespace (default: app)')
    .action(
      withSession<{
        provider: CiSnippet['provider']
        mode: CiSnippet['mode']
        region?: string
        image?: string
      }>(io, async (session, _args, { provider, mode, region, image }) => {
        const query = {
          provider,
          mode,
          ...(region === undefined ? {} : { region }),
          ...(image === undefined ? {} : { image }),
        }
        const params = { project: session.project() }
        const snippet = await session.client.call('ci.snippet', { params, query })
        // The file alone goes to standard output, so that it can be redirected.
        show(session, snippet, ({ content }) => content.trimEnd().split('\n'))
        if (session.options.json === true) return
        note(io, `\nThis is ${snippet.fileName}. Once before:`)
        for (const step of snippet.setup) note(io, `  - ${step}`)
      }),
    )
}

const defineRuleQueries: Define = (rules, io) => {
  withListOptions(leaf(rules, 'list', 'list the trust rules')).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const input = { params: { project: session.project() } }
      const page = await readList(session.client, 'trustRules.list', input, options)
      showList(
        session,
        page,
        ruleColumns(io.nowMs()),
        'There are no trust rules. Add one with: berth ci rules add <name>',
      )
    }),
  )

  leaf(rules, 'show <id>', 'show a trust rule').action(
    withSession(io, async (session, [rule = '']) => {
      const params = { project: session.project(), rule }
      show(session, await session.client.call('trustRules.show', { params }), describeRule(io.nowMs()))
    }),
  )
}

/** Options of what a rule trusts and grants. */
function withRuleOptions(command: Command): Command {
  return command
    .option('--audience <text>', 'what jobs ask their token to be made for (default: <console>/<namespace>)')
    .addOption(
      new Option('--condition <claim=value>', 'what a claim must be; may be given several times').argParser(
        parseCondition,
      ),
    )
    .addOption(listOption('--actions <actions>', 'pull, push, delete (default: pull,push)'))
    .addOption(listOption('--repositories <globs>', 'such as "web/**" (default: the whole project)'))
    .addOption(listOption('--regions <regions>', 'regions in which it works (default: all)'))
    .addOption(listOption('--cidrs <networks>', 'networks from which it works (default: any)'))
    .option('--session-duration <duration>', 'how long an exchanged token signs in (default: 15m)')
}

const defineRuleChanges: Define = (rules, io) => {
  withRuleOptions(leaf(rules, 'add <name>', 'trust the jobs of a CI service'))
    .addOption(
      new Option('--provider <service>', 'whose tokens')
        .choices(Object.keys(PROVIDERS))
        .makeOptionMandatory(),
    )
    .option('--issuer <url>', 'issuer of the tokens (default: that of github.com or gitlab.com)')
    .option('--exchange-only', 'take each CI token once, in an exchange, and never as a password')
    .action(
      withSession<RuleOptions>(io, async (session, [name = ''], options) => {
        const provider = PROVIDERS[options.provider ?? ''] ?? 'custom'
        const body = {
          name,
          provider,
          conditions: options.condition ?? {},
          ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
          ...(options.exchangeOnly === true ? { exchangeOnly: true } : {}),
          ...settingsOf(options),
        }
        const params = { project: session.project() }
        const created = await withSpinner(session, 'Adding', () =>
          session.client.call('trustRules.create', { params, body }),
        )
        show(session, created, (rule) => [
          `Added the trust rule "${rule.name}" (${rule.id}).`,
          '',
          ...describeRule(io.nowMs())(rule),
        ])
        warnPending(session, created)
      }),
    )

  withRuleOptions(leaf(rules, 'update <id>', 'change a trust rule; --condition replaces all conditions'))
    .option('--name <name>', 'another name')
    .option('--exchange-only', 'take each CI token once, in an exchange, and never as a password')
    .option('--allow-password', 'take CI tokens as passwords, too')
    .option('--enable', 'switch it on')
    .option('--disable', 'switch it off: every token that was made from it ends')
    .action(
      withSession<RuleOptions>(io, async (session, [rule = ''], options) => {
        const params = { project: session.project(), rule }
        const body = { ...settingsOf(options), ...switchesOf(options) }
        if (Object.keys(body).length === 0) throw new CliError('usage', 'Say what to change.')
        const changed = await withSpinner(session, 'Changing', () =>
          session.client.call('trustRules.update', { params, body }),
        )
        show(session, changed, () => [`Changed the trust rule "${changed.name}". ${reach(changed)}`])
      }),
    )

  leaf(rules, 'remove <id>', 'remove a trust rule; when this returns no token made from it works').action(
    withSession(io, async (session, [rule = '']) => {
      const params = { project: session.project(), rule }
      const { name } = await session.client.call('trustRules.show', { params })
      await confirmByName(session, `This removes the trust rule "${name}" everywhere, at once.`, name)
      const removed = await withSpinner(session, 'Removing', () =>
        session.client.call('trustRules.remove', { params }),
      )
      show(session, removed, () => [`Removed the trust rule "${name}". ${reach(removed)}`])
    }),
  )
}

function parseCondition(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const equals = text.indexOf('=')
  if (equals < 1) throw new CliError('usage', `"${text}" is not a condition such as ref=refs/heads/main.`)
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) }
}

function settingsOf(options: RuleOptions) {
  const { audience, condition, actions, repositories, regions, cidrs, sessionDuration } = options
  return {
    ...(audience === undefined ? {} : { audience }),
    ...(condition === undefined ? {} : { conditions: condition }),
    ...(actions === undefined ? {} : { actions: actions.map(parseAction) }),
    ...(repositories === undefined ? {} : { repositories }),
    ...(regions === undefined ? {} : { regions }),
    ...(cidrs === undefined ? {} : { cidrs }),
    ...(sessionDuration === undefined ? {} : { sessionSeconds: parseDuration(sessionDuration) }),
  }
}

function switchesOf({ name, exchangeOnly, allowPassword, enable, disable }: RuleOptions) {
  if (enable === true && disable === true) throw new CliError('usage', 'Either --enable or --disable.')
  if (exchangeOnly === true && allowPassword === true) {
    throw new CliError('usage', 'Either --exchange-only or --allow-password.')
  }
  return {
    ...(name === undefined ? {} : { name }),
    ...(exchangeOnly === true ? { exchangeOnly: true } : {}),
    ...(allowPassword === true ? { exchangeOnly: false } : {}),
    ...(enable === true ? { enabled: true } : {}),
    ...(disable === true ? { enabled: false } : {}),
  }
}

function parseAction(text: string): 'pull' | 'push' | 'delete' {
  if (text === 'pull' || text === 'push' || text === 'delete') return text
  throw new CliError('usage', `"${text}" is not an action: choose from pull, push, delete.`)
}

function parseDuration(text: string): number {
  const seconds = parseSeconds(text)
  if (seconds === null) throw new CliError('usage', `"${text}" is not a duration such as 15m or 1h.`)
  return seconds
}

function reach({ propagation }: TrustRuleChanged): string {
  const { replicas, tookMs } = propagation
  return `In force everywhere (${replicas} ${replicas === 1 ? 'replica' : 'replicas'}, ${Math.round(tookMs)} ms).`
}

function warnPending(session: Session, { propagation }: TrustRuleChanged): void {
  const { pendingRegions } = propagation
  if (pendingRegions.length === 0) return
  const names = pendingRegions.join(', ')
  note(session.io, `warning: ${names} could not be reached and will follow when it can.`)
}

function ruleColumns(nowMs: number) {
  return [
    { title: 'ID', value: (row: TrustRule) => row.id },
    { title: 'NAME', value: (row: TrustRule) => row.name, shrink: true },
    { title: 'PROVIDER', value: (row: TrustRule) => row.provider },
    { title: 'STATE', value: (row: TrustRule) => (row.enabled ? 'enabled' : 'disabled') },
    { title: 'CONDITIONS', value: (row: TrustRule) => conditionsText(row, ','), shrink: true },
    { title: 'ACTIONS', value: (row: TrustRule) => row.actions.join(',') },
    { title: 'LAST USED', value: (row: TrustRule) => formatRelative(row.lastUsedAt, nowMs) },
  ]
}

function conditionsText({ conditions }: TrustRule, separator: string): string {
  return Object.entries(conditions)
    .map(([claim, value]) => `${claim}=${value}`)
    .join(separator)
}

function describeRule(nowMs: number): (rule: TrustRule) => string[] {
  return (rule) =>
    fields([
      ['Id', rule.id],
      ['Name', rule.name],
      ['State', rule.enabled ? 'enabled' : 'disabled'],
      ['Provider', rule.provider],
      ['Issuer', rule.issuer],
      ['Audience', rule.audience],
      ['Conditions', conditionsText(rule, ', ')],
      ['Actions', rule.actions.join(', ')],
      ['Repositories', rule.repositories.join(', ')],
      ['Regions', rule.regions.length === 0 ? 'all' : rule.regions.join(', ')],
      ['Networks', rule.cidrs.length === 0 ? 'any' : rule.cidrs.join(', ')],
      ['CI token', rule.exchangeOnly ? 'exchanged, once' : 'exchanged once, or as the password'],
      ['Session', `${rule.sessionSeconds} s`],
      ['Created', `${formatRelative(rule.createdAt, nowMs)} by ${rule.createdBy}`],
      ['Last used', formatRelative(rule.lastUsedAt, nowMs)],
    ])
}

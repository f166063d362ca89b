import type { Policies, RetentionReport, RetentionRule, RetentionVerdict } from '@berth/api/policies'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, listOption, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatBytes, formatRelative, parseSeconds } from '../format.ts'
import type { Io } from '../io.ts'
import { outputWidth } from '../io.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { inRegion, type RegionOptions } from '../region-option.ts'
import type { Session } from '../session.ts'
import { withSpinner } from '../spinner.ts'
import { renderTable } from '../table.ts'

/** Longest that a run is waited for: one run removes no more than a fixed number of things. */
const RUN_TIMEOUT_MS = 30 * 60_000
const DAY_SECONDS = 86_400

interface RuleOptions {
  readonly repos?: string[]
  readonly tags?: string[]
  readonly keepLast?: string
  readonly keepPushed?: string
  readonly keepPulled?: string
}

/** `retention …` */
export const defineRetention: Define = (parent, io) => {
  const retention = parent
    .command('retention')
    .description('rules that say which tags a project keeps; what they remove can be restored from the trash')

  leaf(retention, 'show', 'show the rules and the newest run').action(
    withSession(io, async (session) => {
      const params = { project: session.project() }
      const { retention: found } = await session.client.call('policies.show', { params })
      const { regions } = await session.client.call('retention.status', { params })
      show(session, { retention: found, regions }, (all) => [
        ...describeRules(all.retention, outputWidth(io)),
        ...all.regions.map(
          (run) =>
            `${run.region}: ${run.outcome === null ? 'not run yet' : `${run.outcome} ${formatRelative(run.startedAt, io.nowMs())}, removed ${run.removedTags} tags and ${run.removedManifests} manifests`}${run.detail === null ? '' : ` (${run.detail})`}.`,
        ),
      ])
    }),
  )
  defineRules(retention, io)
  defineRuns(retention, io)
}

/** Changing the rules. */
const defineRules: Define = (retention, io) => {
  leaf(retention, 'add <name>', 'add a rule, or replace the one with this name')
    .addOption(listOption('--repos <globs>', 'repositories that it is about (default: all)'))
    .addOption(listOption('--tags <patterns>', 'tags that it is about, such as "pr-*" (default: all)'))
    .option('--keep-last <count>', 'keep the newest so many of them in each repository')
    .option('--keep-pushed <age>', 'keep those pushed within, such as 30d')
    .option('--keep-pulled <age>', 'keep those whose image was pulled within, such as 14d')
    .action(
      withSession<RuleOptions>(io, async (session, [name = ''], options) => {
        const rule = ruleOf(name, options)
        await changeRules(session, (before) => ({
          ...before,
          rules: [...before.rules.filter((each) => each.name !== name), rule],
        }))
      }),
    )

  leaf(retention, 'remove <name>', 'remove a rule').action(
    withSession(io, async (session, [name = '']) => {
      await changeRules(session, (before) => {
        const rules = before.rules.filter((each) => each.name !== name)
        if (rules.length < before.rules.length) return { ...before, rules }
        throw new CliError('usage', `There is no rule "${name}".`, 'See them: berth retention show')
      })
    }),
  )

  leaf(
    retention,
    'untagged <age>',
    'remove manifests without a tag, push and pull for so long; "never" keeps them',
  )
    .addOption(listOption('--repos <globs>', 'repositories that it is about (default: all)'))
    .action(
      withSession<RuleOptions>(io, async (session, [age = ''], { repos }) => {
        const untagged =
          age === 'never'
            ? []
            : [{ afterDays: parseDays(age), ...(repos === undefined ? {} : { repositories: repos }) }]
        await changeRules(session, (before) => ({ ...before, untagged }))
      }),
    )

  leaf(retention, 'clear', 'remove all rules: everything is kept').action(
    withSession(io, async (session) => {
      const params = { project: session.project() }
      const changed = await session.client.call('policies.update', { params, body: { retention: null } })
      show(session, changed, () => describeRules(null, null))
    }),
  )
}

/** Looking at what the rules do, and applying them. */
const defineRuns: Define = (retention, io) => {
  withListOptions(leaf(retention, 'preview [repository]', 'list what the rules keep and remove, and why'))
    .option('--region <region>', 'only of this region')
    .option('--removed', 'only what would be removed')
    .action(
      withSession<ListOptions & RegionOptions & { removed?: boolean }>(
        io,
        async (session, [repository], options) => {
          const query = {
            ...inRegion(options),
            ...(repository === undefined ? {} : { repository }),
            ...(options.removed === true ? { show: 'removed' as const } : {}),
          }
          const input = { params: { project: session.project() }, query }
          const page = await readList(session.client, 'retention.preview', input, options)
          showList(session, page, verdictColumns(io), 'The rules are about nothing that is here.')
        },
      ),
    )

  leaf(retention, 'run', 'apply the rules now')
    .option('--region <region>', 'only in this region')
    .option('--dry-run', 'say how much would be removed and freed, and remove nothing')
    .action(
      withSession<RegionOptions & { dryRun?: boolean }>(io, async (session, _args, options) => {
        const params = { project: session.project() }
        const report = (dryRun: boolean) =>
          session.client.call(
            'retention.run',
            { params, body: { ...inRegion(options), dryRun } },
            { timeoutMs: RUN_TIMEOUT_MS },
          )
        const forecast = await withSpinner(session, 'Looking', () => report(true))
        if (options.dryRun === true) return show(session, forecast, reportLines)
        const tags = forecast.regions.reduce((sum, region) => sum + (region.forecast?.removedTags ?? 0), 0)
        const what = `This removes ${tags} tags; until their time in the trash is over they can be restored.`
        await confirmByName(session, what, session.project())
        show(session, await withSpinner(session, 'Removing', () => report(false)), reportLines)
      }),
    )
}

function ruleOf(name: string, options: RuleOptions): Partial<RetentionRule> & { name: string } {
  const { repos, tags, keepLast, keepPushed, keepPulled } = options
  return {
    name,
    ...(repos === undefined ? {} : { repositories: repos }),
    ...(tags === undefined ? {} : { tags }),
    ...(keepLast === undefined ? {} : { keepLast: parseCount(keepLast) }),
    ...(keepPushed === undefined ? {} : { keepPushedWithinDays: parseDays(keepPushed) }),
    ...(keepPulled === undefined ? {} : { keepPulledWithinDays: parseDays(keepPulled) }),
  }
}

/** Rules as they are sent: what is left out gets its default. */
interface Rules {
  readonly rules: readonly (Partial<RetentionRule> & { name: string })[]
  readonly untagged: readonly { readonly afterDays: number; readonly repositories?: string[] }[]
}

async function changeRules(session: Session, change: (before: Rules) => Rules): Promise<void> {
  const params = { project: session.project() }
  const { retention } = await session.client.call('policies.show', { params })
  const { rules, untagged } = change(retention ?? { rules: [], untagged: [] })
  const body = { retention: { rules: [...rules], untagged: [...untagged] } }
  const changed = await session.client.call('policies.update', { params, body })
  show(session, changed, (found) => [
    ...describeRules(found.retention, outputWidth(session.io)),
    'They are applied within the hour, and then daily. See what that removes: berth retention preview --removed',
  ])
}

function describeRules(retention: Policies['retention'], width: number | null): string[] {
  if (retention === null) return ['There are no rules: everything is kept.']
  const { rules, untagged } = retention
  const table = renderTable<RetentionRule>(
    [
      { title: 'RULE', value: (rule) => rule.name },
      { title: 'REPOSITORIES', value: (rule) => rule.repositories.join(', '), shrink: true },
      { title: 'TAGS', value: (rule) => rule.tags.join(', '), shrink: true },
      { title: 'KEEPS', value: keepsText, shrink: true },
    ],
    rules,
    width,
  )
  return [
    ...(rules.length === 0 ? ['No rule is about tags: all are kept.'] : table),
    ...untagged.map(
      (rule) => `Untagged manifests in ${rule.repositories.join(', ')} go after ${rule.afterDays} days.`,
    ),
  ]
}

function keepsText({ keepLast, keepPushedWithinDays, keepPulledWithinDays }: RetentionRule): string {
  return [
    ...(keepLast === null ? [] : [`the last ${keepLast}`]),
    ...(keepPushedWithinDays === null ? [] : [`pushed within ${keepPushedWithinDays}d`]),
    ...(keepPulledWithinDays === null ? [] : [`pulled within ${keepPulledWithinDays}d`]),
  ].join(', ')
}

function verdictColumns(io: Io) {
  return [
    { title: 'REPOSITORY', value: (row: RetentionVerdict) => row.repository },
    { title: 'TAG', value: (row: RetentionVerdict) => row.tag ?? '(none)' },
    { title: 'DIGEST', value: (row: RetentionVerdict) => row.digest },
    { title: '', value: (row: RetentionVerdict) => (row.keep ? 'keep' : 'REMOVE') },
    { title: 'RULE', value: (row: RetentionVerdict) => row.rule ?? '' },
    { title: 'WHY', value: (row: RetentionVerdict) => row.reason, shrink: true },
    { title: 'PULLED', value: (row: RetentionVerdict) => formatRelative(row.lastPulledAt, io.nowMs()) },
  ]
}

function reportLines({ regions }: RetentionReport): string[] {
  return regions.map(({ region, forecast, result }) => {
    if (forecast !== null) {
      const more = forecast.isPartial ? ' There is more than one run removes.' : ''
      return `${region}: would remove ${forecast.removedTags} tags and ${forecast.removedManifests} manifests, keep ${forecast.keptTags} tags, and free ${formatBytes(forecast.freedBytes)}.${more}`
    }
    const detail = result?.detail ?? null
    return `${region}: removed ${result?.removedTags ?? 0} tags and ${result?.removedManifests ?? 0} manifests${detail === null ? '' : ` (${detail})`}.`
  })
}

function parseDays(text: string): number {
  const seconds = parseSeconds(text)
  if (seconds !== null && seconds >= DAY_SECONDS && seconds % DAY_SECONDS === 0) return seconds / DAY_SECONDS
  throw new CliError('usage', `"${text}" is not a number of days.`, 'Examples: 30d, 4w')
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw new CliError('usage', `"${text}" is not a count.`, 'Example: --keep-last 10')
}

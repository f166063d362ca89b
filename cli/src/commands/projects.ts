import type { Project } from '@berth/api/projects'
import type { Command } from 'commander'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, listOption, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatBytes, formatRelative, parseBytes } from '../format.ts'
import { note } from '../io.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'
import { withSpinner } from '../spinner.ts'

interface RuleOptions {
  readonly quota?: string
  readonly public?: string[]
  readonly private?: boolean
  readonly sparseIndexes?: boolean
  readonly homeRegion?: string
}

/** `projects …` */
export const defineProjects: Define = (parent, io) => {
  const projects = parent.command('projects').description('projects: each owns its repositories and keys')

  withListOptions(leaf(projects, 'list', 'list projects')).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const page = await readList(session.client, 'projects.list', {}, options)
      showList(
        session,
        page,
        [
          { title: 'NAMESPACE', value: (row) => row.namespace },
          { title: 'NAME', value: (row) => row.name, shrink: true },
          { title: 'ROLE', value: (row) => row.role ?? '' },
          { title: 'QUOTA', value: (row) => quotaText(row), align: 'right' },
          { title: 'CREATED', value: (row) => formatRelative(row.createdAt, io.nowMs()) },
        ],
        'There are no projects. Create one with: berth projects create <name>',
      )
    }),
  )

  withRules(leaf(projects, 'create <name>', 'create a project'))
    .option('--namespace <namespace>', 'first part of its repositories; made from the name when left out')
    .action(
      withSession<RuleOptions & { namespace?: string }>(io, async (session, [name = ''], options) => {
        const { namespace } = options
        const body = { name, ...(namespace === undefined ? {} : { namespace }), ...rulesOf(options) }
        const project = await session.client.call('projects.create', { body })
        show(session, project, (made) => [
          `Created the project "${made.name}" with the namespace ${made.namespace}.`,
        ])
        hint(session, `Make a key for it: berth keys create <name> --project ${project.namespace}`)
      }),
    )

  leaf(projects, 'check-namespace <namespace>', 'say whether a namespace can be had').action(
    withSession(io, async (session, [namespace = '']) => {
      const checked = await session.client.call('namespaces.check', { params: { namespace } })
      show(session, checked, ({ available, message }) => [
        available ? `${namespace} is free.` : `${namespace} cannot be had. ${message ?? ''}`.trimEnd(),
      ])
    }),
  )

  leaf(projects, 'show [project]', 'show a project').action(
    withSession(io, async (session, [named]) => {
      const params = { project: named ?? session.project() }
      show(session, await session.client.call('projects.show', { params }), describeProject(io.nowMs()))
    }),
  )

  leaf(projects, 'rename <project> <name>', 'change the display name; the namespace stays').action(
    withSession(io, async (session, [project = '', name = '']) => {
      const changed = await session.client.call('projects.update', { params: { project }, body: { name } })
      show(session, changed, () => [`The project ${changed.namespace} is now called "${changed.name}".`])
    }),
  )

  withRules(leaf(projects, 'set <project>', 'change quota and rules of a project'))
    .option('--private', 'no repository may be pulled without a credential')
    .action(
      withSession<RuleOptions>(io, async (session, [project = ''], options) => {
        const body = rulesOf(options)
        if (Object.keys(body).length === 0) {
          throw new CliError('usage', 'Nothing to change.', 'See: berth projects set --help')
        }
        const changed = await session.client.call('projects.update', { params: { project }, body })
        show(session, changed, describeProject(io.nowMs()))
      }),
    )

  leaf(projects, 'delete <project>', 'delete a project with all its keys and images').action(
    withSession(io, async (session, [named = '']) => deleteProject(session, named)),
  )
}

async function deleteProject(session: Session, named: string): Promise<void> {
  const { client, io } = session
  const { namespace } = await client.call('projects.show', { params: { project: named } })
  const what = `This deletes the project ${namespace} with all its keys and images. It cannot be undone.`
  await confirmByName(session, what, namespace)
  const input = { params: { project: namespace }, query: { confirm: namespace } }
  const deleted = await withSpinner(session, `Deleting ${namespace}`, () =>
    client.call('projects.delete', input),
  )
  show(session, deleted, () => [
    `Deleted ${namespace}. Nothing of it is served any more; its bytes are removed now.`,
  ])
  const { pendingRegions } = deleted.propagation
  if (pendingRegions.length > 0) {
    note(io, `warning: ${pendingRegions.join(', ')} could not be reached and will follow when it can.`)
  }
}

function withRules(command: Command): Command {
  return command
    .option('--quota <size>', 'most bytes in each region, such as 50GiB; "none" for no limit')
    .addOption(listOption('--public <globs>', 'repositories that anyone may pull, such as "open/**"'))
    .option('--sparse-indexes', 'accept an image index whose images are not all here')
    .option('--no-sparse-indexes', 'refuse it')
    .option('--home-region <region>', 'where the host without a region leads for this project')
}

function rulesOf(options: RuleOptions) {
  const publicRepositories = options.private === true ? [] : options.public
  return {
    ...(options.quota === undefined ? {} : { quotaBytes: parseQuota(options.quota) }),
    ...(publicRepositories === undefined ? {} : { publicRepositories }),
    ...(options.sparseIndexes === undefined ? {} : { allowSparseIndexes: options.sparseIndexes }),
    ...(options.homeRegion === undefined ? {} : { homeRegion: options.homeRegion }),
  }
}

function parseQuota(text: string): number | null {
  if (text === 'none') return null
  const bytes = parseBytes(text)
  if (bytes === null) throw new CliError('usage', `"${text}" is not a size.`, 'Example: --quota 50GiB')
  return bytes
}

function quotaText({ quotaBytes }: Project): string {
  return quotaBytes === null ? 'none' : formatBytes(quotaBytes)
}

function describeProject(nowMs: number): (project: Project) => string[] {
  return (project) =>
    fields([
      ['Namespace', project.namespace],
      ['Name', project.name],
      ['Id', project.id],
      ['Home region', project.homeRegion],
      ...(project.registryHost === null ? [] : [['Host of it', project.registryHost] as const]),
      ['Your role', project.role ?? 'none'],
      ['Quota', quotaText(project)],
      ['Public', project.publicRepositories.length === 0 ? 'nothing' : project.publicRepositories.join(', ')],
      ['Sparse indexes', project.allowSparseIndexes ? 'accepted' : 'refused'],
      ['Created', formatRelative(project.createdAt, nowMs)],
    ])
}

function hint({ io, options }: Session, text: string): void {
  if (options.json !== true) note(io, text)
}

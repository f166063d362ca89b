import type { AuditVerification } from '@berth/api/audit-events'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { formatRelative } from '../format.ts'
import { note } from '../io.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'
import { openProgress, withSpinner } from '../spinner.ts'
import { parseMoment } from '../moment.ts'

interface FilterOptions {
  readonly action?: string
  readonly source?: string
  readonly actor?: string
  readonly target?: string
  readonly since?: string
  readonly until?: string
  readonly request?: string
  readonly allProjects?: boolean
}

/** `audit …` */
export const defineAudit: Define = (parent, io) => {
  const audit = parent.command('audit').description('who changed what, and when')
  withFilter(withListOptions(leaf(audit, 'list', "list a project's events, newest first"))).action(
    withSession<ListOptions & FilterOptions>(io, async (session, _args, options) => {
      const query = filterOf(options, io.nowMs())
      const page =
        options.allProjects === true
          ? await readList(session.client, 'auditEvents.listAll', { query }, options)
          : await readList(
              session.client,
              'auditEvents.list',
              { params: { project: session.project() }, query },
              options,
            )
      showList(
        session,
        page,
        [
          { title: 'WHEN', value: (row) => formatRelative(row.at, io.nowMs()) },
          { title: 'WHO', value: (row) => row.actor },
          { title: 'ACTION', value: (row) => row.action },
          { title: 'TARGET', value: (row) => row.target },
          { title: 'WHERE', value: (row) => row.source },
          { title: 'REQUEST', value: (row) => row.requestId },
        ],
        'There are no events.',
      )
    }),
  )
  withFilter(leaf(audit, 'export', 'write events as NDJSON, oldest first')).action(
    withSession<FilterOptions>(io, (session, _args, options) => exportEvents(session, options)),
  )
  leaf(audit, 'verify', 'check the hash chain: what was altered, removed or put in, and where')
    .option('--all-projects', 'of all projects and of the installation')
    .option(
      '--since-head <heads...>',
      'heads that an earlier run printed: what was there then must be there still',
    )
    .action(withSession<VerifyOptions>(io, (session, _args, options) => verify(session, options)))
}

function withFilter(command: ReturnType<typeof leaf>): ReturnType<typeof leaf> {
  return command
    .option('--action <action>', 'only these: "tag" or "tag.delete"')
    .option('--source <source>', 'only "control", or one region')
    .option('--actor <actor>', 'only by this one: "operator", "person:<id>", or the id of a key')
    .option('--target <prefix>', 'only targets that begin with this')
    .option('--since <when>', 'a duration such as 7d, or a date such as 2027-01-31')
    .option('--until <when>', 'a duration such as 1d, or a date')
    .option('--request <id>', 'only what this request did')
    .option('--all-projects', 'of all projects and of the installation')
}

function filterOf(options: FilterOptions, nowMs: number) {
  const { action, source, actor, target, since, until, request } = options
  return {
    ...(action === undefined ? {} : { action }),
    ...(source === undefined ? {} : { source }),
    ...(actor === undefined ? {} : { actor }),
    ...(target === undefined ? {} : { target }),
    ...(since === undefined ? {} : { since: parseMoment(since, nowMs, '--since') }),
    ...(until === undefined ? {} : { until: parseMoment(until, nowMs, '--until') }),
    ...(request === undefined ? {} : { requestId: request }),
  }
}

/** The counter changes this often: more could not be read. */
const EVENTS_PER_COUNT = 500

/** Writes events as they come; no more than a line is held here. The counter is for when they go into a file or pipe. */
async function exportEvents(session: Session, options: FilterOptions): Promise<void> {
  const { client, io } = session
  const query = filterOf(options, io.nowMs())
  const events =
    options.allProjects === true
      ? await client.call('auditEvents.exportAll', { query })
      : await client.call('auditEvents.export', { params: { project: session.project() }, query })
  const progress = io.stdout.isTTY === true ? null : await openProgress(session)
  let count = 0
  try {
    progress?.show('Exporting')
    for await (const event of events) {
      count += 1
      if (count % EVENTS_PER_COUNT === 0) progress?.show(`Exporting: ${count} events`)
      const hasRoom = io.stdout.write(`${JSON.stringify(event)}\n`)
      if (!hasRoom) await new Promise((resolve) => io.stdout.once('drain', resolve))
    }
  } finally {
    progress?.clear()
  }
  note(io, count === 1 ? '1 event.' : `${count} events.`)
}

interface VerifyOptions {
  readonly allProjects?: boolean
  readonly sinceHead?: string[]
}

async function verify(session: Session, options: VerifyOptions): Promise<void> {
  const total = await withSpinner(session, 'Verifying', () => verifyAll(session, options))
  show(session, total, ({ checked, findings, heads }) => [
    ...findings.map(
      ({ kind, source, projectId, eventId, message }) =>
        `${kind}: ${source}, ${projectId ?? 'installation'}${eventId === null ? '' : `, event ${eventId}`}: ${message}`,
    ),
    findings.length === 0
      ? `${checked} events checked: every one is as it was written, and none is missing.`
      : `${checked} events checked: ${findings.length} findings.`,
    ...(heads.length === 0
      ? []
      : ['', 'Heads, to be kept elsewhere and given to --since-head another time:']),
    ...heads.map(({ head }) => `  ${head}`),
  ])
  if (total.findings.length > 0) throw new CliError('failure', 'The audit log is not as it was written.')
}

async function verifyAll(session: Session, options: VerifyOptions): Promise<AuditVerification> {
  const total: AuditVerification = { checked: 0, findings: [], heads: [], continuation: null }
  const sinceHeads = options.sinceHead?.join(',')
  do {
    const query = {
      ...(total.continuation === null ? {} : { cursor: total.continuation }),
      ...(sinceHeads === undefined ? {} : { sinceHeads }),
    }
    const part =
      options.allProjects === true
        ? await session.client.call('auditEvents.verifyAll', { query })
        : await session.client.call('auditEvents.verify', { params: { project: session.project() }, query })
    total.checked += part.checked
    total.findings.push(...part.findings)
    total.heads.push(...part.heads)
    total.continuation = part.continuation
    if (session.io.stderr.isTTY !== true && part.continuation !== null) {
      note(session.io, `${total.checked} events checked so far.`)
    }
  } while (total.continuation !== null)
  return total
}

import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { formatRelative } from '../format.ts'
import { showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'

interface AuditOptions extends ListOptions {
  readonly action?: string
  readonly source?: string
  readonly allProjects?: boolean
}

/** `audit …` */
export const defineAudit: Define = (parent, io) => {
  const audit = parent.command('audit').description('who changed what, and when')
  withListOptions(leaf(audit, 'list', "list a project's events, newest first"))
    .option('--action <action>', 'only these: "tag" or "tag.delete"')
    .option('--source <source>', 'only "control", or one region')
    .option('--all-projects', 'of all projects and of the installation')
    .action(
      withSession<AuditOptions>(io, async (session, _args, options) => {
        const { action, source } = options
        const query = {
          ...(action === undefined ? {} : { action }),
          ...(source === undefined ? {} : { source }),
        }
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
            { title: 'TARGET', value: (row) => row.target, shrink: true },
            { title: 'WHERE', value: (row) => row.source },
            { title: 'REQUEST', value: (row) => row.requestId, shrink: true },
          ],
          'There are no events.',
        )
      }),
    )
}

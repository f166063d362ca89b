import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { formatBytes } from '../format.ts'
import { outputWidth } from '../io.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { inRegion, type RegionOptions } from '../region-option.ts'
import { renderTable } from '../table.ts'

/** `usage …` */
export const defineUsage: Define = (parent, io) => {
  const usage = parent.command('usage').description('how much a project stores')

  leaf(usage, 'show', 'show what a project uses of its quota, by region').action(
    withSession(io, async (session) => {
      const found = await session.client.call('usage.project', { params: { project: session.project() } })
      show(session, found, ({ quotaBytes, regions }) =>
        renderTable(
          [
            { title: 'REGION', value: (row) => row.region },
            { title: 'USED', value: (row) => formatBytes(row.usedBytes), align: 'right' },
            {
              title: 'QUOTA',
              value: () => (quotaBytes === null ? 'none' : formatBytes(quotaBytes)),
              align: 'right',
            },
            { title: 'UPLOADING', value: (row) => formatBytes(row.reservedBytes), align: 'right' },
            { title: 'TRASH', value: (row) => formatBytes(row.trashBytes), align: 'right' },
            { title: 'REPOSITORIES', value: (row) => String(row.repositoryCount), align: 'right' },
          ],
          regions,
          outputWidth(io),
        ),
      )
    }),
  )

  withListOptions(leaf(usage, 'repos', 'list what each repository uses'))
    .option('--region <region>', 'only of this region')
    .action(
      withSession<ListOptions & RegionOptions>(io, async (session, _args, options) => {
        const input = { params: { project: session.project() }, query: inRegion(options) }
        showList(
          session,
          await readList(session.client, 'usage.repositories', input, options),
          [
            { title: 'REPOSITORY', value: (row) => row.name },
            { title: 'REGION', value: (row) => row.region },
            { title: 'UNIQUE', value: (row) => formatBytes(row.uniqueBytes), align: 'right' },
            { title: 'SHARED', value: (row) => formatBytes(row.sharedBytes), align: 'right' },
            { title: 'FREED IF DELETED', value: (row) => formatBytes(row.freedBytes), align: 'right' },
          ],
          'There are no repositories.',
        )
      }),
    )
}

import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'

/** `regions …` */
export const defineRegions: Define = (parent, io) => {
  const regions = parent.command('regions').description('regions: places where images are kept')
  withListOptions(leaf(regions, 'list', 'list regions')).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const page = await readList(session.client, 'regions.list', {}, options)
      showList(
        session,
        page,
        [
          { title: 'REGION', value: (row) => row.id },
          { title: 'NAME', value: (row) => row.name, shrink: true },
          { title: 'HOST', value: (row) => row.host },
        ],
        'There are no regions.',
      )
    }),
  )
}

import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'

/** `regions …` and `registries …` */
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

  const registries = parent
    .command('registries')
    .description("registries: a project's managed one in each region")
  withListOptions(leaf(registries, 'list', "list a project's registries")).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const input = { params: { project: session.project() } }
      const page = await readList(session.client, 'registries.list', input, options)
      showList(
        session,
        page,
        [
          { title: 'NAME', value: (row) => row.name, shrink: true },
          { title: 'KIND', value: (row) => row.provider },
          { title: 'REGION', value: (row) => row.region ?? '' },
          { title: 'ADDRESS', value: (row) => row.address },
        ],
        'There are no registries.',
      )
    }),
  )
}

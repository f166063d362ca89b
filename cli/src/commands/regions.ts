import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { note } from '../io.ts'
import { showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'

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
      if (session.options.json !== true) await noteSharedHost(session)
    }),
  )
}

async function noteSharedHost({ client, io }: Session): Promise<void> {
  const { registryHost } = (await client.call('whoami', {})).installation
  if (registryHost !== null) note(io, `${registryHost} leads to the home region of each project.`)
}

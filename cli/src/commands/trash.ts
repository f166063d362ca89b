import { type Define, leaf, withListOptions, withRegion, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatBytes, formatRelative, shortDigest } from '../format.ts'
import { parseDigestName } from '../image-name.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { inRegion, type RegionOptions } from '../region-option.ts'
import { withSpinner } from '../spinner.ts'

/** Longest that emptying a trash is waited for: two cycles of garbage collection. */
const PURGE_TIMEOUT_MS = 30 * 60_000

/** `trash …` */
export const defineTrash: Define = (parent, io) => {
  const trash = parent.command('trash').description('deleted images, which can be restored for a while')

  withRegion(
    withListOptions(leaf(trash, 'list <repository>', 'list deleted manifests of a repository')),
  ).action(
    withSession<ListOptions & RegionOptions>(io, async (session, [repository = ''], options) => {
      const input = { params: { project: session.project(), repository }, query: inRegion(options) }
      showList(
        session,
        await readList(session.client, 'trash.list', input, options),
        [
          { title: 'DIGEST', value: (row) => row.digest },
          { title: 'KIND', value: (row) => row.kind },
          { title: 'HAD TAGS', value: (row) => row.tags.join(','), shrink: true },
          { title: 'DELETED', value: (row) => formatRelative(row.deletedAt, io.nowMs()) },
          { title: 'GONE', value: (row) => formatRelative(row.purgeAt, io.nowMs()) },
        ],
        'Nothing of it is in the trash. For a tag whose image is still there: berth tags undelete',
      )
    }),
  )

  withRegion(
    leaf(trash, 'restore <repository@digest>', 'take a manifest out of the trash, with the tags that it had'),
  ).action(
    withSession<RegionOptions>(io, async (session, [name = ''], options) => {
      const params = { project: session.project(), ...parseDigestName(name) }
      const restored = await session.client.call('manifests.undelete', { params, query: inRegion(options) })
      show(session, restored, ({ digest, tags }) => [
        `${shortDigest(digest)} is back${tags.length === 0 ? ', without tags' : ` with ${tags.join(', ')}`}.`,
      ])
    }),
  )
}

/** `gc purge`, for whoever needs the space now. */
export const definePurge: Define = (gc, io) => {
  leaf(gc, 'purge', "empty the project's trash now: nothing of it can be restored any more")
    .option('--region <region>', 'only in this region')
    .action(
      withSession<RegionOptions>(io, async (session, _args, options) => {
        const { client } = session
        const { namespace } = await client.call('projects.show', { params: { project: session.project() } })
        const params = { project: namespace }
        const { regions } = await client.call('usage.project', { params })
        const bytes = regions
          .filter(({ region }) => options.region === undefined || region === options.region)
          .reduce((sum, { trashBytes }) => sum + trashBytes, 0)
        const what = `This removes ${formatBytes(bytes)} in the trash of ${namespace} for good.`
        await confirmByName(session, what, namespace)
        const body = { ...inRegion(options), confirm: namespace }
        const purged = await withSpinner(session, 'Emptying the trash', () =>
          client.call('trash.purge', { params, body }, { timeoutMs: PURGE_TIMEOUT_MS }),
        )
        show(session, purged, (report) =>
          report.regions.map(
            (region) =>
              `${region.region}: removed ${region.purgedManifests} manifests and ${region.purgedBlobs} blobs; ${formatBytes(region.trashBytes)} are left in the trash${region.detail === null ? '' : ` (${region.detail})`}.`,
          ),
        )
      }),
    )
}

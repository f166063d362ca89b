import { type Define, leaf, withListOptions, withRegion, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatBytes, formatRelative } from '../format.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { inRegion, type RegionOptions } from '../region-option.ts'

/** `repos …` */
export const defineRepos: Define = (parent, io) => {
  const repos = parent.command('repos').description('repositories: created by their first push')

  withListOptions(leaf(repos, 'list', "list a project's repositories"))
    .option('--region <region>', 'only of this region')
    .option('--prefix <path>', 'only those whose path starts with this')
    .option('--all-states', 'also list repositories in which only the trash is left')
    .action(
      withSession<ListOptions & RegionOptions & { prefix?: string; allStates?: boolean }>(
        io,
        async (session, _args, options) => {
          const { prefix, allStates } = options
          const state = allStates === true ? ('all' as const) : ('live' as const)
          const query = { ...inRegion(options), state, ...(prefix === undefined ? {} : { prefix }) }
          const input = { params: { project: session.project() }, query }
          showList(
            session,
            await readList(session.client, 'repositories.list', input, options),
            [
              { title: 'REPOSITORY', value: (row) => row.name },
              { title: 'REGION', value: (row) => row.region },
              { title: 'PULL', value: (row) => (row.public ? 'public' : 'with a key') },
              { title: 'CREATED', value: (row) => formatRelative(row.createdAt, io.nowMs()) },
              { title: 'ADDRESS', value: (row) => row.address },
            ],
            'There are no repositories. One is created by its first push.',
          )
        },
      ),
    )

  withRegion(leaf(repos, 'show <repository>', 'show a repository')).action(
    withSession<RegionOptions>(io, async (session, [repository = ''], options) => {
      const params = { project: session.project(), repository }
      const found = await session.client.call('repositories.show', { params, query: inRegion(options) })
      show(session, found, (repo) =>
        fields([
          ['Repository', repo.name],
          ['Region', repo.region],
          ['Address', repo.address],
          ['Pull', repo.public ? 'public' : 'with a key'],
          ['Tags', String(repo.tagCount)],
          ['Manifests', `${repo.manifestCount} (and ${repo.trashedManifestCount} in the trash)`],
          ['Size', formatBytes(repo.manifestBytes + repo.blobBytes)],
          ['Only here', formatBytes(repo.uniqueBytes)],
          ['Shared', formatBytes(repo.sharedBytes)],
          ['Freed if deleted', formatBytes(repo.freedBytes)],
          ['Last push', formatRelative(repo.lastPushedAt, io.nowMs())],
          ['Created', formatRelative(repo.createdAt, io.nowMs())],
        ]),
      )
    }),
  )

  withRegion(
    leaf(repos, 'delete <repository>', 'put all tags and manifests of a repository into the trash'),
  ).action(
    withSession<RegionOptions>(io, async (session, [repository = ''], options) => {
      const input = { params: { project: session.project(), repository }, query: inRegion(options) }
      const { tagCount, manifestCount, freedBytes } = await session.client.call('repositories.show', input)
      const what = `This deletes ${repository} with ${tagCount} tags and ${manifestCount} manifests, and frees ${formatBytes(freedBytes)}.`
      await confirmByName(session, what, repository)
      const deleted = await session.client.call('repositories.delete', input)
      show(session, deleted, () => [
        `Deleted ${repository}: ${deleted.deletedTags} tags and ${deleted.trashedManifests} manifests.`,
        `Until ${deleted.purgeAt} they can be restored: berth trash list ${repository}`,
      ])
    }),
  )
}

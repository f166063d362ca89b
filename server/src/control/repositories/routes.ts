import { ApiError } from '@berth/api/errors'
import type { Repository } from '@berth/api/repositories'
import { matchesAnyGlob } from '../../access/glob.ts'
import type { ProjectRow } from '../../metastore/control-schema.ts'
import { countRepository, listRepositories } from '../../metastore/queries/browse.ts'
import { deleteRepository } from '../../metastore/queries/delete-repository.ts'
import { loadRepositoryBytes } from '../../metastore/queries/repository-usage.ts'
import type { RepositoryRow } from '../../metastore/region-schema.ts'
import type { HandlersOf } from '../handler.ts'
import type { ControlRegion } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'
import { deletionRefusal } from './deletion-refusal.ts'
import { addressOf, findRepository, regionsOf, writeContext } from './find-repository.ts'
import { walkRegions } from './walk-regions.ts'

export const repositoryHandlers: HandlersOf<
  'repositories.list' | 'repositories.show' | 'repositories.delete'
> = {
  'repositories.list': async ({ runtime, project }, { query }) => {
    const { rows, nextCursor } = await walkRegions(
      regionsOf(runtime, query.region),
      query,
      (region, afterPath, limit) =>
        listRepositories(region.db.reader, project.id, {
          afterPath,
          prefix: query.prefix ?? '',
          liveOnly: query.state === 'live',
          limit,
        }),
      (row) => row.path,
    )
    return { items: rows.map(({ region, row }) => toRepository(project, region, row)), nextCursor }
  },
  'repositories.show': async (context, { params, query }) => {
    const { region, row } = await findRepository(context, params.repository, query.region)
    const counts = await countRepository(region.db.reader, row.id)
    const bytes = (await loadRepositoryBytes(region.db.reader, [row.id])).get(row.id)
    return {
      ...toRepository(context.project, region, row),
      tagCount: counts.tags,
      manifestCount: counts.manifests,
      trashedManifestCount: counts.trashedManifests,
      lastPushedAt: toTimestampOrNull(counts.lastPushedAt),
      manifestBytes: counts.manifestBytes,
      blobBytes: counts.blobBytes,
      uniqueBytes: bytes?.uniqueBytes ?? 0,
      sharedBytes: bytes?.sharedBytes ?? 0,
      freedBytes: bytes?.freedBytes ?? 0,
    }
  },
  'repositories.delete': async (context, { params, query }) => {
    const { region, row, immutable } = await findRepository(context, params.repository, query.region)
    const outcome = await region.db.run(deleteRepository, {
      ...(await writeContext(context, region)),
      repositoryId: row.id,
      path: row.path,
      trashMs: region.trashMs,
      immutable,
    })
    if (!outcome.ok) {
      if (outcome.reason === 'no_repository') throw new ApiError('repository_not_found')
      throw deletionRefusal(outcome)
    }
    const { deletedTags, trashedManifests, purgeAt } = outcome
    return {
      name: row.path,
      region: region.region.id,
      deletedTags,
      trashedManifests,
      purgeAt: toTimestamp(purgeAt),
    }
  },
}

function toRepository(project: ProjectRow, region: ControlRegion, row: RepositoryRow): Repository {
  return {
    name: row.path,
    region: region.region.id,
    address: addressOf(region, project, row.path),
    public: matchesAnyGlob(JSON.parse(project.public_repositories) as string[], row.path),
    createdAt: toTimestamp(row.created_at),
  }
}

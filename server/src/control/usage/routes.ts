import { listRepositories } from '../../metastore/queries/browse.ts'
import {
  loadProjectBytes,
  loadRepositoryBytes,
  type RepositoryBytes,
} from '../../metastore/queries/repository-usage.ts'
import type { HandlersOf } from '../handler.ts'
import { loadRecentBytes } from './recent-bytes.ts'
import { findRepository, regionsOf } from '../repositories/find-repository.ts'
import { walkRegions } from '../repositories/walk-regions.ts'

export const usageHandlers: HandlersOf<'usage.project' | 'usage.repositories' | 'usage.repository'> = {
  'usage.project': async ({ runtime, project }) => {
    const regions = await Promise.all(
      [...runtime.regions.values()].map(async ({ region, db, sessions }) => ({
        region: region.id,
        ...(await loadProjectBytes(db.reader, project.id)),
        reservedBytes: await sessions.reservedBytes(project.id),
      })),
    )
    const usedBytes = regions.reduce((sum, region) => sum + region.usedBytes, 0)
    return { quotaBytes: project.quota_bytes, usedBytes, regions }
  },
  'usage.repositories': async ({ runtime, project }, { query }) => {
    const { rows, nextCursor } = await walkRegions(
      regionsOf(runtime, query.region),
      query,
      async (region, afterPath, limit) => {
        const page = { afterPath, prefix: '', liveOnly: true, limit }
        const repositories = await listRepositories(region.db.reader, project.id, page)
        const ids = repositories.map(({ id }) => id)
        const bytes = await loadRecentBytes(region.db.reader, ids)
        return repositories.map(({ id, path }) => ({ path, bytes: bytes.get(id) ?? NOTHING }))
      },
      (row) => row.path,
    )
    const items = rows.map(({ region, row }) => ({ name: row.path, region: region.region.id, ...row.bytes }))
    return { items, nextCursor }
  },
  'usage.repository': async (context, { params, query }) => {
    const { region, row } = await findRepository(context, params.repository, query.region)
    const bytes = await loadRepositoryBytes(region.db.reader, [row.id])
    return { name: row.path, region: region.region.id, ...(bytes.get(row.id) ?? NOTHING) }
  },
}

const NOTHING: RepositoryBytes = { uniqueBytes: 0, sharedBytes: 0, freedBytes: 0 }

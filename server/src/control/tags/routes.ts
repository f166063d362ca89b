import { setImmediate as nextTurn } from 'node:timers/promises'
import { ApiError } from '@berth/api/errors'
import type { Tag, TagDetail, TagVersion } from '@berth/api/tags'
import { z } from 'zod'
import {
  listTagHistory,
  listTagsWithManifests,
  loadTagVersionWithManifest,
  loadTagWithManifest,
  type TagHistoryEntry,
  type TagWithManifest,
} from '../../metastore/queries/browse.ts'
import { loadFreedBytes } from '../../metastore/queries/freed-bytes.ts'
import { isImmutable } from '../../metastore/queries/immutable-tag.ts'
import { loadLastPulls } from '../../metastore/queries/last-pull.ts'
import { deleteTag } from '../../metastore/queries/tag.ts'
import { listParts, loadNeed } from '../../metastore/queries/trash-manifests.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { immutableTag } from '../repositories/deletion-refusal.ts'
import { findRepository, type FoundRepository, writeContext } from '../repositories/find-repository.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'
import { undeleteTag } from './service.ts'

export const tagHandlers: HandlersOf<
  'tags.list' | 'tags.show' | 'tags.delete' | 'tags.history' | 'tags.undelete'
> = {
  'tags.list': async (context, { params, query }) => {
    const found = await findRepository(context, params.repository, query.region)
    const rows = await listTagsWithManifests(found.region.db.reader, found.row.id, {
      afterName: decodeCursor(z.string(), query.cursor),
      prefix: query.prefix ?? '',
      limit: query.limit + 1,
    })
    const names = rows.map(({ name }) => name)
    const pulls = await loadLastPulls(found.region.db.reader, found.row.id, names)
    return pageOfRows(
      rows,
      query.limit,
      (row) => toTag(found, row, pulls),
      (row) => row.name,
    )
  },
  'tags.show': async (context, { params, query }) => {
    const found = await findRepository(context, params.repository, query.region)
    return loadTag(found, params.tag)
  },
  'tags.delete': async (context, { params, query }) => {
    const { region, row, immutable } = await findRepository(context, params.repository, query.region)
    const outcome = await region.db.run(deleteTag, {
      ...(await writeContext(context, region)),
      path: row.path,
      tag: params.tag,
      immutable,
    })
    if (!outcome.ok) {
      if (outcome.reason === 'immutable_tag') throw immutableTag(params.tag)
      throw new ApiError(outcome.reason === 'no_tag' ? 'tag_not_found' : 'repository_not_found')
    }
    const { digest, version } = outcome
    return { name: params.tag, region: region.region.id, digest, version }
  },
  'tags.history': async (context, { params, query }) => {
    const { region, row } = await findRepository(context, params.repository, query.region)
    const rows = await listTagHistory(region.db.reader, row.id, params.tag, {
      beforeVersion: decodeCursor(z.int(), query.cursor),
      limit: query.limit + 1,
    })
    if (rows.length === 0 && query.cursor === undefined) throw new ApiError('tag_not_found')
    return pageOfRows(rows, query.limit, toTagVersion, (version) => version.version)
  },
  'tags.undelete': async (context, { params, query, body }) => {
    const found = await findRepository(context, params.repository, query.region)
    const digest = await undeleteTag(context, found, params.tag, body.version ?? null)
    const { reader } = found.region.db
    const row = await loadTagWithManifest(reader, found.row.id, params.tag)
    if (row?.digest === digest) return describeTag(found, row)
    // Somebody has changed it meanwhile. The answer is what was done.
    const restored = await loadTagVersionWithManifest(reader, found.row.id, { name: params.tag, digest })
    if (restored === null) throw new ApiError('tag_not_found')
    return describeTag(found, restored)
  },
}

async function loadTag(found: FoundRepository, name: string): Promise<TagDetail> {
  const { reader } = found.region.db
  const row = await loadTagWithManifest(reader, found.row.id, name)
  if (row === null) throw new ApiError('tag_not_found')
  return describeTag(found, row)
}

async function describeTag(found: FoundRepository, row: TagWithManifest): Promise<TagDetail> {
  const { reader } = found.region.db
  const { name } = row
  const repositoryId = found.row.id
  const pulls = await loadLastPulls(reader, repositoryId, [name])
  const keptBy = await loadNeed(reader, repositoryId, row.digest, { exceptTags: new Set([name]) })
  const digests = keptBy === null ? [row.digest] : []
  const parts = await listParts(reader, repositoryId, digests, { pause: nextTurn })
  const freedBytes = await loadFreedBytes(reader, [{ repositoryId, digests: [...digests, ...parts.digests] }])
  return { ...toTag(found, row, pulls), freedBytes, keptBy }
}

function toTag(
  { region, address, immutable }: FoundRepository,
  row: TagWithManifest,
  pulls: ReadonlyMap<string, number>,
): Tag {
  return {
    name: row.name,
    digest: row.digest,
    mediaType: row.media_type,
    artifactType: row.artifact_type,
    manifestBytes: row.size_bytes,
    version: row.version,
    updatedAt: toTimestamp(row.updated_at),
    lastPulledAt: toTimestampOrNull(pulls.get(row.name) ?? null),
    immutable: isImmutable(immutable, row.name),
    address: `${address}:${row.name}`,
    region: region.region.id,
  }
}

function toTagVersion(entry: TagHistoryEntry): TagVersion {
  return {
    version: entry.version,
    digest: entry.digest,
    at: toTimestamp(entry.at),
    actor: entry.actor,
    manifest: manifestState(entry),
  }
}

function manifestState(entry: TagHistoryEntry): TagVersion['manifest'] {
  if (entry.digest === null) return null
  if (entry.manifest_exists === null) return 'gone'
  return entry.manifest_deleted_at === null ? 'live' : 'trashed'
}

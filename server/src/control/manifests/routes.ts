import { ApiError } from '@berth/api/errors'
import { z } from 'zod'
import { listManifests } from '../../metastore/queries/browse.ts'
import { deleteManifest } from '../../metastore/queries/delete-manifest.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { deletionRefusal } from '../repositories/deletion-refusal.ts'
import { findRepository, writeContext } from '../repositories/find-repository.ts'
import { toTimestamp } from '../time.ts'
import { loadManifestDetail, loadReferrers, restoreManifest, toManifests } from './service.ts'

export const manifestHandlers: HandlersOf<
  'manifests.list' | 'manifests.show' | 'manifests.referrers' | 'manifests.delete' | 'manifests.undelete'
> = {
  'manifests.list': async (context, { params, query }) => {
    const found = await findRepository(context, params.repository, query.region)
    const rows = await listManifests(found.region.db.reader, found.row.id, {
      afterDigest: decodeCursor(z.string(), query.cursor),
      trashed: query.state === 'trashed',
      limit: query.limit + 1,
    })
    const page = pageOfRows(
      rows,
      query.limit,
      (row) => row,
      (row) => row.digest,
    )
    return { ...page, items: await toManifests(found, page.items) }
  },
  'manifests.show': async (context, { params, query }) => {
    const found = await findRepository(context, params.repository, query.region)
    return loadManifestDetail(found, params.reference)
  },
  'manifests.referrers': async (context, { params, query }) => {
    const found = await findRepository(context, params.repository, query.region)
    const after = decodeCursor(z.string(), query.cursor)
    return loadReferrers(found, params.reference, { after, limit: query.limit })
  },
  'manifests.delete': async (context, { params, query }) => {
    const { region, row, immutable } = await findRepository(context, params.repository, query.region)
    const write = await writeContext(context, region)
    const outcome = await region.db.run(deleteManifest, {
      ...write,
      path: row.path,
      digest: params.reference,
      trashMs: region.trashMs,
      immutable,
      withParts: query.parts === 'delete',
    })
    if (!outcome.ok) {
      switch (outcome.reason) {
        case 'referenced':
        case 'held':
        case 'immutable_tag':
          throw deletionRefusal(outcome)
        case 'no_manifest':
          throw new ApiError('manifest_not_found')
        case 'no_repository':
        case 'revoked':
          throw new ApiError('repository_not_found')
      }
    }
    return {
      digest: params.reference,
      region: region.region.id,
      deletedTags: [...outcome.tags],
      deletedParts: [...outcome.parts],
      purgeAt: toTimestamp(write.nowMs + region.trashMs),
    }
  },
  'manifests.undelete': async (context, { params, query }) => {
    const found = await findRepository(context, params.repository, query.region)
    await restoreManifest(context, found, params.reference, 'former')
    return loadManifestDetail(found, params.reference)
  },
}

import { ApiError } from '@berth/api/errors'
import type { TrashPurged } from '@berth/api/trash'
import { z } from 'zod'
import { expireTrash, listTrash, recordPurge } from '../../metastore/queries/trash.ts'
import { listTrashedTags } from '../../metastore/queries/undelete-manifest.ts'
import { loadUsage } from '../../metastore/queries/usage.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf, ProjectCallContext } from '../handler.ts'
import { findRepository, regionsOf, writeContext } from '../repositories/find-repository.ts'
import type { ControlRegion } from '../runtime.ts'
import { toTimestamp } from '../time.ts'

export const trashHandlers: HandlersOf<'trash.list' | 'trash.purge'> = {
  'trash.list': async (context, { params, query }) => {
    const { region, row } = await findRepository(context, params.repository, query.region)
    const { reader } = region.db
    const afterDigest = decodeCursor(z.string(), query.cursor) ?? ''
    const rows = await listTrash(reader, row.id, { afterDigest, limit: query.limit + 1 })
    const tags = await listTrashedTags(
      reader,
      row.id,
      rows.map(({ digest }) => digest),
    )
    return pageOfRows(
      rows,
      query.limit,
      (manifest) => ({
        digest: manifest.digest,
        region: region.region.id,
        mediaType: manifest.media_type,
        kind: manifest.kind,
        artifactType: manifest.artifact_type,
        subject: manifest.subject_digest,
        manifestBytes: manifest.size_bytes,
        tags: tags.get(manifest.digest) ?? [],
        deletedAt: toTimestamp(manifest.deleted_at),
        purgeAt: toTimestamp(manifest.purge_at),
      }),
      (manifest) => manifest.digest,
    )
  },
  'trash.purge': async (context, { body }) => {
    const { runtime, project } = context
    if (body.confirm !== project.namespace) {
      const detail = `This removes everything that is in the trash of the project for good. Repeat the request with "confirm": "${project.namespace}".`
      throw new ApiError('confirmation_required', detail)
    }
    const regions = []
    for (const region of regionsOf(runtime, body.region)) regions.push(await purge(context, region))
    return { regions }
  },
}

/** The manifests go first, and then, with a trash period of their own, the blobs that only they needed. */
const PURGE_ROUNDS = ['manifests', 'blobs'] as const

async function purge(
  context: ProjectCallContext,
  region: ControlRegion,
): Promise<TrashPurged['regions'][number]> {
  const { project, signal } = context
  const { db } = region
  const projectId = project.id
  const write = await writeContext(context, region)
  const done = { purgedManifests: 0, purgedBlobs: 0, detail: null as string | null }
  const before = (await loadUsage(db.reader, projectId))?.trashedBytes ?? 0
  await db.run(recordPurge, { ...write, trashedBytes: before })
  for (const _round of PURGE_ROUNDS) {
    const nowMs = await db.nowMs()
    while ((await db.run(expireTrash, { projectId, nowMs, bytes: 'all' })).isMore && !signal.aborted);
    const result = await region.gc.runCycle({ force: false, signal })
    if (result === null) {
      const detail = `A cycle of garbage collection is running in ${region.region.id}; it or the next one removes the trash.`
      throw new ApiError('gc_running', detail)
    }
    done.purgedManifests += result.purgedManifests
    done.purgedBlobs += result.purgedBlobs
    done.detail = result.detail
  }
  const trashBytes = (await loadUsage(db.reader, projectId))?.trashedBytes ?? 0
  return { region: region.region.id, ...done, trashBytes }
}

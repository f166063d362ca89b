import { ApiError } from '@berth/api/errors'
import { listTagHistory, loadTagWithManifest, type TagHistoryEntry } from '../../metastore/queries/browse.ts'
import { restoreTag } from '../../metastore/queries/restore-tag.ts'
import type { ProjectCallContext } from '../handler.ts'
import { restoreManifest } from '../manifests/service.ts'
import { immutableTag } from '../repositories/deletion-refusal.ts'
import { type FoundRepository, writeContext } from '../repositories/find-repository.ts'

/** Entries of a tag's history that are looked at for the last one before its deletion. */
const HISTORY_LOOKED_AT = 2

/**
 * Points a tag at an earlier version again; answers the digest that it points at then. Without a version the tag must be deleted now, and gets what it pointed at
 * last. Takes the manifest out of the trash if need be.
 * Raises `tag_not_found`, `not_in_trash`, `manifest_not_found`, `manifest_incomplete`, `quota_exceeded`, `trash_full`,
 * `tag_immutable`.
 */
export async function undeleteTag(
  context: ProjectCallContext,
  found: FoundRepository,
  tag: string,
  version: number | null,
): Promise<string> {
  const { region, row } = found
  const entry = version === null ? await lastBeforeDeletion(found, tag) : await versionOf(found, tag, version)
  const { digest } = entry
  if (digest === null) {
    throw new ApiError(
      'not_in_trash',
      `Version ${entry.version} of the tag is a deletion; restore another one.`,
    )
  }
  if (entry.manifest_exists === null) {
    throw new ApiError('manifest_not_found', `The manifest ${digest} is gone: its time in the trash is over.`)
  }
  if (entry.manifest_deleted_at !== null) {
    await restoreManifest(context, found, digest, [tag])
    return digest
  }
  const outcome = await region.db.run(restoreTag, {
    ...(await writeContext(context, region)),
    repositoryId: row.id,
    path: row.path,
    tag,
    digest,
    fromVersion: entry.version,
    onlyIfDeleted: version === null,
    immutable: found.immutable,
  })
  if (outcome.ok) return digest
  if (outcome.reason === 'not_deleted') throw notDeleted(tag)
  if (outcome.reason === 'immutable_tag') throw immutableTag(tag)
  throw new ApiError(outcome.reason === 'no_manifest' ? 'manifest_not_found' : 'repository_not_found')
}

async function lastBeforeDeletion(found: FoundRepository, tag: string): Promise<TagHistoryEntry> {
  const { reader } = found.region.db
  if ((await loadTagWithManifest(reader, found.row.id, tag)) !== null) throw notDeleted(tag)
  const page = { beforeVersion: null, limit: HISTORY_LOOKED_AT }
  const history = await listTagHistory(reader, found.row.id, tag, page)
  const entry = history.find(({ digest }) => digest !== null)
  if (entry === undefined) throw new ApiError('tag_not_found', `There never was a tag "${tag}".`)
  return entry
}

async function versionOf(found: FoundRepository, tag: string, version: number): Promise<TagHistoryEntry> {
  const page = { beforeVersion: version + 1, limit: 1 }
  const [entry] = await listTagHistory(found.region.db.reader, found.row.id, tag, page)
  if (entry?.version === version) return entry
  throw new ApiError('tag_not_found', `The tag "${tag}" has no version ${version}.`)
}

function notDeleted(tag: string): ApiError {
  return new ApiError('not_in_trash', `The tag "${tag}" is not deleted. Name a version to move it back to.`)
}

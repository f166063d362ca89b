import { setImmediate as nextTurn } from 'node:timers/promises'
import { ApiError } from '@berth/api/errors'
import type { ImageConfig, Manifest, ManifestDetail, Referrer } from '@berth/api/manifests'
import type { Page } from '@berth/api/paging'
import { MAX_REFERRERS_SHOWN } from '@berth/api/limits'
import type { Descriptor } from '@berth/oci/descriptor'
import { parseManifest } from '@berth/oci/manifest'
import { parseReference } from '@berth/oci/name'
import {
  listReferrerHeads,
  listTagsOfManifests,
  loadInlineContent,
  loadManifestRow,
  loadTagWithManifest,
  type ManifestHead,
} from '../../metastore/queries/browse.ts'
import { loadFreedBytes } from '../../metastore/queries/freed-bytes.ts'
import { listHolds } from '../../metastore/queries/image-hold.ts'
import { loadLastPulls } from '../../metastore/queries/last-pull.ts'
import { listParts } from '../../metastore/queries/trash-manifests.ts'
import { undeleteManifest } from '../../metastore/queries/undelete-manifest.ts'
import type { ManifestRow } from '../../metastore/region-schema.ts'
import { pageOfRows } from '../cursor.ts'
import type { ProjectCallContext } from '../handler.ts'
import { MANIFEST_TAGS_SHOWN, MAX_IMAGE_CONFIG_BYTES } from '../limits.ts'
import { immutableTag } from '../repositories/deletion-refusal.ts'
import { type FoundRepository, writeContext } from '../repositories/find-repository.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'
import { parseImageConfig } from './image-config.ts'

/** Manifests as the contract lists them, with their tags. */
export async function toManifests(
  found: FoundRepository,
  rows: readonly ManifestHead[],
): Promise<Manifest[]> {
  const { region, row } = found
  const digests = rows.map(({ digest }) => digest)
  const { reader } = region.db
  const tags = await listTagsOfManifests(reader, row.id, digests, MANIFEST_TAGS_SHOWN)
  const pulls = await loadLastPulls(reader, row.id, digests)
  const holds = await listHolds(reader, row.id, digests)
  return rows.map((head) => ({
    digest: head.digest,
    region: region.region.id,
    mediaType: head.media_type,
    kind: head.kind,
    artifactType: head.artifact_type,
    subject: head.subject_digest,
    manifestBytes: head.size_bytes,
    createdAt: toTimestamp(head.created_at),
    deletedAt: toTimestampOrNull(head.deleted_at),
    purgeAt: toTimestampOrNull(head.purge_at),
    tags: tags.get(head.digest) ?? [],
    lastPulledAt: toTimestampOrNull(pulls.get(head.digest) ?? null),
    heldBy: holds.get(head.digest) ?? [],
  }))
}

/** Loads what a tag or digest names; a digest also finds it in the trash. Raises `manifest_not_found`. */
export async function loadManifestDetail(found: FoundRepository, text: string): Promise<ManifestDetail> {
  const { reader } = found.region.db
  const digest = await resolveDigest(found, text)
  const row = digest === null ? null : await loadManifestRow(reader, found.row.id, digest)
  if (row === null)
    throw new ApiError('manifest_not_found', `There is no manifest "${text}" in the repository.`)
  const [manifest] = await toManifests(found, [row])
  if (manifest === undefined) throw new Error('one row makes one manifest')
  const content = describeContent(row)
  return {
    ...manifest,
    ...content,
    address: `${found.address}@${row.digest}`,
    imageConfig: await loadImageConfig(found, content.config?.digest ?? null),
    frees: row.deleted_at === null ? await loadFrees(found, row.digest) : NOTHING_FREED,
    referrers: await loadReferrers(found, row.digest, { after: null, limit: MAX_REFERRERS_SHOWN }),
  }
}

async function resolveDigest(found: FoundRepository, text: string): Promise<string | null> {
  const reference = parseReference(text)
  if (reference === null) return null
  if (reference.kind === 'digest') return reference.digest
  const tag = await loadTagWithManifest(found.region.db.reader, found.row.id, reference.tag)
  return tag?.digest ?? null
}

// What is in the trash is on its way already.
const NOTHING_FREED: ManifestDetail['frees'] = { bytes: 0, withPartsBytes: 0, parts: 0 }

async function loadFrees({ region, row }: FoundRepository, digest: string): Promise<ManifestDetail['frees']> {
  const { reader } = region.db
  const { digests: parts } = await listParts(reader, row.id, [digest], { pause: nextTurn })
  const freed = (digests: readonly string[]) => loadFreedBytes(reader, [{ repositoryId: row.id, digests }])
  const bytes = await freed([digest])
  const withPartsBytes = parts.length === 0 ? bytes : await freed([digest, ...parts])
  return { bytes, withPartsBytes, parts: parts.length }
}

type Content = Pick<ManifestDetail, 'annotations' | 'config' | 'layers' | 'manifests' | 'totalBytes'>

function describeContent(row: ManifestRow): Content {
  const parsed = parseManifest(row.content, row.media_type)
  // What is stored was accepted by this parser, or by an older and looser one: then only the outside is shown.
  if (!parsed.ok)
    return { annotations: null, config: null, layers: [], manifests: [], totalBytes: row.size_bytes }
  const { manifest } = parsed
  const parts = manifest.config === null ? [] : [manifest.config, ...manifest.layers]
  return {
    annotations: manifest.annotations === null ? null : { ...manifest.annotations },
    config: manifest.config === null ? null : toDescriptor(manifest.config),
    layers: manifest.layers.map(toDescriptor),
    manifests: manifest.manifests.map(toDescriptor),
    totalBytes: parts.reduce((sum, part) => sum + part.size, row.size_bytes),
  }
}

function toDescriptor(descriptor: Descriptor) {
  const { platform } = descriptor
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    sizeBytes: descriptor.size,
    artifactType: descriptor.artifactType ?? null,
    annotations: descriptor.annotations === undefined ? null : { ...descriptor.annotations },
    platform:
      platform === undefined
        ? null
        : {
            os: platform.os ?? null,
            architecture: platform.architecture ?? null,
            variant: platform.variant ?? null,
            osVersion: platform['os.version'] ?? null,
          },
  }
}

async function loadImageConfig(found: FoundRepository, digest: string | null): Promise<ImageConfig | null> {
  if (digest === null) return null
  const { region, row } = found
  const content = await loadInlineContent(region.db.reader, row.id, digest, MAX_IMAGE_CONFIG_BYTES)
  return content === null ? null : parseImageConfig(content)
}

/** One page of the manifests that name the digest as their subject. */
export async function loadReferrers(
  found: FoundRepository,
  subject: string,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<Page<Referrer>> {
  const { region, row } = found
  const page = { afterDigest: after, limit: limit + 1 }
  const rows = await listReferrerHeads(region.db.reader, row.id, subject, page)
  return pageOfRows(rows, limit, toReferrer, (head) => head.digest)
}

function toReferrer(head: ManifestHead): Referrer {
  return {
    digest: head.digest,
    mediaType: head.media_type,
    artifactType: head.artifact_type,
    manifestBytes: head.size_bytes,
    annotations: head.annotations === null ? null : (JSON.parse(head.annotations) as Record<string, string>),
  }
}

/**
 * Takes a manifest out of the trash and points the tags at it; `former` are those that it lost when it was deleted.
 * Raises `manifest_not_found`, `not_in_trash`, `manifest_incomplete`, `quota_exceeded`, `trash_full`, `tag_immutable`.
 */
export async function restoreManifest(
  context: ProjectCallContext,
  found: FoundRepository,
  digest: string,
  tags: readonly string[] | 'former',
): Promise<void> {
  const { region, row, immutable } = found
  if ((await loadManifestRow(region.db.reader, row.id, digest)) === null)
    throw new ApiError('manifest_not_found')
  const outcome = await region.db.run(undeleteManifest, {
    ...(await writeContext(context, region)),
    path: row.path,
    digest,
    tags,
    immutable,
  })
  if (outcome.ok) return
  switch (outcome.reason) {
    case 'not_in_trash':
      throw new ApiError('not_in_trash', 'The manifest is not deleted.')
    case 'incomplete':
      throw new ApiError('manifest_incomplete', `Restore or push first: ${shortList(outcome.digests)}.`)
    case 'over_quota':
      throw new ApiError('quota_exceeded')
    case 'trash_full':
      throw new ApiError('trash_full')
    case 'immutable_tag':
      throw immutableTag(outcome.tag)
    case 'project_deleted':
      throw new ApiError('project_not_found')
    case 'no_repository':
    case 'revoked':
      throw new ApiError('repository_not_found')
  }
}

const DIGESTS_NAMED = 3

function shortList(digests: readonly string[]): string {
  const more = digests.length - DIGESTS_NAMED
  return digests.slice(0, DIGESTS_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

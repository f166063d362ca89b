import { type Digest, digestAlgorithm, digestOf } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import { MAX_MANIFEST_SIZE_BYTES } from '@berth/oci/limits'
import { type ParsedManifest, parseManifest } from '@berth/oci/manifest'
import type { Reference, Tag } from '@berth/oci/name'
import type { Descriptor } from '@berth/oci/descriptor'
import { loadManifest, loadManifestHead } from '../metastore/queries/load-manifest.ts'
import { deleteManifest } from '../metastore/queries/delete-manifest.ts'
import { type ManifestTarget, pushManifest, type PushManifestResult } from '../metastore/queries/manifest.ts'
import { deleteTag } from '../metastore/queries/tag.ts'
import { type Answer, emptyAnswer } from './answer.ts'
import { bodyLength, type Exchange, header } from './exchange.ts'
import { type Grant, writeContext } from './grant.ts'
import { cacheHeaders, entityTag, matchesEntityTag, NO_STORE } from './headers.ts'
import { immutableTag, overQuota, quotaWarning, reservedPath, revoked, trashFull } from './refusals.ts'
import type { ServedRegion } from './region.ts'
import { readBody } from './request-body.ts'
import type { RepositoryTarget } from './request.ts'
import type { RegionRuntime } from './runtime.ts'

interface ManifestRequest {
  readonly repository: RepositoryTarget
  readonly reference: Reference
}

/**
 * GET and HEAD of a manifest: the exact bytes that were pushed, with the type that they were pushed with, whatever
 * Accept says. There is one document behind a digest; a client that named other types gets to see what it is, as from
 * the large public registries, instead of a 404 for something that exists. Errors: NAME_UNKNOWN, MANIFEST_UNKNOWN.
 */
export async function getManifest(
  runtime: RegionRuntime,
  exchange: Exchange,
  { repository, reference }: ManifestRequest,
  { project }: Grant,
): Promise<Answer> {
  const { kind } = reference
  const text = reference.kind === 'tag' ? reference.tag : reference.digest
  const key = { projectId: project.id, path: repository.path, reference: text }
  const isHead = exchange.req.method === 'HEAD'
  const found = isHead
    ? await loadManifestHead(runtime.db.reader, key, kind)
    : await loadManifest(runtime.db.reader, key, kind)
  if (found === 'no_repository') throw new OciError('NAME_UNKNOWN')
  if (found === 'no_manifest') throw new OciError('MANIFEST_UNKNOWN')
  // A HEAD counts: a cluster that has the image already asks no more than that when it starts another copy.
  runtime.lastPulls.note(
    found.repositoryId,
    found.digest,
    kind === 'tag' ? text : null,
    runtime.clock.nowMs(),
  )
  const etag = entityTag(found.digest)
  const headers = {
    'Content-Type': found.mediaType,
    'Docker-Content-Digest': found.digest,
    ETag: etag,
    ...cacheHeaders({ isPublic: project.isPublic(repository.path), isImmutable: kind === 'digest' }),
  }
  const ifNoneMatch = header(exchange.req, 'if-none-match')
  if (ifNoneMatch !== undefined && matchesEntityTag(ifNoneMatch, etag)) return emptyAnswer(304, headers)
  return {
    status: 200,
    headers: { ...headers, 'Content-Length': found.sizeBytes },
    body: 'content' in found ? (found.content as Uint8Array) : null,
  }
}

/**
 * PUT of a manifest, by tag or digest, with further tags from `?tag=`. Errors: MANIFEST_INVALID (also 413),
 * DIGEST_INVALID, SIZE_INVALID, MANIFEST_BLOB_UNKNOWN, DENIED (quota), NAME_UNKNOWN, UNAUTHORIZED.
 */
export async function putManifest(
  region: ServedRegion,
  exchange: Exchange,
  request: ManifestRequest & { readonly tags: readonly Tag[] },
  grant: Grant,
): Promise<Answer> {
  return region.manifestTurns.take(grant.project.id, bodyLength(exchange.req), () =>
    receiveManifest(region, exchange, request, grant),
  )
}

async function receiveManifest(
  runtime: RegionRuntime,
  exchange: Exchange,
  { repository, reference, tags: moreTags }: ManifestRequest & { readonly tags: readonly Tag[] },
  grant: Grant,
): Promise<Answer> {
  const content = await readBody(exchange, MAX_MANIFEST_SIZE_BYTES, () => tooLarge())
  const digest = checkedDigest(reference, content)
  const parsed = parseManifest(content, header(exchange.req, 'content-type') ?? null)
  if (!parsed.ok) throw new OciError(parsed.code, parsed.message)
  const { manifest } = parsed
  const tags = reference.kind === 'tag' ? [reference.tag] : moreTags
  const result = await runtime.db.run(pushManifest, {
    ...writeContext(runtime, exchange, grant),
    path: repository.path,
    digest,
    mediaType: manifest.mediaType,
    kind: manifest.kind,
    artifactType: manifest.artifactType,
    subjectDigest: manifest.subject?.digest ?? null,
    annotations: manifest.annotations === null ? null : JSON.stringify(manifest.annotations),
    content,
    ...targetsOf(manifest),
    allowSparse: grant.project.allowSparseIndexes,
    tags,
    immutable: grant.project.immutableIn(repository.path),
  })
  if (!result.ok) throw pushRefusal(result, repository, content.byteLength)
  return emptyAnswer(201, {
    Location: `/v2/${repository.name}/manifests/${digest}`,
    'Docker-Content-Digest': digest,
    ...(manifest.subject === null ? {} : { 'OCI-Subject': manifest.subject.digest }),
    ...(tags.length === 0 ? {} : { 'OCI-Tag': tags.join(', ') }),
    ...quotaWarning(result.usage),
    ...NO_STORE,
  })
}

function tooLarge(): OciError {
  return new OciError('MANIFEST_INVALID', `a manifest may have at most ${MAX_MANIFEST_SIZE_BYTES} bytes`, {
    status: 413,
  })
}

/** The digest that the manifest is stored under: the URL's, in its own algorithm, or else sha256. */
function checkedDigest(reference: Reference, content: Uint8Array): Digest {
  if (reference.kind === 'tag') return digestOf('sha256', content)
  const actual = digestOf(digestAlgorithm(reference.digest), content)
  if (actual === reference.digest) return actual
  throw new OciError('DIGEST_INVALID', 'the manifest does not have the digest of the URL', {
    detail: { expected: reference.digest, actual },
  })
}

function targetsOf(manifest: ParsedManifest): {
  blobs: ManifestTarget[]
  optionalBlobs: ManifestTarget[]
  children: ManifestTarget[]
} {
  const required = new Set(manifest.blobs.map((blob) => blob.digest))
  const optional = new Map(
    [...manifest.layers, ...manifest.manifests]
      .filter(({ digest }) => !required.has(digest))
      .map((descriptor) => [descriptor.digest, descriptor]),
  )
  for (const child of manifest.children) optional.delete(child.digest)
  return {
    blobs: manifest.blobs.map(toTarget),
    optionalBlobs: [...optional.values()].map(toTarget),
    children: manifest.children.map(toTarget),
  }
}

function toTarget({ digest, size }: Descriptor): ManifestTarget {
  return { digest, sizeBytes: size }
}

function pushRefusal(
  result: Extract<PushManifestResult, { ok: false }>,
  repository: RepositoryTarget,
  sizeBytes: number,
): OciError {
  switch (result.reason) {
    case 'revoked':
      return revoked(repository, 'push')
    case 'project_deleted':
      return new OciError('NAME_UNKNOWN')
    case 'reserved':
      return reservedPath(repository)
    case 'over_quota':
      return overQuota(result.usage, sizeBytes)
    case 'trash_full':
      return trashFull(result.usage, sizeBytes)
    case 'immutable_tag':
      return immutableTag(result)
    case 'unknown_content':
      return new OciError(
        'MANIFEST_BLOB_UNKNOWN',
        `the manifest refers to content that is not in this repository: ${shorten(result.digests)}`,
        { detail: { digests: result.digests } },
      )
    case 'wrong_size':
      return new OciError(
        'SIZE_INVALID',
        `the manifest says ${result.digest} has ${result.claimedBytes} bytes, it has ${result.sizeBytes}`,
        { detail: { digest: result.digest } },
      )
  }
}

const SHOWN_DIGESTS = 3

function shorten(digests: readonly string[]): string {
  const more = digests.length - SHOWN_DIGESTS
  return digests.slice(0, SHOWN_DIGESTS).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/**
 * DELETE of a tag or of a manifest with its tags. Errors: NAME_UNKNOWN, MANIFEST_UNKNOWN, DENIED while an index lists
 * it, while it is in use, or when a tag that would go is immutable.
 */
export async function removeManifest(
  runtime: RegionRuntime,
  exchange: Exchange,
  { repository, reference }: ManifestRequest,
  grant: Grant,
): Promise<Answer> {
  const { path } = repository
  const text = reference.kind === 'tag' ? reference.tag : reference.digest
  const context = {
    ...writeContext(runtime, exchange, grant),
    path,
    immutable: grant.project.immutableIn(path),
  }
  const result =
    reference.kind === 'tag'
      ? await runtime.db.run(deleteTag, { ...context, tag: reference.tag })
      : await runtime.db.run(deleteManifest, {
          ...context,
          digest: reference.digest,
          trashMs: runtime.limits.trashMs,
          withParts: false,
        })
  if (result.ok) return emptyAnswer(202, NO_STORE)
  switch (result.reason) {
    case 'revoked':
      throw revoked(repository, 'delete')
    case 'no_repository':
      throw new OciError('NAME_UNKNOWN')
    case 'no_tag':
    case 'no_manifest':
      throw new OciError('MANIFEST_UNKNOWN')
    case 'immutable_tag':
      throw immutableTag({ tag: text, ...result })
    case 'held':
      throw new OciError('DENIED', `this image is in use (${result.heldBy}) and cannot be deleted`, {
        detail: { heldBy: result.heldBy },
      })
    case 'referenced':
      throw new OciError(
        'DENIED',
        `index ${result.manifestDigest} lists this manifest; delete that index first`,
        { detail: { manifest: result.manifestDigest } },
      )
  }
}

import type { Digest } from '@berth/oci/digest'
import type { Descriptor } from '@berth/oci/descriptor'
import { nextLink, type Page } from '@berth/oci/link'
import { parseManifest } from '@berth/oci/manifest'
import { isIndexMediaType, OCI_IMAGE_INDEX } from '@berth/oci/media-type'
import { buildReferrersIndex, formatReferrersTag, type Referrer } from '@berth/oci/referrers'
import { loadManifest } from '../metastore/queries/load-manifest.ts'
import { listReferrers, type ReferrerRow, selectReferrers } from '../metastore/queries/referrer.ts'
import { loadRepositoryId } from '../metastore/queries/repository.ts'
import type { Answer } from './answer.ts'
import type { Grant } from './grant.ts'
import { cacheHeaders } from './headers.ts'
import { MAX_REFERRERS_PAGE_BYTES } from './limits.ts'
import type { RepositoryTarget } from './request.ts'
import type { RegionRuntime } from './runtime.ts'

interface ReferrersRequest {
  readonly repository: RepositoryTarget
  readonly subject: Digest
  readonly artifactType: string | null
  readonly page: Page
}

/** Rows that are read at once: annotations can be megabytes each. */
const STEP_ROWS = 10

/**
 * What refers to a digest (distribution spec, "Listing Referrers"), by digest in byte order. A repository without any
 * push has no referrers either: an empty list, never 404. What old clients listed under the referrers tag is merged in.
 */
export async function answerReferrers(
  runtime: RegionRuntime,
  request: ReferrersRequest,
  { project }: Grant,
): Promise<Answer> {
  const { repository, subject, artifactType, page } = request
  const repositoryId = await loadRepositoryId(runtime.db.reader, project.id, repository.path)
  const { referrers, hasMore } =
    repositoryId === null || page.limit === 0
      ? { referrers: [], hasMore: false }
      : await collectPage(runtime, request, project.id, repositoryId)
  const filter = artifactType === null ? '' : `&artifactType=${encodeURIComponent(artifactType)}`
  const last = referrers.at(-1)?.digest
  const path = `/v2/${repository.name}/referrers/${subject}?n=${page.limit}&last=${last}${filter}`
  return {
    status: 200,
    headers: {
      'Content-Type': OCI_IMAGE_INDEX,
      ...(artifactType === null ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
      ...(hasMore ? { Link: nextLink(path) } : {}),
      ...cacheHeaders({ isPublic: project.isPublic(repository.path), isImmutable: false }),
    },
    body: buildReferrersIndex(referrers),
  }
}

async function collectPage(
  runtime: RegionRuntime,
  { repository, subject, artifactType, page }: ReferrersRequest,
  projectId: string,
  repositoryId: number,
): Promise<{ referrers: Referrer[]; hasMore: boolean }> {
  const tagged = await loadTagged(runtime, {
    projectId,
    repositoryId,
    path: repository.path,
    subject,
    artifactType,
    page,
  })
  const referrers: Referrer[] = []
  let after = page.last
  let pageBytes = 0
  while (true) {
    const rows = await listReferrers(runtime.db.reader, {
      repositoryId,
      subject,
      artifactType,
      after,
      limit: STEP_ROWS,
    })
    const isLastStep = rows.length < STEP_ROWS
    const upTo = isLastStep ? null : (rows.at(-1)?.digest ?? null)
    for (const listed of byDigest([...rows, ...takeUpTo(tagged, upTo)])) {
      pageBytes += annotationsLength(listed)
      if (referrers.length === page.limit || (referrers.length > 0 && pageBytes > MAX_REFERRERS_PAGE_BYTES)) {
        return { referrers, hasMore: true }
      }
      // Only now: parsing annotations that are not shown would hold up everybody else.
      referrers.push('sizeBytes' in listed ? toReferrer(listed) : listed)
    }
    if (isLastStep) return { referrers, hasMore: false }
    after = upTo
  }
}

/** Removes and answers the first entries, those with digests up to `upTo` (null: all). */
function takeUpTo(sorted: Referrer[], upTo: string | null): Referrer[] {
  const end = upTo === null ? sorted.length : sorted.findIndex((referrer) => referrer.digest > upTo)
  return sorted.splice(0, end === -1 ? sorted.length : end)
}

function annotationsLength({ annotations }: ReferrerRow | Referrer): number {
  return typeof annotations === 'string' ? annotations.length : JSON.stringify(annotations ?? {}).length
}

function byDigest<Listed extends { readonly digest: string }>(referrers: readonly Listed[]): Listed[] {
  return referrers.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
}

function toReferrer(row: ReferrerRow): Referrer {
  return {
    mediaType: row.mediaType,
    digest: row.digest as Digest,
    size: row.sizeBytes,
    artifactType: row.artifactType,
    annotations: row.annotations === null ? null : JSON.parse(row.annotations),
  }
}

/**
 * What the index under the subject's referrers tag lists: pushed by a client from before the referrers API, or copied
 * from a registry without it ("Enabling the Referrers API" of the distribution spec).
 */
async function loadTagged(
  runtime: RegionRuntime,
  query: {
    projectId: string
    repositoryId: number
    path: string
    subject: Digest
    artifactType: string | null
    page: Page
  },
): Promise<Referrer[]> {
  const { projectId, repositoryId, path, subject, artifactType, page } = query
  const reference = formatReferrersTag(subject)
  const found = await loadManifest(runtime.db.reader, { projectId, path, reference }, 'tag')
  if (typeof found === 'string' || !isIndexMediaType(found.mediaType)) return []
  const parsed = parseManifest(found.content, found.mediaType)
  if (!parsed.ok) return []
  const listed = parsed.manifest.manifests.filter(({ digest }) => page.last === null || digest > page.last)
  // What the manifests themselves say wins over what the tag says of them.
  const digests = listed.map(({ digest }) => digest)
  const recorded = await selectReferrers(runtime.db.reader, { repositoryId, subject, digests })
  const referrers = listed
    .filter(({ digest }) => !recorded.has(digest))
    .map(fromDescriptor)
    .filter((referrer) => artifactType === null || referrer.artifactType === artifactType)
  return byDigest([...new Map(referrers.map((referrer) => [referrer.digest, referrer])).values()])
}

function fromDescriptor(descriptor: Descriptor): Referrer {
  const { mediaType, digest, size, artifactType, annotations } = descriptor
  return { mediaType, digest, size, artifactType: artifactType ?? null, annotations: annotations ?? null }
}

import type { Descriptor } from '@berth/oci/descriptor'
import type { Digest } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import { nextLink, type Page } from '@berth/oci/link'
import { OCI_IMAGE_INDEX } from '@berth/oci/media-type'
import { buildReferrersIndex } from '@berth/oci/referrers'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import { type Answer, jsonAnswer } from '../answer.ts'
import type { Grant } from '../grant.ts'
import { cacheHeaders } from '../headers.ts'
import { answerReferrers } from '../referrers.ts'
import type { ServedRegion } from '../region.ts'
import type { RepositoryTarget } from '../request.ts'
import { answerTagList } from '../tags.ts'
import type { ConnectedRepository } from './connected-repository.ts'
import { mayServeCopy, plainWarning, upstreamRefusal } from './upstream-refusal.ts'
import type { Upstream } from './upstreams.ts'

const PRIVATE = cacheHeaders({ isPublic: false, isImmutable: false })

/** The tags of a repository of a connected registry: its own list, or those of the copies when it cannot be asked. */
export async function answerConnectedTagList(
  region: ServedRegion,
  request: { readonly repository: RepositoryTarget; readonly page: Page },
  connected: ConnectedRepository,
  grant: Grant,
): Promise<Answer> {
  const { page, repository } = request
  return askOrCopy(region, connected, {
    kind: 'tags',
    ask: async ({ client }) => {
      const query = new URLSearchParams({ n: String(Math.max(1, page.limit)) })
      if (page.last !== null) query.set('last', page.last)
      const call = { cursor: query.toString(), signal: region.upstreams.signal }
      const list = await client.tags(connected.name, call)
      if (list === null) {
        throw new OciError('NAME_UNKNOWN', `${connected.registry.host} has no repository ${connected.name}`)
      }
      const tags = page.limit === 0 ? [] : list.names
      const last = tags.at(-1)
      const path = `/v2/${repository.name}/tags/list?n=${page.limit}&last=${last}`
      const link = list.next === null || last === undefined ? {} : { Link: nextLink(path) }
      return jsonAnswer(200, { name: repository.name, tags }, { ...link, ...PRIVATE })
    },
    copy: () => answerTagList(region, { repository: connected.target, page }, grant),
  })
}

/** What refers to a digest of a connected registry. The registry's first page is all that is looked at. */
export async function answerConnectedReferrers(
  region: ServedRegion,
  request: {
    readonly repository: RepositoryTarget
    readonly subject: Digest
    readonly artifactType: string | null
    readonly page: Page
  },
  connected: ConnectedRepository,
  grant: Grant,
): Promise<Answer> {
  const { subject, artifactType, page } = request
  return askOrCopy(region, connected, {
    kind: 'referrers',
    ask: async ({ client }) => {
      const found = await client.referrers(connected.name, subject, { signal: region.upstreams.signal })
      const listed = found
        .filter((descriptor) => artifactType === null || descriptor.artifactType === artifactType)
        .filter(({ digest }) => page.last === null || digest > page.last)
        .toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
      const shown = listed.slice(0, page.limit)
      const filter = artifactType === null ? '' : `&artifactType=${encodeURIComponent(artifactType)}`
      const path = `/v2/${request.repository.name}/referrers/${subject}?n=${page.limit}&last=${shown.at(-1)?.digest}${filter}`
      return {
        status: 200,
        headers: {
          'Content-Type': OCI_IMAGE_INDEX,
          ...(artifactType === null ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
          ...(shown.length > 0 && listed.length > shown.length ? { Link: nextLink(path) } : {}),
          ...PRIVATE,
        },
        body: buildReferrersIndex(shown.map(toReferrer)),
      }
    },
    copy: () => answerReferrers(region, { ...request, repository: connected.target }, grant),
  })
}

function toReferrer({ mediaType, digest, size, artifactType, annotations }: Descriptor) {
  return { mediaType, digest, size, artifactType: artifactType ?? null, annotations: annotations ?? null }
}

async function askOrCopy(
  region: ServedRegion,
  connected: ConnectedRepository,
  list: {
    readonly kind: 'tags' | 'referrers'
    ask(upstream: Upstream): Promise<Answer>
    copy(): Promise<Answer>
  },
): Promise<Answer> {
  const { registry, name, repositoryId } = connected
  const { kind } = list
  const what = `${kind} of ${name}`
  let upstream: Upstream | null = null
  try {
    upstream = region.upstreams.of(registry)
    const failure = upstream.recallFailure(what)
    if (failure !== null) throw failure
    const answer = await list.ask(upstream)
    region.metrics.pullThrough.inc({ kind, result: 'miss' })
    return answer
  } catch (error) {
    if (error instanceof OciError) throw error
    if (error instanceof UpstreamError) upstream?.noteFailure(what, error)
    if (repositoryId === null || !mayServeCopy(error)) {
      region.metrics.pullThrough.inc({ kind, result: 'error' })
      throw upstreamRefusal(error, registry)
    }
    region.metrics.pullThrough.inc({ kind, result: 'stale' })
    const answer = await list.copy()
    const warning = plainWarning(`${error.message}; this is what copies are kept of`)
    return { ...answer, headers: { ...answer.headers, ...warning } }
  }
}

import type { Digest } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import { type ParsedManifest, parseManifest } from '@berth/oci/manifest'
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  isDockerSchema1MediaType,
  OCI_IMAGE_INDEX,
  OCI_IMAGE_MANIFEST,
} from '@berth/oci/media-type'
import type { Reference } from '@berth/oci/name'
import {
  cacheManifest,
  type CacheRefusal,
  confirmCachedTag,
  dropCachedTag,
  loadCachedTag,
} from '../../metastore/queries/cached-content.ts'
import { loadManifestHead } from '../../metastore/queries/load-manifest.ts'
import type { UpstreamManifest } from '../../upstream/upstream.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { Answer } from '../answer.ts'
import { unavailable } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { Grant } from '../grant.ts'
import { cacheHeaders, entityTag } from '../headers.ts'
import { getManifest } from '../manifests.ts'
import type { ServedRegion } from '../region.ts'
import { cacheWrite, type ConnectedRepository } from './connected-repository.ts'
import { MANIFEST_PLACE_WAIT_MS, TAG_FRESH_MS } from './limits.ts'
import { copyWarning, mayServeCopy, plainWarning, upstreamRefusal } from './upstream-refusal.ts'
import type { Upstream } from './upstreams.ts'

/** What a request found: a copy that is here, or a manifest that could not be kept. */
type Ensured = { readonly warning: { readonly Warning: string } | null } & (
  | { readonly kind: 'copy' }
  | { readonly kind: 'loose'; readonly manifest: UpstreamManifest }
)

/** One look at one reference of the other registry, and everything that it needs. */
interface Look {
  readonly region: ServedRegion
  readonly exchange: Exchange
  readonly connected: ConnectedRepository
  readonly grant: Grant
  readonly upstream: Upstream
  readonly reference: Reference
  /** For memory and logs: the repository with tag or digest. */
  readonly what: string
  /** Of a tag: where its copy points and when that was compared; null: no copy. */
  readonly copy: { readonly digest: string; readonly checkedAt: number } | null
}

const ACCEPT = [OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST, DOCKER_MANIFEST_LIST, DOCKER_MANIFEST]

/**
 * GET and HEAD of a manifest of a connected registry. By digest a copy is all that is needed; a tag is compared with
 * the registry when that was not done lately. What is fetched is checked and kept. When the registry cannot be asked a
 * copy is served, with a Warning that says so. Errors: MANIFEST_UNKNOWN, and those of `upstreamRefusal`.
 */
export async function getConnectedManifest(
  region: ServedRegion,
  exchange: Exchange,
  { reference }: { readonly reference: Reference },
  connected: ConnectedRepository,
  grant: Grant,
): Promise<Answer> {
  const ensured = await ensureManifest(region, exchange, reference, connected, grant)
  if (ensured.kind === 'loose') return looseAnswer(ensured, reference)
  const answer = await getManifest(region, exchange, { repository: connected.target, reference }, grant)
  return ensured.warning === null ? answer : { ...answer, headers: { ...answer.headers, ...ensured.warning } }
}

async function ensureManifest(
  region: ServedRegion,
  exchange: Exchange,
  reference: Reference,
  connected: ConnectedRepository,
  grant: Grant,
): Promise<Ensured> {
  const count = (result: string) => region.metrics.pullThrough.inc({ kind: 'manifest', result })
  const { repositoryId, cached, registry } = connected
  const { reader } = region.db
  let copy: Look['copy'] = null
  if (reference.kind === 'tag') {
    copy = repositoryId === null ? null : await loadCachedTag(reader, repositoryId, reference.tag)
    if (copy !== null && isFresh(copy.checkedAt, region.clock.nowMs())) return (count('hit'), COPY)
  } else if (repositoryId !== null) {
    const key = { projectId: cached.projectId, path: cached.path, reference: reference.digest }
    if (typeof (await loadManifestHead(reader, key, 'digest')) !== 'string') return (count('hit'), COPY)
  }
  const text = reference.kind === 'tag' ? reference.tag : reference.digest
  const what = `${connected.name} ${text}`
  let upstream: Upstream
  try {
    upstream = region.upstreams.of(registry)
  } catch (error) {
    count('error')
    throw upstreamRefusal(error, registry)
  }
  const look: Look = { region, exchange, connected, grant, upstream, reference, what, copy }
  return shared(upstream, what, () => askUpstream(look, count))
}

const COPY: Ensured = { kind: 'copy', warning: null }

function isFresh(checkedAt: number, nowMs: number): boolean {
  return nowMs - checkedAt < TAG_FRESH_MS && checkedAt <= nowMs
}

const looks = new WeakMap<Upstream, Map<string, Promise<Ensured>>>()

/** Whoever asks for the same while it is being looked for gets the same answer. */
function shared(upstream: Upstream, what: string, look: () => Promise<Ensured>): Promise<Ensured> {
  let running = looks.get(upstream)
  if (running === undefined) {
    running = new Map()
    looks.set(upstream, running)
  }
  const known = running.get(what)
  if (known !== undefined) return known
  const mine = look().finally(() => running.delete(what))
  running.set(what, mine)
  return mine
}

async function askUpstream(look: Look, count: (result: string) => void): Promise<Ensured> {
  const { region, connected, upstream, what, copy } = look
  try {
    const failure = upstream.recallFailure(what)
    if (failure !== null) throw failure
    if (upstream.recallAbsence(what)) throw new OciError('MANIFEST_UNKNOWN')
    const ensured = await inPlace(look, () =>
      copy === null ? fetch(look, null) : compare(look, copy.digest),
    )
    count(ensured.kind === 'copy' && copy !== null ? 'compared' : 'miss')
    return ensured
  } catch (error) {
    if (error instanceof OciError) throw error
    if (error instanceof UpstreamError) upstream.noteFailure(what, error)
    if (copy !== null && mayServeCopy(error)) {
      count('stale')
      const ageMs = region.clock.nowMs() - copy.checkedAt
      return { kind: 'copy', warning: copyWarning(error, connected.registry, ageMs) }
    }
    count('error')
    throw upstreamRefusal(error, connected.registry)
  }
}

/** Takes one of the places for manifests in memory. */
async function inPlace(look: Look, work: () => Promise<Ensured>): Promise<Ensured> {
  const { upstreams } = look.region
  const wait = AbortSignal.any([upstreams.signal, AbortSignal.timeout(MANIFEST_PLACE_WAIT_MS)])
  const leave = await upstreams.manifestPlaces
    .enter([`project:${look.connected.cached.projectId}`], wait)
    .catch((error: unknown) => {
      throw unavailable('too many images are being pulled through at once; try again soon', error)
    })
  if (leave === null) throw unavailable('too many images are being pulled through at once; try again soon')
  try {
    return await work()
  } finally {
    leave()
  }
}

/** Compares a tag with its copy: a HEAD, which costs no pull where pulls are counted. */
async function compare(look: Look, copyDigest: string): Promise<Ensured> {
  const { region, connected, upstream, reference, grant, exchange } = look
  if (reference.kind !== 'tag') return fetch(look, null)
  const call = { signal: region.upstreams.signal }
  const head = await upstream.client.headManifest(connected.name, reference.tag, ACCEPT, call)
  if (head === null) throw await gone(look)
  if (head.digest === null) return fetch(look, copyDigest as Digest)
  const confirmed = await region.db.run(confirmCachedTag, {
    ...cacheWrite(region, exchange, connected, grant),
    tag: reference.tag,
    digest: head.digest,
  })
  if (confirmed.ok) return COPY
  if (confirmed.reason === 'not_cached') return fetch(look, null)
  // The request began before its key was revoked, so it may end; others for the same ask again.
  if (confirmed.reason === 'revoked' && head.digest === copyDigest) return COPY
  return refuseCopy(confirmed)
}

/** Fetches, checks and keeps. With `copyDigest` the registry may say that nothing has changed. */
async function fetch(look: Look, copyDigest: Digest | null): Promise<Ensured> {
  const { region, connected, upstream, reference } = look
  const text = reference.kind === 'tag' ? reference.tag : reference.digest
  const found = await upstream.client.manifest(connected.name, text, ACCEPT, {
    signal: region.upstreams.signal,
    ...(copyDigest === null ? {} : { ifNoneMatch: copyDigest }),
  })
  if (found === null) throw await gone(look)
  if (found === 'not_modified') return keepUnchanged(look, copyDigest)
  return keep(look, found)
}

async function keepUnchanged(look: Look, digest: Digest | null): Promise<Ensured> {
  const { region, exchange, connected, grant, reference } = look
  if (digest === null || reference.kind !== 'tag') throw new OciError('MANIFEST_UNKNOWN')
  const write = cacheWrite(region, exchange, connected, grant)
  const confirmed = await region.db.run(confirmCachedTag, { ...write, tag: reference.tag, digest })
  if (confirmed.ok) return COPY
  return confirmed.reason === 'not_cached' ? fetch(look, null) : refuseCopy(confirmed)
}

async function keep(look: Look, found: UpstreamManifest): Promise<Ensured> {
  const { region, exchange, connected, grant, reference } = look
  const manifest = readManifest(look, found)
  const kept = await region.db.run(cacheManifest, {
    ...cacheWrite(region, exchange, connected, grant),
    digest: found.digest,
    mediaType: manifest.mediaType,
    kind: manifest.kind,
    artifactType: manifest.artifactType,
    subjectDigest: manifest.subject?.digest ?? null,
    annotations: manifest.annotations === null ? null : JSON.stringify(manifest.annotations),
    content: new Uint8Array(found.bytes),
    blobs: [...new Set([...manifest.blobs, ...manifest.layers].map(({ digest }) => digest))],
    children: manifest.children.map(({ digest }) => digest),
    tag: reference.kind === 'tag' ? reference.tag : null,
  })
  if (kept.ok) return COPY
  if (kept.reason === 'revoked') return { kind: 'loose', manifest: found, warning: null }
  if (kept.reason !== 'over_quota' && kept.reason !== 'trash_full') return refuseCopy(kept)
  const warning = plainWarning("no copy was kept, because the project's storage quota does not allow it")
  return { kind: 'loose', manifest: found, warning }
}

function readManifest({ connected }: Look, { bytes, mediaType }: UpstreamManifest): ParsedManifest {
  const { registry, name } = connected
  const parsed = parseManifest(bytes, mediaType)
  if (parsed.ok) return parsed.manifest
  const detail = { registry: registry.slug, mediaType }
  if (isDockerSchema1MediaType(mediaType)) {
    throw new OciError(
      'UNSUPPORTED',
      `${name} at ${registry.host} is in Docker's image format of before 2016 (schema 1), which cannot be pulled through: it has to be pushed there again`,
      { status: 415, detail },
    )
  }
  throw new OciError(
    'UNKNOWN',
    `${registry.host} has a manifest of ${name} that is not valid: ${parsed.message}`,
    {
      status: 502,
      detail,
    },
  )
}

/** The registry says that there is no such thing: then the copy of a tag is none, either. */
async function gone({
  region,
  exchange,
  connected,
  grant,
  upstream,
  reference,
  what,
  copy,
}: Look): Promise<OciError> {
  upstream.noteAbsence(what)
  if (reference.kind === 'tag' && copy !== null) {
    await region.db.run(dropCachedTag, {
      ...cacheWrite(region, exchange, connected, grant),
      tag: reference.tag,
    })
  }
  return new OciError(
    'MANIFEST_UNKNOWN',
    `${connected.registry.host} has no such tag or digest of ${connected.name}`,
  )
}

/** The record changed while the registry was asked, so the answer is not that of a registry that is connected now. */
function refuseCopy({ reason }: CacheRefusal): never {
  if (reason === 'disconnected' || reason === 'project_deleted') throw new OciError('NAME_UNKNOWN')
  throw unavailable('the connected registry was changed just now; try again')
}

function looseAnswer(
  { manifest, warning }: Extract<Ensured, { kind: 'loose' }>,
  { kind }: Reference,
): Answer {
  return {
    status: 200,
    headers: {
      'Content-Type': manifest.mediaType,
      'Docker-Content-Digest': manifest.digest,
      ETag: entityTag(manifest.digest),
      ...cacheHeaders({ isPublic: false, isImmutable: kind === 'digest' }),
      ...warning,
    },
    body: manifest.bytes,
  }
}

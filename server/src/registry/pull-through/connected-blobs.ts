import type { Digest } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import type { BlobSource, ByteSink } from '../../blobstore/blobstore.ts'
import { loadBlob } from '../../metastore/queries/blob.ts'
import type { UpstreamBlob } from '../../upstream/upstream.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { Answer } from '../answer.ts'
import { getBlob } from '../blobs.ts'
import { blobHeaders, deliverBlob } from '../delivery.ts'
import { ClientGone, unavailable } from '../errors.ts'
import { type Exchange, header } from '../exchange.ts'
import type { Grant } from '../grant.ts'
import type { ServedRegion } from '../region.ts'
import { loadQuotaLeft } from '../upload-session.ts'
import { type BlobFetch, fillBlob } from './blob-fill.ts'
import type { ConnectedRepository } from './connected-repository.ts'
import { FILL_WAIT_MS, MAX_FILLS, MAX_FILLS_PER_PROJECT, UNKNOWN_SIZE_KEPT_BYTES } from './limits.ts'
import { upstreamRefusal } from './upstream-refusal.ts'
import type { Upstream, Upstreams } from './upstreams.ts'

/** Everything that answering one request for a blob needs. */
interface BlobLook {
  readonly region: ServedRegion
  readonly exchange: Exchange
  readonly digest: Digest
  readonly connected: ConnectedRepository
  readonly grant: Grant
}

/** Blobs that are being fetched and kept, by project, path and digest. */
interface Fills {
  readonly running: Map<string, Promise<void>>
  /** How many a project has, and how many bytes they may take together. */
  readonly perProject: Map<string, { count: number; bytes: number }>
}

const fillsOf = new WeakMap<Upstreams, Fills>()

/**
 * GET and HEAD of a blob of a connected registry: the copy, or else it is fetched, sent on while it comes, and kept. Of
 * several clients at once the first is sent it like that; the others wait for the copy, and get the blob for themselves
 * when that takes long. Ranges are served from the copy. Errors: BLOB_UNKNOWN, 416, and those of `upstreamRefusal`.
 */
export async function getConnectedBlob(
  region: ServedRegion,
  exchange: Exchange,
  { digest }: { readonly digest: Digest },
  connected: ConnectedRepository,
  grant: Grant,
): Promise<Answer> {
  const look: BlobLook = { region, exchange, digest, connected, grant }
  const copy = await answerFromCopy(look)
  if (copy !== null) return count(look, 'hit', copy)
  if (exchange.req.method === 'HEAD') return answerHead(look)
  const running = fills(region).running.get(fillKey(look))
  if (running !== undefined) {
    await untilDone(look, running)
    const kept = await answerFromCopy(look)
    if (kept !== null) return count(look, 'hit', kept)
  }
  return fetchAndAnswer(look)
}

function count({ region }: BlobLook, result: string, answer: Answer): Answer {
  region.metrics.pullThrough.inc({ kind: 'blob', result })
  return answer
}

async function answerFromCopy({
  region,
  exchange,
  digest,
  connected,
  grant,
}: BlobLook): Promise<Answer | null> {
  const { projectId, path } = connected.cached
  const found = await loadBlob(region.db.reader, { projectId, path, digest })
  return typeof found === 'string'
    ? null
    : getBlob(region, exchange, { repository: connected.target, digest }, grant)
}

/** The other registry is asked for the blob itself, and let go of when it begins to send. */
async function answerHead(look: BlobLook): Promise<Answer> {
  const { region, exchange, digest } = look
  const { sizeBytes, body } = await askForBlob(look)
  body.destroy()
  if (sizeBytes === null) throw unavailable('the other registry does not say how large this blob is')
  const blob = { blobId: 0, repositoryId: 0, sizeBytes, storageKey: null, content: null, leasedUntil: 0 }
  return count(look, 'miss', await deliverBlob(region, exchange, { digest, isPublic: false }, blob))
}

async function askForBlob(look: BlobLook): Promise<UpstreamBlob> {
  const { region, digest, connected } = look
  const { registry, name } = connected
  const what = `${name} blob ${digest}`
  let upstream: Upstream | null = null
  try {
    upstream = region.upstreams.of(registry)
    const failure = upstream.recallFailure(what)
    if (failure !== null) throw failure
    const call = { maxBytes: region.limits.maxBlobBytes, signal: region.upstreams.signal }
    const blob = upstream.recallAbsence(what) ? null : await upstream.client.blob(name, digest, call)
    if (blob !== null) return blob
    upstream.noteAbsence(what)
  } catch (error) {
    if (error instanceof UpstreamError) upstream?.noteFailure(what, error)
    region.metrics.pullThrough.inc({ kind: 'blob', result: 'error' })
    throw upstreamRefusal(error, registry)
  }
  throw new OciError('BLOB_UNKNOWN', `${registry.host} has no such blob of ${name}`)
}

async function fetchAndAnswer(look: BlobLook): Promise<Answer> {
  // Before anything is waited for, so that of many clients at once exactly one has it.
  const place = takePlace(look)
  let blob: UpstreamBlob | null = null
  try {
    blob = await askForBlob(look)
    const keptBytes = place === null ? 0 : await reserveRoom(look, place, blob.sizeBytes)
    if (keptBytes === 0) place?.leave()
    return await answerWhileItComes({ ...look, blob, keptBytes }, place)
  } catch (error) {
    blob?.body.destroy()
    place?.leave()
    throw error
  }
}

async function answerWhileItComes(fetch: BlobFetch, place: Place | null): Promise<Answer> {
  const { exchange, digest, blob, keptBytes } = fetch
  const { sizeBytes } = blob
  const wantsPart = header(exchange.req, 'range') !== undefined
  if (keptBytes > 0 && (wantsPart || sizeBytes === null)) {
    await untilGone(fetch, begin(fetch, place, null))
    const copy = await answerFromCopy(fetch)
    if (copy !== null) return count(fetch, 'miss', copy)
    throw unavailable(
      'no copy of the blob could be kept, and without one neither a part nor a blob of unknown size can be sent',
    )
  }
  if (sizeBytes === null) {
    blob.body.destroy()
    throw unavailable('the other registry does not say how large this blob is, and no copy can be kept')
  }
  const source = sourceOf(fetch, place, sizeBytes)
  const headers = { ...blobHeaders({ digest, isPublic: false }), 'Accept-Ranges': 'none' }
  return count(fetch, 'miss', {
    status: 200,
    headers,
    body: { source, range: { start: 0, end: sizeBytes - 1 } },
  })
}

/** The right to fetch and keep a blob. Others wait until it is left. */
interface Place {
  /** Counts bytes that may come to be kept, beside those of the project's other places. */
  reserve(bytes: number): void
  /** What the project's places have reserved. */
  reservedBytes(): number
  /** May be called more than once. */
  leave(): void
}

/** Null: somebody else has it, or too many blobs are being kept at once. */
function takePlace(look: BlobLook): Place | null {
  const { running, perProject } = fills(look.region)
  const key = fillKey(look)
  const projectId = look.grant.project.id
  const ofProject = perProject.get(projectId) ?? { count: 0, bytes: 0 }
  if (running.has(key) || running.size >= MAX_FILLS || ofProject.count >= MAX_FILLS_PER_PROJECT) return null
  const { promise, resolve } = Promise.withResolvers<void>()
  running.set(key, promise)
  ofProject.count += 1
  perProject.set(projectId, ofProject)
  let ownBytes = 0
  return {
    reserve(bytes) {
      ownBytes += bytes
      ofProject.bytes += bytes
    },
    reservedBytes: () => ofProject.bytes,
    leave() {
      if (running.get(key) !== promise) return
      running.delete(key)
      ofProject.count -= 1
      ofProject.bytes -= ownBytes
      if (ofProject.count === 0) perProject.delete(projectId)
      resolve()
    },
  }
}

/** How much of a blob may be kept, by the quota and the disk: all of it, or nothing (0). */
async function reserveRoom(
  { region, grant }: BlobLook,
  place: Place,
  sizeBytes: number | null,
): Promise<number> {
  const { leftBytes } = await loadQuotaLeft(region, grant)
  try {
    await region.freeSpace.requireForUpload()
  } catch {
    return 0
  }
  if (leftBytes === null) return region.limits.maxBlobBytes
  const roomBytes = leftBytes - place.reservedBytes()
  const wantedBytes = sizeBytes ?? Math.min(roomBytes, UNKNOWN_SIZE_KEPT_BYTES)
  if (roomBytes <= 0 || wantedBytes > roomBytes) return 0
  place.reserve(wantedBytes)
  return Math.max(1, wantedBytes)
}

/** What `send` pumps from: the other registry itself. */
function sourceOf(fetch: BlobFetch, place: Place | null, sizeBytes: number): BlobSource {
  let begun = false
  return {
    sizeBytes,
    async pump(sink: ByteSink, _range, signal) {
      begun = true
      const left = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
      await Promise.race([begin(fetch, place, sink), left])
    },
    async close() {
      if (begun) return
      fetch.blob.body.destroy()
      place?.leave()
    },
  }
}

/** Starts to read. It goes on when its client leaves, since others may wait for it or come again. */
function begin(fetch: BlobFetch, place: Place | null, sink: ByteSink | null): Promise<void> {
  const work = fillBlob(fetch, sink).finally(() => place?.leave())
  fetch.region.upstreams.track(work)
  return work
}

function fills({ upstreams }: ServedRegion): Fills {
  const known = fillsOf.get(upstreams)
  if (known !== undefined) return known
  const made = { running: new Map(), perProject: new Map() }
  fillsOf.set(upstreams, made)
  return made
}

function fillKey({ connected, digest }: Pick<BlobLook, 'connected' | 'digest'>): string {
  return `${connected.cached.projectId} ${connected.cached.path} ${digest}`
}

/** Waits for another client's blob: until it is here, has failed, or takes too long. */
async function untilDone(look: BlobLook, running: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FILL_WAIT_MS)
  })
  await untilGone(look, Promise.race([running, late])).finally(() => clearTimeout(timer))
}

/** Waits as long as the client does. Errors of the other registry become the client's. */
async function untilGone({ exchange, connected }: BlobLook, work: Promise<void>): Promise<void> {
  const { res } = exchange
  let onClose = () => {}
  const left = new Promise<never>((_, reject) => {
    onClose = () => reject(new ClientGone())
    res.once('close', onClose)
  })
  try {
    await Promise.race([work, left])
  } catch (error) {
    if (error instanceof ClientGone) throw error
    throw upstreamRefusal(error, connected.registry)
  } finally {
    res.off('close', onClose)
    left.catch(() => undefined)
  }
}

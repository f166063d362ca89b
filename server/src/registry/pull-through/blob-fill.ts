import { randomUUID } from 'node:crypto'
import { createDigester, type Digest, digestAlgorithm } from '@berth/oci/digest'
import type { ByteSink, StorageKey } from '../../blobstore/blobstore.ts'
import { cacheBlob } from '../../metastore/queries/cached-content.ts'
import type { UpstreamBlob } from '../../upstream/upstream.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { Exchange } from '../exchange.ts'
import type { Grant } from '../grant.ts'
import type { ServedRegion } from '../region.ts'
import { ownBytes } from '../upload-commit.ts'
import { openAppender, type UploadAppender, type UploadContent } from '../upload-content.ts'
import { cacheWrite, type ConnectedRepository } from './connected-repository.ts'
import { MIN_PROGRESS_BYTES } from '../limits.ts'
import { CACHED_BLOB_LEASE_MS, FETCH_PROGRESS_WINDOW_MS } from './limits.ts'

/** What a blob is fetched for. */
export interface BlobFetch {
  readonly region: ServedRegion
  readonly exchange: Exchange
  readonly connected: ConnectedRepository
  readonly grant: Grant
  readonly digest: Digest
  readonly blob: UpstreamBlob
  /** It is kept when it has no more bytes than this; 0: it is only handed on. */
  readonly keptBytes: number
}

/**
 * Reads a blob of another registry to its end: hashes it, stores it, and hands it on to `sink` as it comes, but for its
 * last piece, which leaves only after the digest was right. So a client never has all bytes of something wrong. Goes on
 * without the sink when that fails: what was begun is kept for whoever asks next.
 *
 * Rejects with UpstreamError when the bytes end early, are too many or have another digest.
 */
export async function fillBlob(fetch: BlobFetch, sink: ByteSink | null): Promise<void> {
  const { region, digest, blob, keptBytes } = fetch
  const { maxBlobBytes, inlineLimitBytes } = region.limits
  const digester = createDigester(digestAlgorithm(digest))
  const session = { id: randomUUID(), offset_bytes: 0, pending: null, storage_state: null }
  let appender = keptBytes === 0 ? null : openAppender(region.blobs, session, digester, inlineLimitBytes)
  let client = sink
  let held: Buffer | null = null
  let receivedBytes = 0

  async function handOn(): Promise<void> {
    if (held === null || client === null) return
    try {
      await client.write(held)
    } catch {
      client = null
    }
  }

  async function append(chunk: Buffer): Promise<void> {
    if (appender !== null && receivedBytes > keptBytes) {
      await appender.abort()
      appender = null
    }
    if (appender === null) {
      digester.update(chunk)
      return
    }
    try {
      await appender.append(chunk)
    } catch (error) {
      await giveUpStoring(fetch, appender, error)
      appender = null
    }
  }

  const progress = watchProgress()
  try {
    for await (const chunk of blob.body as AsyncIterable<Buffer>) {
      receivedBytes += chunk.byteLength
      if (receivedBytes > (blob.sizeBytes ?? maxBlobBytes))
        throw wrongContent(fetch, 'sent more bytes than it should')
      if (progress.arrived(chunk.byteLength)) throw wrongContent(fetch, 'sends too slowly')
      await handOn()
      held = chunk
      await append(chunk)
      progress.waits()
    }
    if (blob.sizeBytes !== null && receivedBytes !== blob.sizeBytes) {
      throw wrongContent(fetch, 'sent fewer bytes than it announced')
    }
    const isRight = digester.copy().digest() === digest
    if (!isRight) throw wrongContent(fetch, `sent bytes that do not have the digest ${digest}`)
  } catch (error) {
    blob.body.destroy()
    await appender?.abort()
    throw error
  }
  if (appender !== null) await keepBlob(fetch, appender)
  await handOn()
}

/**
 * Tells a fetch that trickles: the other side could hold a place for hours with a byte now and then. Only the time in
 * which it is waited for counts, and one that sends nothing at all is ended by the guard of outgoing calls.
 */
function watchProgress() {
  let waitedMs = 0
  let receivedBytes = 0
  let waitsSince = performance.now()
  return {
    /** Whether the other side is too slow. */
    arrived(sizeBytes: number): boolean {
      waitedMs += performance.now() - waitsSince
      receivedBytes += sizeBytes
      if (waitedMs < FETCH_PROGRESS_WINDOW_MS) return false
      const isTooSlow = receivedBytes < MIN_PROGRESS_BYTES
      waitedMs = 0
      receivedBytes = 0
      return isTooSlow
    },
    waits() {
      waitsSince = performance.now()
    },
  }
}

/** Storage that fails does not fail the pull: the bytes are only handed on from here. */
async function giveUpStoring(
  { region, connected, digest }: BlobFetch,
  appender: UploadAppender,
  error: unknown,
) {
  region.log.warn({ err: error, path: connected.cached.path, digest }, 'a copy of a blob could not be stored')
  await appender.abort().catch(() => undefined)
}

/** Durable bytes first, then the transaction. What the quota or a failing store forbids is not kept, that is all. */
async function keepBlob(fetch: BlobFetch, appender: UploadAppender): Promise<void> {
  const { region, exchange, connected, grant, digest } = fetch
  let storageKey: StorageKey | null = null
  try {
    const content = await appender.finish()
    storageKey = await commitBytes(fetch, content)
    const kept = await region.db.run(cacheBlob, {
      ...cacheWrite(region, exchange, connected, grant),
      digest,
      sizeBytes: content.offsetBytes,
      storageKey,
      content: storageKey === null ? ownBytes(content.pending ?? new Uint8Array()) : null,
      leaseMs: CACHED_BLOB_LEASE_MS,
    })
    if (storageKey !== null && (!kept.ok || kept.known)) await region.blobs.delete(storageKey)
  } catch (error) {
    // The bytes stay when the database failed: its transaction may have reached the disk. fsck finds them otherwise.
    await giveUpStoring(fetch, appender, error)
  }
}

async function commitBytes(
  { region, digest }: BlobFetch,
  content: UploadContent,
): Promise<StorageKey | null> {
  const { storageState, offsetBytes } = content
  if (storageState === null) return null
  try {
    return await region.blobs.commitUpload(storageState, { digest, sizeBytes: offsetBytes })
  } catch (error) {
    await region.blobs.cancelUpload(storageState)
    throw error
  }
}

function wrongContent({ connected }: BlobFetch, what: string): UpstreamError {
  return new UpstreamError({
    reason: 'bad_answer',
    message: `${connected.registry.host} ${what}`,
    nextStep: 'Nothing was kept. If it happens again, tell whoever runs that registry.',
  })
}

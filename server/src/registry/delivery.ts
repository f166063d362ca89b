import { OciError } from '@berth/oci/errors'
import { formatContentRange, formatUnsatisfiedRange, parseRange } from '@berth/oci/range'
import { BlobStoreError, type ByteRange, type StorageKey } from '../blobstore/blobstore.ts'
import type { FoundBlob } from '../metastore/queries/blob.ts'
import { type Answer, emptyAnswer } from './answer.ts'
import { type Exchange, header } from './exchange.ts'
import { cacheHeaders, entityTag, matchesEntityTag, NO_STORE } from './headers.ts'
import type { RegionRuntime } from './runtime.ts'

/** What is known of content before its bytes are touched. */
interface Content {
  readonly digest: string
  readonly isPublic: boolean
}

/**
 * Answers a GET or HEAD of a blob: 200, 206, 304, or 416 as an error, by the means that the region is configured for.
 * Content that lives in the database always comes from here.
 */
export async function deliverBlob(
  runtime: RegionRuntime,
  exchange: Exchange,
  content: Content,
  blob: FoundBlob,
): Promise<Answer> {
  const { req } = exchange
  const headers = blobHeaders(content)
  const ifNoneMatch = header(req, 'if-none-match')
  if (ifNoneMatch !== undefined && matchesEntityTag(ifNoneMatch, headers.ETag)) {
    return emptyAnswer(304, headers)
  }
  if (req.method === 'HEAD')
    return { status: 200, headers: { ...headers, 'Content-Length': blob.sizeBytes }, body: null }
  if (blob.storageKey !== null) {
    const elsewhere = await deliverElsewhere(runtime, blob.storageKey as StorageKey, content, headers)
    if (elsewhere !== null) return elsewhere
  }
  return deliverHere(runtime, exchange, headers, blob)
}

/** Headers of a blob's content. */
export function blobHeaders({ digest, isPublic }: Content) {
  return {
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': 'attachment',
    'Accept-Ranges': 'bytes',
    'Docker-Content-Digest': digest,
    ETag: entityTag(digest),
    ...cacheHeaders({ isPublic, isImmutable: true }),
  }
}

/** Lets nginx or the object store send the bytes. Null when that is not configured, or not possible for this blob. */
async function deliverElsewhere(
  { blobs, delivery }: RegionRuntime,
  key: StorageKey,
  { digest }: Content,
  headers: ReturnType<typeof blobHeaders>,
): Promise<Answer | null> {
  if (delivery.mode === 'accel') {
    const path = blobs.filePath(key)
    return path === null
      ? null
      : emptyAnswer(200, { ...headers, 'X-Accel-Redirect': `${delivery.prefix}${path}` })
  }
  if (delivery.mode === 'redirect') {
    const url = await blobs.presign(key, {
      expiresSeconds: delivery.expiresSeconds,
      fileName: digest.replace(':', '-'),
    })
    return url === null
      ? null
      : emptyAnswer(307, { Location: url.href, 'Docker-Content-Digest': digest, ...NO_STORE })
  }
  return null
}

async function deliverHere(
  runtime: RegionRuntime,
  exchange: Exchange,
  headers: ReturnType<typeof blobHeaders>,
  blob: FoundBlob,
): Promise<Answer> {
  const partial = requestedRange(exchange, headers.ETag, blob.sizeBytes)
  const range = partial ?? { start: 0, end: blob.sizeBytes - 1 }
  const status = partial === null ? 200 : 206
  const rangeHeaders =
    partial === null ? headers : { ...headers, 'Content-Range': formatContentRange(partial, blob.sizeBytes) }
  if (blob.storageKey === null) {
    const bytes = (blob.content ?? new Uint8Array()).subarray(range.start, range.end + 1)
    runtime.metrics.blobBytes.inc({ direction: 'out' }, bytes.byteLength)
    return { status, headers: rangeHeaders, body: bytes }
  }
  const source = await runtime.blobs.open(blob.storageKey as StorageKey, range)
  if (source === null) throw new BlobStoreError('corrupt', `the bytes of blob ${blob.blobId} are missing`)
  if (source.sizeBytes !== blob.sizeBytes) {
    await source.close()
    throw new BlobStoreError('corrupt', `blob ${blob.blobId} has ${source.sizeBytes} bytes in the store`)
  }
  return { status, headers: rangeHeaders, body: { source, range } }
}

/** The range to answer with 206, or null for everything. Throws 416. */
function requestedRange({ req }: Exchange, etag: string, sizeBytes: number): ByteRange | null {
  const text = header(req, 'range')
  if (text === undefined) return null
  // RFC 9110 section 13.1.5: with any other validator than ours the range does not count.
  const ifRange = header(req, 'if-range')
  if (ifRange !== undefined && ifRange.trim() !== etag) return null
  const range = parseRange(text, sizeBytes)
  if (range !== 'unsatisfiable') return range
  throw new OciError('UNSUPPORTED', `the blob has ${sizeBytes} bytes`, {
    status: 416,
    headers: { 'Content-Range': formatUnsatisfiedRange(sizeBytes) },
  })
}

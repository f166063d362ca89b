import { BlobStoreError } from '../blobstore.ts'

const MISSING = new Set(['NoSuchKey', 'NotFound', 'NoSuchUpload'])
// Names that AWS, MinIO, SeaweedFS and versitygw use when there is no room.
const FULL = new Set([
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
  'InsufficientStorage',
  'EntityTooLarge',
])
// The parts are not the ones that were acknowledged: somebody else wrote them again.
const PARTS_CHANGED = new Set(['InvalidPart', 'InvalidPartOrder', 'EntityTooSmall'])
const INSUFFICIENT_STORAGE = 507

/** Whether the object or the multipart upload is not there. */
export function isMissingObject(error: unknown): boolean {
  const name = nameOf(error)
  return MISSING.has(name) || (statusOf(error) === 404 && name !== 'NoSuchBucket')
}

/** Whether the multipart upload ended otherwise than by the parts that are known. */
export function isLostMultipart(error: unknown): boolean {
  return isMissingObject(error) || PARTS_CHANGED.has(nameOf(error))
}

/** Whether a range begins after the object's end. */
export function isBeyondEnd(error: unknown): boolean {
  return nameOf(error) === 'InvalidRange' || statusOf(error) === 416
}

/**
 * Translates an error of the SDK. What a later attempt may cure (the network, time-outs, throttling, 5xx), and what an
 * operator must cure (wrong keys, no such bucket), is `unavailable`: neither says anything about the bytes.
 */
export function objectStoreError(what: string, error: unknown): BlobStoreError {
  if (error instanceof BlobStoreError) {
    return error
  }
  const name = nameOf(error)
  const status = statusOf(error)
  const message = `${what}: ${name || String(error)}${status ? ` (${status})` : ''}`
  if (FULL.has(name) || status === INSUFFICIENT_STORAGE) {
    return new BlobStoreError('full', message, error)
  }
  const refused =
    status !== undefined && status >= 400 && status < 500 && ![401, 403, 404, 408, 429].includes(status)
  return new BlobStoreError(refused ? 'io' : 'unavailable', message, error)
}

/** Waits for `act`, translating its failure with `objectStoreError`. */
export async function translated<T>(what: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    throw objectStoreError(what, error)
  }
}

/** How often the SDK sent the request that failed. */
export function attemptsOf(error: unknown): number {
  return metadataOf(error)?.attempts ?? 1
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}

function statusOf(error: unknown): number | undefined {
  return metadataOf(error)?.httpStatusCode
}

function metadataOf(error: unknown): { httpStatusCode?: number; attempts?: number } | undefined {
  return error instanceof Error && '$metadata' in error
    ? (error.$metadata as { httpStatusCode?: number; attempts?: number } | undefined)
    : undefined
}

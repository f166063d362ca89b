import type { ByteRange } from '../blobstore.ts'
import { blobStoreLimits } from '../limits.ts'
import type { Bucket } from './bucket.ts'
import { partSizeBytes } from './part-sizes.ts'

/** Copies an object inside the store, part by part when it is larger than `copyMaxBytes`. */
export async function copyObject(
  bucket: Bucket,
  from: string,
  to: string,
  sizes: { sizeBytes: number; copyMaxBytes: number },
): Promise<void> {
  if (sizes.sizeBytes <= sizes.copyMaxBytes) {
    await bucket.copy(from, to, sizes.sizeBytes)
    return
  }
  const ranges: ByteRange[] = []
  for (let start = 0; start < sizes.sizeBytes; start += sizes.copyMaxBytes) {
    ranges.push({ start, end: Math.min(start + sizes.copyMaxBytes, sizes.sizeBytes) - 1 })
  }
  const multipartId = await bucket.createMultipart(to)
  try {
    const etags = await copyParts(bucket, from, ranges, to, multipartId)
    await bucket.completeMultipart(to, multipartId, etags)
  } catch (error) {
    await bucket.abortMultipart(to, multipartId).catch(() => {})
    throw error
  }
}

/** Begins a multipart upload under `to` whose first parts are the first `parts` parts' worth of the object `from`. */
export async function multipartFrom(
  bucket: Bucket,
  from: string,
  to: string,
  sizes: { parts: number; basePartBytes: number },
): Promise<{ multipartId: string; etags: string[] }> {
  const ranges: ByteRange[] = []
  let start = 0
  for (let index = 0; index < sizes.parts; index++) {
    const sizeBytes = partSizeBytes(index, sizes.basePartBytes) ?? 0
    ranges.push({ start, end: start + sizeBytes - 1 })
    start += sizeBytes
  }
  const multipartId = await bucket.createMultipart(to)
  try {
    return { multipartId, etags: await copyParts(bucket, from, ranges, to, multipartId) }
  } catch (error) {
    await bucket.abortMultipart(to, multipartId).catch(() => {})
    throw error
  }
}

async function copyParts(
  bucket: Bucket,
  from: string,
  ranges: readonly ByteRange[],
  to: string,
  multipartId: string,
): Promise<string[]> {
  const etags: string[] = []
  const pending = ranges.entries()
  const copyNext = async () => {
    for (const [index, range] of pending) {
      etags[index] = await bucket.copyPart(from, range, to, multipartId, index + 1)
    }
  }
  await Promise.all(Array.from({ length: blobStoreLimits.s3CopiesInFlightMax }, copyNext))
  return etags
}

import type { BlobSource } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'

/** Several sources, one after the other, as one. Closing it closes them. */
export function concatenated(sources: readonly BlobSource[]): BlobSource {
  const sizeBytes = sources.reduce((sum, source) => sum + source.sizeBytes, 0)
  return {
    sizeBytes,
    async pump(sink, range, signal) {
      signal.throwIfAborted()
      if (range.end >= sizeBytes) {
        throw new BlobStoreError('corrupt', `the upload ends at ${sizeBytes}, before byte ${range.end}`)
      }
      let first = 0
      for (const source of sources) {
        const start = Math.max(range.start - first, 0)
        const end = Math.min(range.end - first, source.sizeBytes - 1)
        if (start <= end) {
          await source.pump(sink, { start, end }, signal)
        }
        first += source.sizeBytes
      }
    },
    async close() {
      await Promise.all(sources.map((source) => source.close()))
    },
  }
}

import { OciError } from '@berth/oci/errors'
import { FREE_SPACE_AGE_MS } from './limits.ts'
import type { RegionRuntime } from './runtime.ts'

/** Watches the blob store's free space, asking at most once a second. */
export interface FreeSpace {
  /**
   * Throws DENIED when less than the reserve is left. Not 503: docker would show only the status, and try the same
   * upload four more times; of a 403 it shows the message. Pulls, deletes and garbage collection go on.
   */
  requireForUpload(): Promise<void>
}

/** Starts without knowing. */
export function createFreeSpace({ blobs, limits, clock }: RegionRuntime): FreeSpace {
  let askedAt = Number.NEGATIVE_INFINITY
  let isLow = false
  return {
    async requireForUpload() {
      if (clock.nowMs() - askedAt > FREE_SPACE_AGE_MS) {
        askedAt = clock.nowMs()
        const freeBytes = await blobs.freeBytes()
        isLow = freeBytes !== null && freeBytes < limits.diskReserveBytes
      }
      if (!isLow) return
      throw new OciError(
        'DENIED',
        "the registry's disk is nearly full: uploads are refused until its operator frees space",
        { detail: { limit: 'disk' } },
      )
    },
  }
}

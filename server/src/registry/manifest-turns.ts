import { MAX_MANIFEST_SIZE_BYTES } from '@berth/oci/limits'
import { ByteBudget } from '../blobstore/byte-budget.ts'
import { unavailable } from './errors.ts'
import {
  MANIFEST_BODIES_BUDGET_BYTES,
  MANIFEST_BODIES_PER_PROJECT_BYTES,
  MANIFEST_TURN_WAIT_MS,
  SMALL_MANIFEST_BYTES,
} from './limits.ts'

/** Memory for large manifests while they are received: so much in all, and so much for one project. */
export interface ManifestTurns {
  /**
   * Runs `receive` when there is memory for a body of this length (null: unknown, so it may be the largest). Small ones,
   * which are nearly all, never wait. Throws 503 when none becomes free in time.
   */
  take<Result>(projectId: string, lengthBytes: number | null, receive: () => Promise<Result>): Promise<Result>
}

/** Starts with all of it free. */
export function createManifestTurns(waitMs: number = MANIFEST_TURN_WAIT_MS): ManifestTurns {
  const all = new ByteBudget(MANIFEST_BODIES_BUDGET_BYTES)
  const byProject = new Map<string, { readonly share: ByteBudget; users: number }>()

  async function within<Result>(
    budget: ByteBudget,
    bytes: number,
    signal: AbortSignal,
    act: () => Promise<Result>,
  ): Promise<Result> {
    try {
      await budget.acquire(bytes, signal)
    } catch (cause) {
      throw unavailable('too many large manifests are being pushed at once; try again soon', cause)
    }
    try {
      return await act()
    } finally {
      budget.release(bytes)
    }
  }

  return {
    async take(projectId, lengthBytes, receive) {
      const bytes = Math.min(lengthBytes ?? MAX_MANIFEST_SIZE_BYTES, MAX_MANIFEST_SIZE_BYTES)
      if (bytes <= SMALL_MANIFEST_BYTES) return receive()
      const signal = AbortSignal.timeout(waitMs)
      const own = byProject.get(projectId) ?? {
        share: new ByteBudget(MANIFEST_BODIES_PER_PROJECT_BYTES),
        users: 0,
      }
      byProject.set(projectId, own)
      own.users += 1
      try {
        // The project's share first: who waits for that holds nothing of what the others need.
        return await within(own.share, bytes, signal, () => within(all, bytes, signal, receive))
      } finally {
        own.users -= 1
        if (own.users === 0) byProject.delete(projectId)
      }
    },
  }
}

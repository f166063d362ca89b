import { ByteBudget } from '../blobstore/byte-budget.ts'
import { type FreeSpace, createFreeSpace } from './free-space.ts'
import { createHashStates, type HashStates } from './hash-states.ts'
import { MANIFEST_BODIES_BUDGET_BYTES, MAX_HASH_STATES } from './limits.ts'
import type { RegionRuntime } from './runtime.ts'

/** One region as the handlers see it: what it was given, and what it keeps in memory for uploads. */
export interface ServedRegion extends RegionRuntime {
  readonly hashStates: HashStates
  readonly freeSpace: FreeSpace
  /** Bytes of large manifests that are being received. */
  readonly manifestBodies: ByteBudget
}

/** Adds the in-memory state of one process. */
export function serveRegion(runtime: RegionRuntime): ServedRegion {
  return {
    ...runtime,
    hashStates: createHashStates(runtime.blobs, MAX_HASH_STATES),
    freeSpace: createFreeSpace(runtime),
    manifestBodies: new ByteBudget(MANIFEST_BODIES_BUDGET_BYTES),
  }
}

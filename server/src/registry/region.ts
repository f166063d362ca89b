import { type FreeSpace, createFreeSpace } from './free-space.ts'
import { createHashStates, type HashStates } from './hash-states.ts'
import { MAX_HASH_STATES } from './limits.ts'
import { createManifestTurns, type ManifestTurns } from './manifest-turns.ts'
import type { RegionRuntime } from './runtime.ts'

/** One region as the handlers see it: what it was given, and what it keeps in memory for uploads. */
export interface ServedRegion extends RegionRuntime {
  readonly hashStates: HashStates
  readonly freeSpace: FreeSpace
  readonly manifestTurns: ManifestTurns
}

/** Adds the in-memory state of one process. */
export function serveRegion(runtime: RegionRuntime): ServedRegion {
  return {
    ...runtime,
    hashStates: createHashStates(runtime.blobs, MAX_HASH_STATES),
    freeSpace: createFreeSpace(runtime),
    manifestTurns: createManifestTurns(),
  }
}

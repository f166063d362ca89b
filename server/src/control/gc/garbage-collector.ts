import type { GcPreview, GcResult } from '@berth/api/gc'

/** Garbage collection of one region, as the console starts it. */
export interface RegionGarbageCollector {
  /** What a cycle would remove now; removes nothing. */
  preview(): Promise<GcPreview>
  /** Runs one cycle to its end. Null: a cycle is running already, here or in another process. */
  runCycle(options: { readonly force: boolean; readonly signal: AbortSignal }): Promise<GcResult | null>
}

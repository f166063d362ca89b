import { createMemoryBlobStore } from '../../../server/src/blobstore/memory/memory-blobstore.ts'
import type { ControlRegion } from '../../../server/src/control/runtime.ts'
import { GarbageCollector } from '../../../server/src/jobs/gc.ts'
import type { TestConsole } from './stack.ts'

/** Runs the real garbage collection of a region until it finds nothing more to do now. */
export async function collectGarbage(
  { runtime }: TestConsole,
  { region, db, trashMs }: ControlRegion,
): Promise<void> {
  const collector = new GarbageCollector({
    regionId: region.id,
    db,
    // What tests push lies in the database.
    blobs: createMemoryBlobStore(),
    trashMs,
    maxSharePercent: 100,
    log: runtime.log,
    metrics: runtime.metrics,
  })
  const { signal } = new AbortController()
  for (;;) {
    const report = await collector.runCycle({ force: true, signal })
    if (report === null || report.examined === 0) return
  }
}

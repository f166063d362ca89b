import type { RegionGarbageCollector } from '../../../server/src/control/gc/garbage-collector.ts'

/** A collector that records what the console asks of it: jobs and the console know each other only by this port. */
export interface TestCollector extends RegionGarbageCollector {
  readonly calls: { readonly force: boolean }[]
  /** Whether another process runs a cycle. */
  isBusy: boolean
}

/** Finds one thing to remove. */
export function createTestCollector(): TestCollector {
  const calls: { force: boolean }[] = []
  return {
    calls,
    isBusy: false,
    preview: async () => ({
      examined: 2,
      candidates: [
        {
          kind: 'blob',
          projectId: 'p1',
          repository: 'web',
          digest: `sha256:${'a'.repeat(64)}`,
          sizeBytes: 5,
          reason: 'no repository of the project has it',
        },
      ],
    }),
    async runCycle({ force }) {
      if (this.isBusy) return null
      calls.push({ force })
      return {
        outcome: 'done',
        detail: null,
        examined: 2,
        trashedBlobs: 1,
        trashedBytes: 5,
        purgedBlobs: 0,
        purgedBytes: 0,
        purgedManifests: 0,
      }
    },
  }
}

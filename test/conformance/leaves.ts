import { test } from 'node:test'

/** Counts which cases ran, by the path that the official suite gives them. */
export type LeafRecorder = {
  /** How often each case ran to its end without a failure, by `path: name`. */
  readonly ran: ReadonlyMap<string, number>
  /** Registers one case as a test: `run` once for each item, under one name, as the suite counts them. */
  leaf<Item>(path: string, name: string, items: Iterable<Item>, run: (item: Item) => Promise<void>): void
}

export function createLeafRecorder(): LeafRecorder {
  const ran = new Map<string, number>()
  return {
    ran,
    leaf(path, name, items, run) {
      void test(name, async () => {
        for (const item of items) {
          await run(item)
          const key = `${path}: ${name}`
          ran.set(key, (ran.get(key) ?? 0) + 1)
        }
      })
    },
  }
}

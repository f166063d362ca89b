import { LRUCache } from 'lru-cache'
import type { Lease } from './lease.ts'
import { MAX_CACHED_UNKNOWN, UNKNOWN_TTL_MS } from './limits.ts'

/**
 * Records of the region's database by id, kept in memory while the lease holds and dropped when the feed says that
 * they changed. Without a lease every look-up reads the database itself.
 */
export interface RecordCache<Value> {
  /** Null: there is no such record. Rejects when the database cannot be read. */
  load(id: string): Promise<Value | null>
  drop(id: string): void
  /** Forgets which ids do not exist. */
  dropUnknown(): void
  dropAll(): void
}

export interface RecordCacheOptions<Value> {
  readonly read: (id: string) => Promise<Value | null>
  readonly max: number
  readonly lease: Lease
  readonly monotonicMs: () => number
}

/** Starts empty. */
export function createRecordCache<Value extends object | string>(
  options: RecordCacheOptions<Value>,
): RecordCache<Value> {
  const { read, lease } = options
  const known = new LRUCache<string, Value>({ max: options.max })
  const unknown = new LRUCache<string, true>({
    max: MAX_CACHED_UNKNOWN,
    ttl: UNKNOWN_TTL_MS,
    ttlResolution: 0,
    perf: { now: options.monotonicMs },
  })
  const running = new Map<string, Promise<Value | null>>()
  let generation = 0

  async function readAndKeep(id: string): Promise<Value | null> {
    const generationBefore = generation
    const value = await read(id)
    // What was read before a drop may be older than what the drop was about.
    if (generation !== generationBefore) return value
    if (value === null) unknown.set(id, true)
    else known.set(id, value)
    return value
  }

  /** From here on nobody gets or keeps what was read before. */
  function invalidate(): void {
    generation += 1
    running.clear()
  }

  return {
    async load(id) {
      // A read that others began may be older than this request, so without a lease none is shared.
      if (!lease.isValid()) return read(id)
      const value = known.get(id)
      if (value !== undefined) return value
      if (unknown.has(id)) return null
      const shared = running.get(id)
      if (shared !== undefined) return shared
      const mine = readAndKeep(id)
      running.set(id, mine)
      try {
        return await mine
      } finally {
        if (running.get(id) === mine) running.delete(id)
      }
    },
    drop(id) {
      invalidate()
      known.delete(id)
      unknown.delete(id)
    },
    dropUnknown() {
      invalidate()
      unknown.clear()
    },
    dropAll() {
      invalidate()
      known.clear()
      unknown.clear()
    },
  }
}

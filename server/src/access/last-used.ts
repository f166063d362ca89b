import type { Logger } from 'pino'
import type { Database } from '../metastore/database.ts'
import { recordKeyUses } from '../metastore/queries/access-copy.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import { LAST_USED_FLUSH_INTERVAL_MS, LAST_USED_GRANULARITY_MS, MAX_LAST_USED_ENTRIES } from './limits.ts'

/** When keys were last used, to the minute: gathered in memory, written together once a minute. */
export interface LastUsed {
  note(keyId: string, nowMs: number): void
  /** Writes what was gathered. A database that is not there is logged, and what was gathered is kept. */
  flush(): Promise<void>
  /** Writes once more, then ends. */
  close(): Promise<void>
}

/** Starts the timer, which keeps no process alive. */
export function createLastUsed(db: Database<RegionSchema>, log: Pick<Logger, 'warn'>): LastUsed {
  let gathered = new Map<string, number>()

  function keep(keyId: string, usedAt: number): void {
    // Losing the time of some keys is better than growing without end.
    if (gathered.size >= MAX_LAST_USED_ENTRIES && !gathered.has(keyId)) return
    gathered.set(keyId, Math.max(usedAt, gathered.get(keyId) ?? 0))
  }

  async function flush(): Promise<void> {
    if (gathered.size === 0) return
    const writing = gathered
    gathered = new Map()
    try {
      await db.run(recordKeyUses, { uses: [...writing].map(([keyId, usedAt]) => ({ keyId, usedAt })) })
    } catch (error) {
      log.warn({ err: error }, 'the last use of keys was not written')
      for (const [keyId, usedAt] of writing) keep(keyId, usedAt)
    }
  }

  const timer = setInterval(() => void flush(), LAST_USED_FLUSH_INTERVAL_MS).unref()
  return {
    note: (keyId, nowMs) => keep(keyId, nowMs - (nowMs % LAST_USED_GRANULARITY_MS)),
    flush,
    async close() {
      clearInterval(timer)
      await flush()
    },
  }
}

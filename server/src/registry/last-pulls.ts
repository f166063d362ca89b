import type { Logger } from 'pino'
import type { Database } from '../metastore/database.ts'
import { type Pull, recordPulls } from '../metastore/queries/last-pull.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import {
  LAST_PULL_FLUSH_INTERVAL_MS,
  LAST_PULL_GRANULARITY_MS,
  MAX_LAST_PULL_ENTRIES,
  PULLS_PER_COMMAND,
} from './limits.ts'

/** When tags and manifests were last pulled, to the hour: gathered in memory, written together once a minute. */
export interface LastPulls {
  /** Notes a pull of a manifest, by tag or (null) by digest. Touches memory alone and never fails. */
  note(repositoryId: number, digest: string, tag: string | null, nowMs: number): void
  /** Writes what was gathered. A database that is not there is logged, and what was gathered is kept. */
  flush(): Promise<void>
  /** Writes once more, then ends. */
  close(): Promise<void>
}

/** Starts the timer, which keeps no process alive. */
export function createLastPulls(db: Database<RegionSchema>, log: Pick<Logger, 'warn'>): LastPulls {
  // By `<repository id>/<tag or digest>`: the hour that was noted last, so that most pulls end with one look-up.
  let noted = new Map<string, number>()
  let gathered = new Map<string, Pull>()
  let writing: Promise<void> = Promise.resolve()

  function keep(pull: Pull): void {
    const key = `${pull.repositoryId}/${pull.reference}`
    if (noted.get(key) === pull.pulledAt) return
    // Forgetting costs a write that says nothing new; more would grow without end.
    if (noted.size >= MAX_LAST_PULL_ENTRIES) noted = new Map()
    noted.set(key, pull.pulledAt)
    // Only a database that has been away for long lets it come to this.
    if (gathered.size >= 2 * MAX_LAST_PULL_ENTRIES) return
    gathered.set(key, pull)
    if (gathered.size === MAX_LAST_PULL_ENTRIES) void flush()
  }

  async function write(): Promise<void> {
    const pulls = [...gathered.values()]
    gathered = new Map()
    for (let i = 0; i < pulls.length; i += PULLS_PER_COMMAND) {
      try {
        await db.run(recordPulls, { pulls: pulls.slice(i, i + PULLS_PER_COMMAND) })
      } catch (error) {
        log.warn({ err: error }, 'the last pulls of images were not written')
        for (const pull of pulls.slice(i)) putBack(pull)
        return
      }
    }
  }

  function putBack(pull: Pull): void {
    const key = `${pull.repositoryId}/${pull.reference}`
    if (!gathered.has(key) && gathered.size < MAX_LAST_PULL_ENTRIES) gathered.set(key, pull)
  }

  async function flush(): Promise<void> {
    // One after the other: a second flush must not overtake what the first puts back.
    writing = writing.then(write)
    return writing
  }

  const timer = setInterval(() => void flush(), LAST_PULL_FLUSH_INTERVAL_MS).unref()
  return {
    note(repositoryId, digest, tag, nowMs) {
      const pulledAt = nowMs - (nowMs % LAST_PULL_GRANULARITY_MS)
      keep({ repositoryId, reference: digest, pulledAt })
      if (tag !== null) keep({ repositoryId, reference: tag, pulledAt })
    },
    flush,
    async close() {
      clearInterval(timer)
      await flush()
    },
  }
}

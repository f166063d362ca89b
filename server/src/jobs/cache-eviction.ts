import type { Database } from '../metastore/database.ts'
import {
  clearCopies,
  evictCopy,
  forgetRetiredSlugs,
  listStaleCopies,
  listUnusedCopies,
} from '../metastore/queries/cache-eviction.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { Logger } from '../telemetry/log.ts'

export interface CacheEvictionOptions {
  readonly regionId: string
  readonly db: Database<RegionSchema>
  readonly log: Logger
  /** How long a copy from a connected registry is kept that nobody pulls. */
  readonly pullThroughKeepMs: number
}

/** Copies that are looked at in one step. */
const STEP = 200

/**
 * Lets go of copies from connected registries that nobody has pulled for long. An index goes before what it lists, so
 * this goes on until there is nothing more. Answers how many manifests went; their blobs follow by garbage collection.
 */
export async function evictUnusedCopies(
  { regionId, db, log, pullThroughKeepMs }: CacheEvictionOptions,
  signal: AbortSignal,
): Promise<number> {
  let evicted = 0
  for (;;) {
    const nowMs = await db.nowMs()
    const usedBefore = nowMs - pullThroughKeepMs
    const unused = await listUnusedCopies(db.reader, usedBefore, STEP)
    let evictedNow = 0
    for (const copy of unused) {
      if (signal.aborted) return evicted
      if (await db.run(evictCopy, { ...copy, usedBefore, nowMs })) evictedNow += 1
    }
    evicted += evictedNow
    if (evictedNow === 0) break
  }
  if (evicted > 0)
    log.info({ region: regionId, manifests: evicted }, 'copies that nobody pulled were let go of')
  return evicted
}

/** Clears what is left of registries that are not connected any more, and gives their slugs free. */
export async function clearDisconnectedCopies(
  { regionId, db, log }: Pick<CacheEvictionOptions, 'regionId' | 'db' | 'log'>,
  signal: AbortSignal,
): Promise<void> {
  // By id and each once: what is held stays behind.
  for (let afterId = 0; ; ) {
    const stale = await listStaleCopies(db.reader, STEP, afterId)
    const lastId = stale.at(-1)
    if (lastId === undefined) break
    afterId = lastId
    for (const repositoryId of stale) {
      do {
        if (signal.aborted) return
      } while ((await db.run(clearCopies, { repositoryId, nowMs: await db.nowMs() })) === 'more')
    }
    log.info(
      { region: regionId, repositories: stale.length },
      'copies of disconnected registries were cleared',
    )
  }
  await db.run(forgetRetiredSlugs, null)
}

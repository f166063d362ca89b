import type { Logger } from 'pino'
import type { Database } from '../metastore/database.ts'
import { loadAppliedAccessSeq } from '../metastore/queries/access-copy.ts'
import { ACCESS_FEED_CHANNEL } from '../metastore/queries/access-feed.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { AccessDirectory } from './access-directory.ts'
import type { AccessSource } from './access-source.ts'
import { AccessSourceUnavailableError, applyFeed, ask } from './feed.ts'
import type { Lease } from './lease.ts'
import {
  CLOSE_WAIT_MS,
  FEED_BATCH,
  FEED_POLL_INTERVAL_MS,
  FEED_RETRY_MAX_MS,
  FEED_RETRY_MIN_MS,
} from './limits.ts'
import type { Replica } from './replica.ts'

/** Keeps one process's view of one region's access rules current. */
export interface RegionFollower {
  /** Resolves when a poll that began after this call has ended, well or not. */
  pollNow(): Promise<void>
  /** Ends the loop and the lease and takes the replica's row away; waits a bounded time for a poll that hangs. */
  close(): Promise<void>
}

export interface FollowerOptions {
  readonly db: Database<RegionSchema>
  readonly source: AccessSource
  readonly directory: AccessDirectory
  readonly lease: Lease
  readonly replica: Replica
  readonly monotonicMs: () => number
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly pollIntervalMs?: number
}

/**
 * Starts the loop: apply the feed, drop what changed, report that, and only then hold the lease for as long as it
 * lasts from before the first of these was sent. An error ends nothing: the next try comes after a pause that grows.
 */
export function startRegionFollower(options: FollowerOptions): RegionFollower {
  const { db, lease, replica, log } = options
  const intervalMs = options.pollIntervalMs ?? FEED_POLL_INTERVAL_MS
  const dropChanges = createDropper(options)
  const alarm = createAlarm()
  let isClosed = false
  let failures = 0
  let isSourceReachable = true

  async function currentSeq(): Promise<number> {
    try {
      const seq = await applyFeed(options.source, db)
      if (!isSourceReachable) log.info('the access feed can be read again')
      isSourceReachable = true
      return seq
    } catch (error) {
      if (!(error instanceof AccessSourceUnavailableError)) throw error
      // The region goes on with its copy while the control plane is down.
      if (isSourceReachable) log.warn({ err: error }, 'the access feed cannot be read')
      isSourceReachable = false
      return loadAppliedAccessSeq(db.reader)
    }
  }

  async function poll(): Promise<void> {
    const sentAtMs = options.monotonicMs()
    const appliedSeq = await currentSeq()
    await dropChanges(appliedSeq)
    if (isClosed) return
    const outcome = await replica.report(appliedSeq)
    if (outcome === 'renewed') return lease.renew(sentAtMs)
    if (outcome === 'forgotten') options.directory.dropAll()
    alarm.ring()
  }

  async function loop(): Promise<void> {
    while (!isClosed) {
      const answered = alarm.take()
      try {
        await poll()
        failures = 0
      } catch (error) {
        failures += 1
        log.warn({ err: error, failures }, 'following the access feed failed')
      }
      for (const resolve of answered) resolve()
      if (!isClosed) await alarm.wait(failures === 0 ? intervalMs : retryDelayMs(failures))
    }
  }

  const subscriptions = [
    options.source.subscribe(() => alarm.ring()),
    db.subscribe(ACCESS_FEED_CHANNEL, () => alarm.ring()),
  ]
  const ended = loop()

  return {
    pollNow: () => new Promise((resolve) => (isClosed ? resolve() : alarm.ring(resolve))),
    async close() {
      if (isClosed) return
      isClosed = true
      for (const end of subscriptions) end()
      alarm.ring()
      await withinMs(ended, CLOSE_WAIT_MS)
      for (const resolve of alarm.take()) resolve()
      lease.end()
      await withinMs(
        replica.remove().catch((error: unknown) => log.warn({ err: error }, 'the replica was not removed')),
        CLOSE_WAIT_MS,
      )
    },
  }
}

/** Drops from memory what changed since the last call, all of it when that is not to be known. */
function createDropper({ source, directory }: FollowerOptions): (appliedSeq: number) => Promise<void> {
  let droppedSeq: number | null = null

  return async (appliedSeq) => {
    if (appliedSeq === droppedSeq) return
    const from = droppedSeq
    // Only after the drop may it count as done; until then a failure leaves the work to the next poll.
    if (from === null || appliedSeq < from || appliedSeq - from > FEED_BATCH) directory.dropAll()
    else {
      const changes = await ask(() => source.changesAfter(from, FEED_BATCH)).catch(() => null)
      // A number that is missing was compacted away: what it told of is told of again, but perhaps much later.
      const isGapless = changes?.filter(({ seq }) => seq <= appliedSeq).length === appliedSeq - from
      if (changes === null || !isGapless) directory.dropAll()
      else for (const change of changes) directory.drop(change)
    }
    droppedSeq = appliedSeq
  }
}

/** A wait that can be cut short. Ringing while nobody waits makes the next wait end at once. */
interface Alarm {
  ring(onAnswered?: () => void): void
  /** Whoever rang and wants to know when the next poll has ended. */
  take(): (() => void)[]
  wait(durationMs: number): Promise<void>
}

function createAlarm(): Alarm {
  let hasRung = false
  const waiters: (() => void)[] = []
  let endWait: (() => void) | null = null

  return {
    ring(onAnswered) {
      hasRung = true
      if (onAnswered !== undefined) waiters.push(onAnswered)
      endWait?.()
    },
    take() {
      hasRung = false
      return waiters.splice(0)
    },
    wait(durationMs) {
      if (hasRung) return Promise.resolve()
      return new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          endWait = null
          resolve()
        }
        const timer = setTimeout(done, durationMs)
        endWait = done
      })
    },
  }
}

/** Doubles with each failure, with jitter, so that replicas do not come back all at once. */
function retryDelayMs(failures: number): number {
  const ceilingMs = Math.min(FEED_RETRY_MAX_MS, FEED_RETRY_MIN_MS * 2 ** Math.min(failures, 10))
  return ceilingMs / 2 + Math.random() * (ceilingMs / 2)
}

async function withinMs(work: Promise<unknown>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs)
  })
  await Promise.race([work, limit])
  clearTimeout(timer)
}

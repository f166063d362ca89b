import { randomUUID } from 'node:crypto'
import type { BlobStore, StorageKey } from '../blobstore/blobstore.ts'
import type { Database } from '../metastore/database.ts'
import {
  beginBlobPurge,
  collectBlob,
  collectMembership,
  countGcTasks,
  finishBlobPurge,
  listDueGcTasks,
  loadBlobTotals,
  purgeManifest,
  type GcOutcome,
} from '../metastore/queries/gc.ts'
import {
  beginGcRun,
  didLastGcRunStop,
  finishGcRun,
  GC_RUN_RENEW_MS,
  type GcRunResult,
  renewGcRun,
} from '../metastore/queries/gc-run.ts'
import { removeProjectData } from '../metastore/queries/remove-project.ts'
import type { GcTaskRow, RegionSchema } from '../metastore/region-schema.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export interface GarbageCollectorOptions {
  readonly regionId: string
  readonly db: Database<RegionSchema>
  readonly blobs: BlobStore
  readonly trashMs: number
  /** A cycle that would trash more than this percentage of the region's live blobs stops. */
  readonly maxSharePercent: number
  readonly log: Logger
  readonly metrics: Metrics
}

export interface GcCycleOptions {
  /** Do not stop at the share limit: a person looked and said so. */
  readonly force: boolean
  readonly signal: AbortSignal
}

const LIMITS = {
  /** Tasks read at once. */
  batchTasks: 200,
  /** Tasks of one cycle; the next cycle goes on. */
  cycleTasks: 20_000,
  /** Regions with fewer live blobs are not held to the share limit: one deleted image may be most of them. */
  shareExemptBlobs: 100,
} as const

/** Counts of one cycle so far. */
interface Tally {
  examined: number
  trashedBlobs: number
  trashedBytes: number
  purgedBlobs: number
  purgedBytes: number
  purgedManifests: number
}

/**
 * Garbage collection of one region: online, a little at a time, from the queue of things that may have lost their last
 * reference (design section 9). It never takes a lock that a pull waits for, and a push waits at most for one short
 * transaction on its own repository.
 */
export class GarbageCollector {
  readonly #options: GarbageCollectorOptions
  readonly #owner = randomUUID()
  #isRunning = false

  constructor(options: GarbageCollectorOptions) {
    this.#options = options
  }

  /**
   * One cycle: looks at everything that is due. Null when a cycle is under way, here or in another process.
   * Throws what the database or the blob store throws, after recording the run as failed.
   */
  async runCycle(options: GcCycleOptions): Promise<GcRunResult | null> {
    if (this.#isRunning) return null
    this.#isRunning = true
    try {
      return await this.#runAlone(options)
    } finally {
      this.#isRunning = false
    }
  }

  async #runAlone(options: GcCycleOptions): Promise<GcRunResult | null> {
    const { db, metrics, regionId } = this.#options
    const startedAt = await db.nowMs()
    await this.#publishQueue(startedAt)
    const due = await listDueGcTasks(db.reader, startedAt, 1)
    if (due.length === 0) {
      metrics.gcLastSuccess.set({ region: regionId }, startedAt / 1000)
      return emptyResult()
    }
    // A SQLite file has one process: whatever runs there by its own account ended with the process before.
    const isAlone = db.dialect === 'sqlite'
    const runId = await db.run(beginGcRun, { owner: this.#owner, isAlone, nowMs: startedAt })
    if (runId === null) return null
    const tally: Tally = {
      examined: 0,
      trashedBlobs: 0,
      trashedBytes: 0,
      purgedBlobs: 0,
      purgedBytes: 0,
      purgedManifests: 0,
    }
    let result: GcRunResult = { ...tally, outcome: 'failed', detail: 'interrupted' }
    try {
      const stopped = await this.#collect({ runId, startedAt }, tally, options)
      result = { ...tally, outcome: stopped === null ? 'done' : 'stopped', detail: stopped }
      if (stopped === null) metrics.gcLastSuccess.set({ region: regionId }, startedAt / 1000)
    } catch (error) {
      result = { ...tally, outcome: 'failed', detail: error instanceof Error ? error.message : 'failed' }
      throw error
    } finally {
      await db.run(finishGcRun, { runId, nowMs: await db.nowMs(), result })
    }
    return result
  }

  async #collect(
    { runId, startedAt }: { runId: number; startedAt: number },
    tally: Tally,
    { force, signal }: GcCycleOptions,
  ): Promise<string | null> {
    const { db } = this.#options
    const share = await this.#openShare(force)
    let renewedAt = performance.now()
    while (!signal.aborted && tally.examined < LIMITS.cycleTasks) {
      const exceptBlobs = share.stopped !== null
      const tasks = await listDueGcTasks(db.reader, startedAt, LIMITS.batchTasks, { exceptBlobs })
      if (tasks.length === 0) break
      for (const task of tasks) {
        if (signal.aborted) break
        if (task.kind === 'blob' && tally.trashedBlobs >= share.maxTrashedBlobs) {
          share.stopped ??= this.#stopAtShare(tally, share.liveBlobs)
          continue
        }
        if (performance.now() - renewedAt > GC_RUN_RENEW_MS) {
          await db.run(renewGcRun, { runId, nowMs: await db.nowMs() })
          renewedAt = performance.now()
        }
        tally.examined += 1
        await this.#look(task, startedAt, tally)
      }
    }
    return share.stopped
  }

  /**
   * How many blobs this cycle may take. None after a cycle that stopped itself: else the share would be taken again and
   * again, an hour apart, until nothing is left. It goes on when a person forces one, or when no such blob is due.
   */
  async #openShare(
    force: boolean,
  ): Promise<{ maxTrashedBlobs: number; liveBlobs: number; stopped: string | null }> {
    const { db, maxSharePercent } = this.#options
    const { live: liveBlobs } = await loadBlobTotals(db.reader)
    const unlimited = { maxTrashedBlobs: Number.POSITIVE_INFINITY, liveBlobs, stopped: null }
    if (force || liveBlobs < LIMITS.shareExemptBlobs) return unlimited
    if (await didLastGcRunStop(db.reader)) return { ...unlimited, maxTrashedBlobs: 0 }
    return { ...unlimited, maxTrashedBlobs: Math.ceil((liveBlobs * maxSharePercent) / 100) }
  }

  #stopAtShare(tally: Tally, live: number): string {
    const { maxSharePercent, log, regionId } = this.#options
    const detail = `took ${tally.trashedBlobs} of ${live} blobs and then no more: more than ${maxSharePercent} % of the region would go; look at "berth gc run --dry-run", then "berth gc run --force"`
    log.error(
      { region: regionId, trashed: tally.trashedBlobs, live },
      'garbage collection stopped itself: it would remove too much',
    )
    return detail
  }

  async #look(task: GcTaskRow, nowMs: number, tally: Tally): Promise<void> {
    const { db, trashMs } = this.#options
    const args = { task, times: { nowMs, trashMs } }
    switch (task.kind) {
      case 'membership':
        return this.#record(task, await db.run(collectMembership, args), tally)
      case 'blob':
        return this.#record(task, await db.run(collectBlob, args), tally)
      case 'purge_manifest':
        return this.#record(task, await db.run(purgeManifest, args), tally)
      case 'project':
        return this.#record(task, await db.run(removeProjectData, args), tally)
      case 'purge_blob':
        return this.#purgeBlob(task, nowMs, tally)
    }
  }

  async #purgeBlob(task: GcTaskRow, nowMs: number, tally: Tally): Promise<void> {
    const { db, blobs } = this.#options
    const purge = await db.run(beginBlobPurge, { task, nowMs })
    if (purge === null) return
    if (purge.storageKey !== null) await blobs.delete(purge.storageKey as StorageKey)
    await db.run(finishBlobPurge, { task })
    this.#record(
      task,
      { did: 'purged', what: 'blob', digest: purge.digest, sizeBytes: purge.sizeBytes, why: task.reason },
      tally,
    )
  }

  #record(task: GcTaskRow, outcome: GcOutcome, tally: Tally): void {
    const { log, metrics, regionId } = this.#options
    const fields = {
      region: regionId,
      project: task.project_id,
      repository: task.repository_id,
      why: outcome.why,
    }
    switch (outcome.did) {
      case 'kept':
      case 'postponed':
        log.debug({ ...fields, kind: task.kind, digest: task.digest }, 'garbage collection kept something')
        return
      case 'unlinked':
        log.info({ ...fields, digest: outcome.digest }, 'blob unlinked from its repository')
        return
      case 'trashed':
        tally.trashedBlobs += 1
        tally.trashedBytes += outcome.sizeBytes
        log.info(
          { ...fields, digest: outcome.digest, sizeBytes: outcome.sizeBytes, purgeAt: outcome.purgeAt },
          'blob moved to the trash',
        )
        return
      case 'purged':
        if (outcome.what === 'manifest') tally.purgedManifests += 1
        else {
          tally.purgedBlobs += 1
          tally.purgedBytes += outcome.sizeBytes
          metrics.gcFreedBytes.inc({ region: regionId }, outcome.sizeBytes)
        }
        metrics.gcRemoved.inc({ region: regionId, kind: outcome.what })
        log.info(
          { ...fields, digest: outcome.digest, sizeBytes: outcome.sizeBytes, what: outcome.what },
          'removed for good',
        )
        return
      case 'advanced':
        log.info({ ...fields, rows: outcome.rows }, 'data of a deleted project removed')
    }
  }

  async #publishQueue(nowMs: number): Promise<void> {
    const { db, metrics, regionId } = this.#options
    for (const { kind, queued } of await countGcTasks(db.reader, nowMs))
      metrics.gcTasks.set({ region: regionId, kind }, queued)
  }
}

function emptyResult(): GcRunResult {
  return {
    examined: 0,
    trashedBlobs: 0,
    trashedBytes: 0,
    purgedBlobs: 0,
    purgedBytes: 0,
    purgedManifests: 0,
    outcome: 'done',
    detail: null,
  }
}

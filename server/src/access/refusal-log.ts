import type { Logger } from 'pino'
import type { RefusalRow } from '../metastore/audit-tables.ts'
import type { ControlSchema } from '../metastore/control-schema.ts'
import type { Command, Database } from '../metastore/database.ts'
import {
  pruneControlRefusals,
  pruneRegionRefusals,
  recordControlRefusals,
  recordRegionRefusals,
  type RefusalBatch,
  type RefusalPruning,
} from '../metastore/queries/refusal.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import { type Denial, isAudited } from './denial.ts'
import { createDenialCounts } from './denial-counts.ts'

/** A request that was refused. */
export interface RefusalEntry {
  readonly requestId: string
  /** Milliseconds. */
  readonly at: number
  /** A key's id, `person:<id>` or `anonymous`. */
  readonly actor: string
  readonly address: string
  readonly operation: string
  /** As the request named it; what is too long is cut. */
  readonly resource: string
  readonly status: number
  readonly code: string
  readonly denial: Denial
}

/** Notes refused requests: in memory at once, in the database a moment later, never in the way of an answer. */
export interface RefusalLog {
  note(entry: RefusalEntry): void
  /** Writes what was noted. A database that is not there is logged. */
  flush(): Promise<void>
  /** Writes once more, all counts as well, then ends. */
  close(): Promise<void>
}

const FLUSH_INTERVAL_MS = 1_000
/** Refusals that are written at a time; what comes on top is only counted. */
const MAX_NOTED = 500
const MAX_NOTED_PER_PROJECT = 100
const MAX_RESOURCE_LENGTH = 300
const KEPT_MS = 7 * 24 * 3_600_000
const KEPT_PER_PROJECT = 5_000
/** Refusals after which the table is brought back to its bounds. */
const PRUNE_AFTER = 1_000
const PRUNE_INTERVAL_MS = 600_000

interface RefusalStore {
  readonly record: (batch: RefusalBatch) => Promise<unknown>
  readonly prune: (pruning: RefusalPruning) => Promise<unknown>
}

export interface RefusalLogOptions {
  readonly log: Pick<Logger, 'warn'>
  readonly nowMs: () => number
}

/** Refusals of the console. */
export function createControlRefusalLog(db: Database<ControlSchema>, options: RefusalLogOptions): RefusalLog {
  return createRefusalLog(storeOf(db, recordControlRefusals, pruneControlRefusals), options)
}

/** Refusals of a region's registry. */
export function createRegionRefusalLog(db: Database<RegionSchema>, options: RefusalLogOptions): RefusalLog {
  return createRefusalLog(storeOf(db, recordRegionRefusals, pruneRegionRefusals), options)
}

function storeOf<Schema>(
  db: Database<Schema>,
  record: Command<Schema, RefusalBatch, null>,
  prune: Command<Schema, RefusalPruning, null>,
): RefusalStore {
  return { record: (batch) => db.run(record, batch), prune: (pruning) => db.run(prune, pruning) }
}

/** Starts the timer, which keeps no process alive. */
function createRefusalLog(store: RefusalStore, { log, nowMs }: RefusalLogOptions): RefusalLog {
  const counts = createDenialCounts()
  const pruning = createPruning(store, nowMs)
  let noted: RefusalRow[] = []
  let ofProject = new Map<string, number>()
  let writing: Promise<void> = Promise.resolve()

  function note(entry: RefusalEntry): void {
    if (isAudited(entry.denial.rule)) counts.add(entry)
    const project = entry.denial.projectId ?? ''
    const before = ofProject.get(project) ?? 0
    if (noted.length >= MAX_NOTED || before >= MAX_NOTED_PER_PROJECT) return
    ofProject.set(project, before + 1)
    noted.push(toRow(entry))
  }

  async function write(all: boolean): Promise<void> {
    const batch = { refusals: noted, counts: counts.take(nowMs(), all) }
    if (batch.refusals.length + batch.counts.length === 0) return
    noted = []
    ofProject = new Map()
    try {
      await store.record(batch)
      await pruning.after(batch.refusals)
    } catch (error) {
      log.warn({ err: error, refusals: batch.refusals.length }, 'refusals were not written')
    }
  }

  function flush(all = false): Promise<void> {
    writing = writing.then(() => write(all))
    return writing
  }

  const timer = setInterval(() => void flush(), FLUSH_INTERVAL_MS).unref()
  return {
    note,
    flush: () => flush(),
    close() {
      clearInterval(timer)
      return flush(true)
    },
  }
}

/** Keeps the table within its bounds, after every so many refusals and every few minutes. */
function createPruning(store: RefusalStore, nowMs: () => number) {
  const projects = new Set<string>()
  let sincePrune = 0
  let prunedAt = 0
  return {
    async after(written: readonly RefusalRow[]): Promise<void> {
      for (const { project_id } of written) projects.add(project_id)
      sincePrune += written.length
      const now = nowMs()
      if (sincePrune < PRUNE_AFTER && now - prunedAt < PRUNE_INTERVAL_MS) return
      sincePrune = 0
      prunedAt = now
      const projectIds = [...projects]
      projects.clear()
      await store.prune({ writtenBefore: now - KEPT_MS, keptPerProject: KEPT_PER_PROJECT, projectIds })
    },
  }
}

function toRow(entry: RefusalEntry): RefusalRow {
  const { rule, detail, projectId } = entry.denial
  return {
    request_id: entry.requestId,
    project_id: projectId ?? '',
    at: entry.at,
    actor: entry.actor,
    address: entry.address,
    operation: entry.operation,
    resource: entry.resource.slice(0, MAX_RESOURCE_LENGTH),
    status: entry.status,
    code: entry.code,
    rule: JSON.stringify({ rule, detail }),
  }
}

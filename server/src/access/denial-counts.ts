import type { RefusalCount } from '../metastore/queries/refusal.ts'
import { addressIdentity } from './cidr.ts'
import type { RefusalEntry } from './refusal-log.ts'

/*
 * Refusals as audit events. A flood of refused requests must not fill the database: what repeats is counted, and the
 * counts are written less and less often.
 */

/** Pause between two events about the same thing: at first, and at most, as it goes on. */
const FIRST_PAUSE_MS = 60_000
const LONGEST_PAUSE_MS = 3_600_000
/** Events about one project in an hour; what is more is told together, by one event an hour. */
const EVENTS_PER_HOUR = 100
const HOUR_MS = 3_600_000
/** Different things that are counted at once. */
const MAX_COUNTED = 2_000
/** Repositories that an event names. */
const RESOURCES_NAMED = 5

interface Counter {
  readonly projectId: string | null
  readonly actor: string
  readonly address: string | null
  readonly rule: string | null
  readonly operation: string | null
  readonly resources: Set<string>
  requestId: string
  count: number
  since: number
  until: number
  pauseMs: number
  dueAt: number
}

/** Counts refusals of one process by who, from where, by which rule and at what. */
export interface DenialCounts {
  add(entry: RefusalEntry): void
  /** What is to be written now; `all`: everything, at the end. */
  take(nowMs: number, all?: boolean): RefusalCount[]
}

/** Keeps its counts in memory, within bounds. */
export function createDenialCounts(): DenialCounts {
  const counters = new Map<string, Counter>()
  const budget = createBudget()

  function add(entry: RefusalEntry): void {
    const { denial, actor, operation } = entry
    const address = addressIdentity(entry.address)
    const project = denial.projectId ?? ''
    const key = [project, actor, address, denial.rule, operation].join('\n')
    const isFull = counters.size >= MAX_COUNTED || budget.isSpent(project, entry.at)
    if (isFull && !counters.has(key)) {
      // One counter for all that is too much: its project's, while there is room for one.
      const rest = counters.size >= MAX_COUNTED * 2 ? '' : project
      return count(counters, `${rest}\n`, entry, {
        actor: 'various',
        address: null,
        rule: null,
        operation: null,
      })
    }
    count(counters, key, entry, { actor, address, rule: denial.rule, operation })
  }

  return {
    add,
    take(nowMs, all = false) {
      const due: RefusalCount[] = []
      for (const [key, counter] of counters) {
        if (!all && counter.dueAt > nowMs) continue
        if (counter.count === 0) {
          counters.delete(key)
          continue
        }
        if (!all && counter.rule !== null && budget.isSpent(counter.projectId ?? '', nowMs)) continue
        due.push(toCount(counter))
        if (counter.rule !== null) budget.spend(counter.projectId ?? '', nowMs)
        counter.count = 0
        counter.resources.clear()
        counter.dueAt = nowMs + counter.pauseMs
        counter.pauseMs = Math.min(counter.pauseMs * 2, LONGEST_PAUSE_MS)
      }
      budget.forget(nowMs)
      return due
    },
  }
}

function count(
  counters: Map<string, Counter>,
  key: string,
  entry: RefusalEntry,
  named: Pick<Counter, 'actor' | 'address' | 'rule' | 'operation'>,
): void {
  let counter = counters.get(key)
  if (counter === undefined) {
    counter = newCounter(entry, named, key === '\n' ? null : entry.denial.projectId)
    counters.set(key, counter)
  }
  if (counter.count === 0) {
    counter.since = entry.at
    counter.requestId = entry.requestId
  }
  counter.count += 1
  counter.until = entry.at
  if (counter.resources.size < RESOURCES_NAMED && entry.resource !== '') counter.resources.add(entry.resource)
}

function newCounter(
  { at, requestId }: RefusalEntry,
  named: Pick<Counter, 'actor' | 'address' | 'rule' | 'operation'>,
  projectId: string | null,
): Counter {
  const isRest = named.rule === null
  return {
    ...named,
    projectId,
    resources: new Set(),
    requestId,
    count: 0,
    since: at,
    until: at,
    pauseMs: isRest ? LONGEST_PAUSE_MS : FIRST_PAUSE_MS,
    // The first of its kind is written at once, what is too much at the end of its hour.
    dueAt: isRest ? at + LONGEST_PAUSE_MS : at,
  }
}

/** How many events were written about each project in this hour. */
function createBudget() {
  const written = new Map<string, { startedAt: number; count: number }>()
  return {
    isSpent(project: string, nowMs: number): boolean {
      const known = written.get(project)
      return known !== undefined && nowMs - known.startedAt < HOUR_MS && known.count >= EVENTS_PER_HOUR
    },
    spend(project: string, nowMs: number): void {
      const known = written.get(project)
      if (known === undefined || nowMs - known.startedAt >= HOUR_MS) {
        written.set(project, { startedAt: nowMs, count: 1 })
      } else known.count += 1
    },
    forget(nowMs: number): void {
      for (const [project, { startedAt }] of written) {
        if (nowMs - startedAt >= HOUR_MS) written.delete(project)
      }
    },
  }
}

function toCount(counter: Counter): RefusalCount {
  const { projectId, actor, address, rule, operation, count, requestId } = counter
  const resources = [...counter.resources]
  const since = new Date(counter.since).toISOString()
  return {
    projectId,
    at: counter.until,
    actor,
    target: resources[0] ?? operation ?? '',
    detail: JSON.stringify({ count, rule, operation, address, resources, since }),
    requestId,
  }
}

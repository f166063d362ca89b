import type { AuditEvent } from '@berth/api/audit-events'
import { z } from 'zod'
import type { AuditEventRow } from '../../metastore/audit-tables.ts'
import { type AuditFilter, type AuditOrder, listAuditEvents } from '../../metastore/queries/audit-list.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp } from '../time.ts'
import { type AuditSource, auditSources } from './sources.ts'

/** The filter of a request. */
export interface AuditQuery {
  readonly action?: string | undefined
  readonly source?: string | undefined
  readonly actor?: string | undefined
  readonly target?: string | undefined
  readonly since?: string | undefined
  readonly until?: string | undefined
  readonly requestId?: string | undefined
}

/** For each source how far it was read; null: to its end. */
const places = z.record(z.string(), z.int().nullable())

/**
 * One page of the events of the control plane and of all regions, newest first. Each source is in the order in which
 * it wrote its events; between sources the clock decides. The cursor says for each source how far it was read, so no
 * event is left out or shown twice, whatever the clocks of the sources say. A page may hold fewer events than asked
 * for, or none, and still have a next one: what a filter leaves out is looked through a part at a time.
 */
export async function readAuditPage(
  runtime: ControlRuntime,
  projectId: string | null,
  query: AuditQuery & { readonly limit: number; readonly cursor?: string | undefined },
): Promise<{ items: AuditEvent[]; nextCursor: string | null }> {
  const read = decodeCursor(places, query.cursor) ?? {}
  const filter = filterOf(projectId, query)
  const queues = await Promise.all(
    auditSources(runtime, query.source).map((source) =>
      openQueue(source, filter, 'newest_first', read[source.name], query.limit + 1),
    ),
  )
  const items: AuditEvent[] = []
  while (items.length < query.limit) {
    // Of a source that was not read to its end nothing is known: others must not overtake it.
    if (queues.some((queue) => queue.rows.length === 0 && queue.readTo !== null)) break
    const next = earliest(queues, (row) => -row.at)
    const row = next?.rows.shift()
    if (next === undefined || row === undefined) break
    items.push(toAuditEvent(next.source.name, row))
    next.shownTo = row.id
  }
  const after = Object.fromEntries(queues.map((queue) => [queue.source.name, placeOf(queue)]))
  const isEnd = Object.values(after).every((place) => place === null)
  return { items, nextCursor: isEnd ? null : encodeCursor(after) }
}

interface Queue {
  readonly source: AuditSource
  readonly rows: AuditEventRow[]
  readTo: number | null
  shownTo: number | null
}

async function openQueue(
  source: AuditSource,
  filter: AuditFilter,
  order: AuditOrder,
  place: number | null | undefined,
  limit: number,
): Promise<Queue> {
  if (place === null) return { source, rows: [], readTo: null, shownTo: null }
  const { rows, readTo } = await listAuditEvents(source.reader, filter, {
    order,
    place: place ?? null,
    limit,
  })
  return { source, rows: [...rows], readTo, shownTo: place ?? null }
}

/** Where to go on in a source: after what was shown, or after all that was looked through. */
function placeOf({ rows, readTo, shownTo }: Queue): number | null {
  const [next] = rows
  if (next === undefined) return readTo
  // Nothing of it was shown yet: from this row on. An id between them is a later event's, and not for this list.
  return shownTo ?? next.id + 1
}

function earliest(queues: readonly Queue[], rank: (row: AuditEventRow) => number): Queue | undefined {
  let best: Queue | undefined
  let bestRank = Number.POSITIVE_INFINITY
  for (const queue of queues) {
    const row = queue.rows[0]
    if (row === undefined || rank(row) >= bestRank) continue
    best = queue
    bestRank = rank(row)
  }
  return best
}

/** Rows of each source that an export holds in memory. */
const EXPORT_BATCH = 500

/** All events that pass the filter, oldest first: some hundred of each source are in memory at a time. */
export async function* readAllAuditEvents(
  runtime: ControlRuntime,
  projectId: string | null,
  query: AuditQuery,
  signal: AbortSignal,
): AsyncGenerator<AuditEvent> {
  const filter = filterOf(projectId, query)
  const queues = await Promise.all(
    auditSources(runtime, query.source).map((source) =>
      openQueue(source, filter, 'oldest_first', undefined, EXPORT_BATCH),
    ),
  )
  for (;;) {
    for (const queue of queues) {
      while (queue.rows.length === 0 && queue.readTo !== null && !signal.aborted) {
        Object.assign(
          queue,
          await openQueue(queue.source, filter, 'oldest_first', queue.readTo, EXPORT_BATCH),
        )
      }
    }
    const next = earliest(queues, (row) => row.at)
    const row = next?.rows.shift()
    if (signal.aborted || next === undefined || row === undefined) return
    yield toAuditEvent(next.source.name, row)
  }
}

function filterOf(projectId: string | null, query: AuditQuery): AuditFilter {
  return {
    projectId,
    action: query.action ?? null,
    actor: query.actor ?? null,
    targetPrefix: query.target ?? null,
    since: query.since === undefined ? null : Date.parse(query.since),
    until: query.until === undefined ? null : Date.parse(query.until),
    requestId: query.requestId ?? null,
  }
}

/** An event as the contract shows it. */
export function toAuditEvent(source: string, row: AuditEventRow): AuditEvent {
  const { chain_seq: seq, chain_hash: hash } = row
  return {
    id: `${source}-${row.id}`,
    at: toTimestamp(row.at),
    source,
    projectId: row.project_id === '' ? null : row.project_id,
    actor: row.actor,
    action: row.action,
    target: row.target,
    detail: JSON.parse(row.detail) as Record<string, unknown>,
    requestId: row.request_id,
    chain: seq === null || hash === null ? null : { seq, hash },
  }
}

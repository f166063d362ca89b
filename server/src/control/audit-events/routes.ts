import type { AuditEvent } from '@berth/api/audit-events'
import { ApiError } from '@berth/api/errors'
import { z } from 'zod'
import { listRegionAuditEvents } from '../../metastore/queries/browse.ts'
import { type AuditFilter, listControlAuditEvents } from '../../metastore/queries/control-audit.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp } from '../time.ts'

export const auditEventHandlers: HandlersOf<'auditEvents.list' | 'auditEvents.listAll'> = {
  'auditEvents.list': ({ runtime, project }, { query }) => listAuditEvents(runtime, project.id, query),
  'auditEvents.listAll': ({ runtime }, { query }) => listAuditEvents(runtime, null, query),
}

const CONTROL = 'control'

interface AuditQuery {
  readonly limit: number
  readonly cursor?: string | undefined
  readonly action?: string | undefined
  readonly source?: string | undefined
}

interface EventRow {
  readonly id: number
  readonly project_id: string | null
  readonly at: number
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly detail: string
  readonly request_id: string
}

interface Source {
  readonly name: string
  readonly load: (filter: AuditFilter, limit: number) => Promise<readonly EventRow[]>
}

/** For each source the id of the last event that was shown of it. */
const place = z.record(z.string(), z.int())

/**
 * One page of the events of the control plane and of all regions. Each source is in the order in which it wrote its
 * events; between sources the clock decides. The cursor says for each source how far it was read, so no event is left
 * out or shown twice, whatever the clocks of the sources say.
 */
async function listAuditEvents(
  runtime: ControlRuntime,
  projectId: string | null,
  query: AuditQuery,
): Promise<{ items: AuditEvent[]; nextCursor: string | null }> {
  const read = decodeCursor(place, query.cursor) ?? {}
  const action = query.action ?? null
  const queues = await Promise.all(
    sourcesOf(runtime, query.source).map(async ({ name, load }) => {
      const rows = await load({ projectId, action, beforeId: read[name] ?? null }, query.limit + 1)
      return { name, rows: [...rows] }
    }),
  )
  const items: AuditEvent[] = []
  const shown: Record<string, number> = { ...read }
  while (items.length < query.limit) {
    const next = newest(queues)
    const row = next?.rows.shift()
    if (next === undefined || row === undefined) break
    items.push(toAuditEvent(next.name, row))
    shown[next.name] = row.id
  }
  const hasMore = queues.some(({ rows }) => rows.length > 0)
  return { items, nextCursor: hasMore ? encodeCursor(shown) : null }
}

interface Queue {
  readonly name: string
  readonly rows: EventRow[]
}

function newest(queues: readonly Queue[]): Queue | undefined {
  let best: Queue | undefined
  for (const queue of queues) {
    const at = queue.rows[0]?.at
    if (at !== undefined && at > (best?.rows[0]?.at ?? Number.NEGATIVE_INFINITY)) best = queue
  }
  return best
}

function sourcesOf(runtime: ControlRuntime, only: string | undefined): Source[] {
  const sources: Source[] = [
    { name: CONTROL, load: (filter, limit) => listControlAuditEvents(runtime.db.reader, filter, limit) },
    ...[...runtime.regions.values()].map(({ region, db }) => ({
      name: region.id,
      load: (filter: AuditFilter, limit: number) => listRegionAuditEvents(db.reader, filter, limit),
    })),
  ]
  if (only === undefined) return sources
  const source = sources.find(({ name }) => name === only)
  if (source === undefined) throw new ApiError('region_not_found', `There is no region "${only}".`)
  return [source]
}

function toAuditEvent(source: string, row: EventRow): AuditEvent {
  return {
    id: `${source}-${row.id}`,
    at: toTimestamp(row.at),
    source,
    projectId: row.project_id,
    actor: row.actor,
    action: row.action,
    target: row.target,
    detail: JSON.parse(row.detail) as Record<string, unknown>,
    requestId: row.request_id,
  }
}

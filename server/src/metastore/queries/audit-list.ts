import { type Kysely, type SelectQueryBuilder, sql } from 'kysely'
import type { AuditEventRow, AuditTables } from '../audit-tables.ts'

/** Which audit events. The same for the control plane and for a region; null: any. */
export interface AuditFilter {
  /** Null: of all projects and of the installation. */
  readonly projectId: string | null
  /** `tag.delete`, or `tag` for all of a noun. */
  readonly action: string | null
  readonly actor: string | null
  /** What the target begins with. */
  readonly targetPrefix: string | null
  /** Written at this time or later, in milliseconds. */
  readonly since: number | null
  /** Written before this time, in milliseconds. */
  readonly until: number | null
  readonly requestId: string | null
}

export type AuditOrder = 'newest_first' | 'oldest_first'

/** What one look at a source found, and where to look next. */
export interface AuditSlice {
  readonly rows: AuditEventRow[]
  /** Up to which id the source was read; null: to its end. */
  readonly readTo: number | null
}

/** Events that one look examines at most when a filter leaves out many of them: a page costs the same at any size. */
const SCAN_WINDOW = 5_000
/** Clocks of transactions that ran at the same time may differ by less than this from the order of their ids. */
const CLOCK_SLACK_MS = 3_600_000

/**
 * The next events that pass the filter, from `place` on in the given order. A look that finds few or none of them
 * still ends: it says how far it has come.
 */
export async function listAuditEvents(
  reader: Kysely<AuditTables>,
  filter: AuditFilter,
  { order, place, limit }: { order: AuditOrder; place: number | null; limit: number },
): Promise<AuditSlice> {
  const direction = order === 'newest_first' ? ('desc' as const) : ('asc' as const)
  let window = reader.selectFrom('audit_event').selectAll()
  if (filter.projectId !== null) window = window.where('project_id', '=', filter.projectId)
  if (place !== null) window = window.where('id', order === 'newest_first' ? '<' : '>', place)
  window = window.orderBy('id', direction)
  const passing = reader.selectFrom(window.limit(SCAN_WINDOW).as('audit_event')).selectAll()
  const rows = await narrowed(passing, filter).orderBy('id', direction).limit(limit).execute()
  const last = rows.at(-1)
  if (last !== undefined && rows.length === limit) return { rows, readTo: last.id }
  const end = await reader
    .selectFrom(
      window
        .offset(SCAN_WINDOW - 1)
        .limit(1)
        .as('audit_event'),
    )
    .select(['id', 'at'])
    .executeTakeFirst()
  return { rows, readTo: end === undefined || isPast(end.at, filter, order) ? null : end.id }
}

/** Whether nothing after an event of this time can pass the filter. */
function isPast(at: number, { since, until }: AuditFilter, order: AuditOrder): boolean {
  if (order === 'newest_first') return since !== null && at < since - CLOCK_SLACK_MS
  return until !== null && at > until + CLOCK_SLACK_MS
}

/** Lengths in SQL count code points. */
function codePoints(text: string): number {
  return Array.from(text).length
}

type Passing = SelectQueryBuilder<AuditTables, 'audit_event', AuditEventRow>

function narrowed(query: Passing, filter: AuditFilter): Passing {
  const { action, actor, targetPrefix, since, until, requestId } = filter
  let passing = query
  if (action?.includes('.') === true) passing = passing.where('action', '=', action)
  else if (action !== null)
    passing = passing.where('action', '>', `${action}.`).where('action', '<', `${action}/`)
  if (actor !== null) passing = passing.where('actor', '=', actor)
  // Not LIKE: it folds case on SQLite, and the prefix may hold its wildcards.
  if (targetPrefix !== null)
    passing = passing.where(
      sql<string>`substr(target, 1, cast(${codePoints(targetPrefix)} as integer))`,
      '=',
      targetPrefix,
    )
  if (since !== null) passing = passing.where('at', '>=', since)
  if (until !== null) passing = passing.where('at', '<', until)
  if (requestId !== null) passing = passing.where('request_id', '=', requestId)
  return passing
}

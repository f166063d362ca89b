import type { Kysely } from 'kysely'
import type { ControlAuditEventRow, ControlSchema } from '../control-schema.ts'

/** What a change in the control plane leaves in the audit log, written in the change's own transaction. */
export interface ControlAuditEntry {
  /** Null: it concerns the installation. */
  readonly projectId: string | null
  /** `<noun>.<verb>`. */
  readonly action: string
  readonly target: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** Who asks for a change, and when; every command of the control plane takes it. */
export interface ChangeOrigin {
  /** `operator`, or a person's id. */
  readonly actor: string
  readonly requestId: string
  readonly nowMs: number
}

/** Writes one audit event. */
export async function insertControlAuditEvent(
  tx: Kysely<ControlSchema>,
  origin: ChangeOrigin,
  entry: ControlAuditEntry,
): Promise<void> {
  await tx
    .insertInto('audit_event')
    .values({
      project_id: entry.projectId,
      at: origin.nowMs,
      actor: origin.actor,
      action: entry.action,
      target: entry.target,
      detail: JSON.stringify(entry.detail),
      request_id: origin.requestId,
    })
    .execute()
}

/** Which audit events, newest first. The same for the control plane and for a region. */
export interface AuditFilter {
  /** Null: of all projects and of the installation. */
  readonly projectId: string | null
  /** `tag.delete`, or `tag` for all of a noun; null: all. */
  readonly action: string | null
  /** Only events that were written before the one with this id; null: from the newest. */
  readonly beforeId: number | null
}

/** The next events of the control plane that pass the filter, newest first. */
export async function listControlAuditEvents(
  reader: Kysely<ControlSchema>,
  filter: AuditFilter,
  limit: number,
): Promise<ControlAuditEventRow[]> {
  let query = reader.selectFrom('audit_event').selectAll()
  const { projectId, action, beforeId } = filter
  if (projectId !== null) query = query.where('project_id', '=', projectId)
  if (action !== null) {
    query = action.includes('.')
      ? query.where('action', '=', action)
      : query.where('action', '>', `${action}.`).where('action', '<', `${action}/`)
  }
  if (beforeId !== null) query = query.where('id', '<', beforeId)
  return query.orderBy('id', 'desc').limit(limit).execute()
}

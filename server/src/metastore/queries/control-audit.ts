import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'

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

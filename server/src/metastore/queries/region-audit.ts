import type { Kysely } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'
import { prepareQuery } from './prepared-query.ts'

/** One change, for the audit log. */
export interface RegionAuditEvent {
  readonly projectId: string
  readonly at: number
  /** A credential id, or `operator`. */
  readonly actor: string
  /** `manifest.push`, `tag.delete`, `blob.delete`… */
  readonly action: string
  /** What was changed: `web/api:latest`, `web/api@sha256:…`. */
  readonly target: string
  readonly detail: Readonly<Record<string, string | number | boolean | null | readonly string[]>>
  readonly requestId: string
}

const insertEvent = prepareQuery<RegionSchema, Omit<RegionAuditEvent, 'detail'> & { detail: string }>()(
  (db, p) =>
    db.insertInto('audit_event').values({
      project_id: p('projectId'),
      at: p('at'),
      actor: p('actor'),
      action: p('action'),
      target: p('target'),
      detail: p('detail'),
      request_id: p('requestId'),
    }),
)

/** Writes an audit event. To be called inside the command that makes the change. */
export async function insertRegionAudit(tx: Kysely<RegionSchema>, event: RegionAuditEvent): Promise<void> {
  await insertEvent.run(tx, { ...event, detail: JSON.stringify(event.detail) })
}

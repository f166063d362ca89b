import type { AuditEventRow } from '../metastore/audit-tables.ts'

/** A CloudEvent 1.0 in structured mode. */
export interface CloudEvent {
  readonly specversion: '1.0'
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string
  readonly time: string
  readonly datacontenttype: 'application/json'
  readonly data: Readonly<Record<string, unknown>>
}

export const CLOUD_EVENT_MEDIA_TYPE = 'application/cloudevents+json; charset=utf-8'

export interface EventOrigin {
  /** Origin of the console. */
  readonly consoleUrl: string
  /** `control`, or a region's id. */
  readonly source: string
  readonly namespace: string
}

/** An audit event as webhooks get it. `id` and `source` together are unique, as the specification asks. */
export function toCloudEvent(row: AuditEventRow, type: string, origin: EventOrigin): CloudEvent {
  const { consoleUrl, source, namespace } = origin
  return {
    specversion: '1.0',
    id: `${source}-${row.id}`,
    source: `${consoleUrl}/projects/${row.project_id ?? ''}`,
    type,
    subject: row.target,
    time: new Date(row.at).toISOString(),
    datacontenttype: 'application/json',
    data: {
      project: { id: row.project_id, namespace },
      region: source === 'control' ? null : source,
      actor: row.actor,
      action: row.action,
      target: row.target,
      detail: JSON.parse(row.detail) as unknown,
      requestId: row.request_id,
    },
  }
}

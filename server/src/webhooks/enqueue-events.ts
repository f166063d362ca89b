import { hash } from 'node:crypto'
import type { AuditEventRow } from '../metastore/audit-tables.ts'
import type { ControlSchema } from '../metastore/control-schema.ts'
import type { Database } from '../metastore/database.ts'
import { auditTables, listSealedEvents, loadSealedPosition } from '../metastore/queries/audit-chain.ts'
import {
  enqueueDeliveries,
  listEnabledWebhooks,
  loadWebhookCursor,
  type NewDelivery,
} from '../metastore/queries/webhook-delivery.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { WebhookRow } from '../metastore/webhook-tables.ts'
import { toCloudEvent } from './cloud-event.ts'
import { eventTypeOf, wantsEvent } from './event-type.ts'
import { EVENTS_PER_STEP, MAX_WAITING_PER_WEBHOOK } from './limits.ts'

/** A database whose audit events become deliveries. */
export interface EventSource {
  /** `control`, or the region's id. */
  readonly name: string
  readonly db: Database<ControlSchema> | Database<RegionSchema>
}

/**
 * Turns a source's sealed events into deliveries, from where it was left. Audit events are written in the transaction
 * of their change, and sealed in one order without gaps: so nothing is lost, and nothing is told of a change that was
 * undone. What happened before the source was first read is not told. Answers whether there is more.
 */
export async function enqueueEvents(
  control: Database<ControlSchema>,
  source: EventSource,
  consoleUrl: string,
): Promise<boolean> {
  const reader = auditTables(source.db.reader)
  const from = await loadWebhookCursor(control.reader, source.name)
  const nowMs = await control.nowMs()
  const common = { source: source.name, mostWaiting: MAX_WAITING_PER_WEBHOOK, nowMs }
  if (from === null) {
    const to = await loadSealedPosition(reader)
    await control.run(enqueueDeliveries, { ...common, from, to, deliveries: [] })
    return true
  }
  const events = await listSealedEvents(reader, from, EVENTS_PER_STEP)
  const last = events.at(-1)?.position ?? null
  if (last === null) return restartAfterRestore(control, source, { from, common })
  const deliveries = await deliveriesOf(control, source.name, consoleUrl, events)
  await control.run(enqueueDeliveries, { ...common, from, to: last, deliveries })
  return events.length === EVENTS_PER_STEP
}

/** A source that is shorter than it was read was put back to an older state: it is read on from there. */
async function restartAfterRestore(
  control: Database<ControlSchema>,
  source: EventSource,
  { from, common }: { from: number; common: { source: string; mostWaiting: number; nowMs: number } },
): Promise<boolean> {
  const position = await loadSealedPosition(auditTables(source.db.reader))
  if (position >= from) return false
  await control.run(enqueueDeliveries, { ...common, from, to: position, deliveries: [] })
  return true
}

async function deliveriesOf(
  control: Database<ControlSchema>,
  source: string,
  consoleUrl: string,
  events: readonly AuditEventRow[],
): Promise<NewDelivery[]> {
  const projectIds = new Set(events.flatMap(({ project_id }) => (project_id === null ? [] : [project_id])))
  const webhooks = await listEnabledWebhooks(control.reader, [...projectIds])
  if (webhooks.length === 0) return []
  const byProject = Map.groupBy(webhooks, ({ project_id }) => project_id)
  return events.flatMap((event) => {
    const candidates = byProject.get(event.project_id ?? '') ?? []
    if (candidates.length === 0) return []
    const type = eventTypeOf(event.action, JSON.parse(event.detail) as Record<string, unknown>)
    if (type === null) return []
    return candidates
      .filter((webhook) => isFor(webhook, event, type))
      .map(({ id: webhookId, namespace }) => {
        const body = JSON.stringify(toCloudEvent(event, type, { consoleUrl, source, namespace }))
        const eventId = `${source}-${event.id}`
        return { id: deliveryId(webhookId, eventId), webhookId, eventId, eventType: type, body }
      })
  })
}

function isFor(webhook: WebhookRow, event: AuditEventRow, type: string): boolean {
  return event.at >= webhook.created_at && wantsEvent(JSON.parse(webhook.events) as string[], type)
}

const DELIVERY_ID_LENGTH = 22

/** The same however often the event is read. */
function deliveryId(webhookId: string, eventId: string): string {
  return `msg_${hash('sha256', `${webhookId} ${eventId}`, 'base64url').slice(0, DELIVERY_ID_LENGTH)}`
}

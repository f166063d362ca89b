import { ApiError } from '@berth/api/errors'
import type { WebhookDelivery, WebhookDeliveryDetail } from '@berth/api/webhooks'
import { z } from 'zod'
import type { ProjectRow } from '../../metastore/control-schema.ts'
import {
  listAttempts,
  listDeliveries,
  loadDelivery,
  redeliver as redeliverCommand,
} from '../../metastore/queries/webhook-delivery.ts'
import type { WebhookAttemptRow, WebhookDeliveryRow } from '../../metastore/webhook-tables.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'
import { findWebhook } from './service.ts'

const placeSchema = z.object({ createdAt: z.int(), id: z.string() })

/** A page of a webhook's deliveries, newest first. Raises `webhook_not_found`. */
export async function readDeliveries(
  runtime: ControlRuntime,
  project: ProjectRow,
  webhookId: string,
  query: {
    readonly limit: number
    readonly cursor?: string | undefined
    readonly state?: WebhookDeliveryRow['state'] | undefined
  },
): Promise<{ items: WebhookDelivery[]; nextCursor: string | null }> {
  await findWebhook(runtime, project, webhookId)
  const { reader } = runtime.db
  const rows = await listDeliveries(reader, webhookId, {
    state: query.state ?? null,
    before: decodeCursor(placeSchema, query.cursor),
    limit: query.limit + 1,
  })
  const attempts = await listAttempts(
    reader,
    rows.map(({ id }) => id),
  )
  const byDelivery = Map.groupBy(attempts, ({ delivery_id }) => delivery_id)
  return pageOfRows(
    rows,
    query.limit,
    (row) => toDelivery(row, byDelivery.get(row.id) ?? []),
    ({ created_at, id }) => ({ createdAt: created_at, id }),
  )
}

/** A delivery with its attempts. Raises `webhook_not_found`, `delivery_not_found`. */
export async function readDelivery(
  runtime: ControlRuntime,
  project: ProjectRow,
  webhookId: string,
  id: string,
): Promise<WebhookDeliveryDetail> {
  await findWebhook(runtime, project, webhookId)
  const row = await loadDelivery(runtime.db.reader, webhookId, id)
  if (row === null) throw new ApiError('delivery_not_found')
  const attempts = await listAttempts(runtime.db.reader, [id])
  return {
    ...toDelivery(row, attempts),
    event: JSON.parse(row.body) as Record<string, unknown>,
    log: attempts.map(({ number, at, duration_ms, status, error, response }) => ({
      number,
      at: toTimestamp(at),
      status,
      durationMs: duration_ms,
      error,
      response,
    })),
  }
}

/** Lets a delivery be sent again. Raises `webhook_not_found`, `delivery_not_found`. */
export async function redeliver(
  runtime: ControlRuntime,
  project: ProjectRow,
  webhookId: string,
  id: string,
): Promise<WebhookDelivery> {
  await findWebhook(runtime, project, webhookId)
  const nowMs = await runtime.db.nowMs()
  const row = await runtime.db.run(redeliverCommand, { webhookId, id, nowMs })
  if (row === null) throw new ApiError('delivery_not_found')
  return toDelivery(row, await listAttempts(runtime.db.reader, [id]))
}

function toDelivery(row: WebhookDeliveryRow, attempts: readonly WebhookAttemptRow[]): WebhookDelivery {
  const last = attempts.at(-1)
  return {
    id: row.id,
    eventId: row.event_id,
    eventType: row.event_type,
    state: row.state,
    attempts: row.attempts,
    nextAttemptAt: row.state === 'waiting' ? toTimestamp(row.due_at) : null,
    createdAt: toTimestamp(row.created_at),
    finishedAt: toTimestampOrNull(row.finished_at),
    lastStatus: last?.status ?? null,
    lastError: last?.error ?? null,
  }
}

import { ApiError } from '@berth/api/errors'
import { z } from 'zod'
import {
  deleteWebhook,
  listWebhooks,
  updateWebhook,
  type WebhookChange,
} from '../../metastore/queries/webhook.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { readDeliveries, readDelivery, redeliver } from './deliveries.ts'
import { checkScheme, createWebhook, findWebhook, rotateSecret, testWebhook, toWebhook } from './service.ts'

export const webhookHandlers: HandlersOf<
  | 'webhooks.list'
  | 'webhooks.create'
  | 'webhooks.show'
  | 'webhooks.update'
  | 'webhooks.delete'
  | 'webhooks.rotateSecret'
  | 'webhooks.test'
  | 'webhookDeliveries.list'
  | 'webhookDeliveries.show'
  | 'webhookDeliveries.redeliver'
> = {
  async 'webhooks.list'({ runtime, project }, { query: { limit, cursor } }) {
    const after = decodeCursor(z.string(), cursor)
    const rows = await listWebhooks(runtime.db.reader, project.id, { after, limit: limit + 1 })
    const shown = rows.slice(0, limit)
    const items = await Promise.all(shown.map((row) => toWebhook(runtime, row)))
    const last = shown.at(-1)
    return { items, nextCursor: rows.length > limit && last !== undefined ? encodeCursor(last.id) : null }
  },
  'webhooks.create': ({ runtime, project, origin }, { body }) =>
    createWebhook(runtime, project, body, origin()),
  'webhooks.show': async ({ runtime, project }, { params }) =>
    toWebhook(runtime, await findWebhook(runtime, project, params.webhook)),
  async 'webhooks.update'({ runtime, project, origin }, { params, body }) {
    if (body.url !== undefined) checkScheme(runtime, body.url)
    const change = Object.fromEntries(
      Object.entries(body).filter(([, value]) => value !== undefined),
    ) as WebhookChange
    const args = { projectId: project.id, id: params.webhook, change, origin: origin() }
    const row = await runtime.db.run(updateWebhook, args)
    if (row === null) throw new ApiError('webhook_not_found')
    return toWebhook(runtime, row)
  },
  async 'webhooks.delete'({ runtime, project, origin }, { params: { webhook: id } }) {
    const removed = await runtime.db.run(deleteWebhook, { projectId: project.id, id, origin: origin() })
    if (!removed) throw new ApiError('webhook_not_found')
    return { id }
  },
  'webhooks.rotateSecret': ({ runtime, project, origin }, { params, body }) =>
    rotateSecret(runtime, { project, id: params.webhook, origin: origin() }, body.overlapSeconds),
  'webhooks.test': ({ runtime, project, origin, signal }, { params }) =>
    testWebhook(runtime, { project, id: params.webhook, origin: origin() }, signal),
  'webhookDeliveries.list': ({ runtime, project }, { params, query }) =>
    readDeliveries(runtime, project, params.webhook, query),
  'webhookDeliveries.show': ({ runtime, project }, { params }) =>
    readDelivery(runtime, project, params.webhook, params.delivery),
  'webhookDeliveries.redeliver': ({ runtime, project }, { params }) =>
    redeliver(runtime, project, params.webhook, params.delivery),
}

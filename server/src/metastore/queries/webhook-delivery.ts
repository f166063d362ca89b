import { type Kysely, sql } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { WebhookAttemptRow, WebhookDeliveryRow, WebhookRow } from '../webhook-tables.ts'
import { insertControlAuditEvent } from './control-audit.ts'

/*
 * Deliveries: events for one webhook each. What turns events into deliveries moves its cursor in the same transaction,
 * so that no event is lost and none is delivered twice for having been read twice.
 */

/** How far the events of a source were turned into deliveries; null: never yet. */
export async function loadWebhookCursor(
  reader: Kysely<ControlSchema>,
  source: string,
): Promise<number | null> {
  const query = reader.selectFrom('webhook_cursor').select('position').where('source', '=', source)
  return (await query.executeTakeFirst())?.position ?? null
}

/** Enabled webhooks of projects that are not deleted. */
export async function listEnabledWebhooks(
  reader: Kysely<ControlSchema>,
  projectIds: readonly string[],
): Promise<(WebhookRow & { readonly namespace: string })[]> {
  if (projectIds.length === 0) return []
  return reader
    .selectFrom('webhook')
    .innerJoin('project', 'project.id', 'webhook.project_id')
    .selectAll('webhook')
    .select('project.namespace')
    .where('webhook.project_id', 'in', [...projectIds])
    .where('webhook.disabled_at', 'is', null)
    .where('project.deleted_at', 'is', null)
    .execute()
}

export interface NewDelivery {
  readonly id: string
  readonly webhookId: string
  readonly eventId: string
  readonly eventType: string
  readonly body: string
}

export interface EnqueueArgs {
  readonly source: string
  /** Where the cursor has to stand; null: it is not there yet. */
  readonly from: number | null
  readonly to: number
  readonly deliveries: readonly NewDelivery[]
  /** Deliveries of one webhook that may wait; with more of them it is disabled. */
  readonly mostWaiting: number
  readonly nowMs: number
}

/** Adds deliveries and moves the cursor. False: another process did so before. */
export const enqueueDeliveries = defineCommand<ControlSchema, EnqueueArgs, boolean>(
  'webhook.enqueue',
  async (tx, { source, from, to, deliveries, mostWaiting, nowMs }) => {
    if (!(await moveCursor(tx, source, from, to))) return false
    const byWebhook = Map.groupBy(deliveries, ({ webhookId }) => webhookId)
    // In the order of their ids, as everybody locks them.
    for (const [webhookId, added] of [...byWebhook].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const webhook = await lockWebhook(tx, webhookId)
      if (webhook === null || webhook.disabled_at !== null) continue
      if ((await countWaiting(tx, webhookId, mostWaiting)) + added.length > mostWaiting) {
        await disable(tx, webhook, 'backlog', nowMs)
        continue
      }
      for (const { id, eventId, eventType, body } of added) {
        const state = { state: 'waiting', attempts: 0, tries: 0, due_at: nowMs, created_at: nowMs } as const
        await tx
          .insertInto('webhook_delivery')
          .values({ id, webhook_id: webhookId, event_id: eventId, event_type: eventType, body, ...state })
          .onConflict((conflict) => conflict.columns(['webhook_id', 'event_id']).doNothing())
          .execute()
      }
    }
    return true
  },
)

async function moveCursor(
  tx: Kysely<ControlSchema>,
  source: string,
  from: number | null,
  to: number,
): Promise<boolean> {
  if (from === null) {
    const inserted = await tx
      .insertInto('webhook_cursor')
      .values({ source, position: to })
      .onConflict((conflict) => conflict.column('source').doNothing())
      .executeTakeFirst()
    return inserted.numInsertedOrUpdatedRows === 1n
  }
  const { numUpdatedRows } = await tx
    .updateTable('webhook_cursor')
    .set({ position: to })
    .where('source', '=', source)
    .where('position', '=', from)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

async function countWaiting(tx: Kysely<ControlSchema>, webhookId: string, most: number): Promise<number> {
  const waiting = tx
    .selectFrom('webhook_delivery')
    .select('id')
    .where('webhook_id', '=', webhookId)
    .where('state', '=', 'waiting')
    .limit(most)
    .as('waiting')
  const row = await tx.selectFrom(waiting).select(sql<number>`count(*)`.as('count')).executeTakeFirstOrThrow()
  return Number(row.count)
}

async function lockWebhook(tx: Kysely<ControlSchema>, id: string): Promise<WebhookRow | null> {
  const query = tx.selectFrom('webhook').selectAll().where('id', '=', id)
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) ?? null
}

async function disable(
  tx: Kysely<ControlSchema>,
  webhook: WebhookRow,
  reason: 'failing' | 'gone' | 'backlog',
  nowMs: number,
): Promise<void> {
  const change = { disabled_at: nowMs, disabled_reason: reason }
  await tx.updateTable('webhook').set(change).where('id', '=', webhook.id).execute()
  const origin = { actor: 'system', requestId: 'webhooks', nowMs }
  await insertControlAuditEvent(tx, origin, {
    projectId: webhook.project_id,
    action: 'webhook.disable',
    target: webhook.name,
    detail: { id: webhook.id, reason },
  })
}

export interface AttemptReport {
  readonly attempt: WebhookAttemptRow
  readonly outcome: 'delivered' | 'retry' | 'failed' | 'gone'
  /** When to try again, for `retry`. */
  readonly dueAt: number
  /** A webhook without any success for this long is disabled when a delivery has failed for good. */
  readonly patienceMs: number
}

/** Writes down how an attempt went. One that was claimed again meanwhile, or whose webhook is gone, changes nothing. */
export const recordAttempt = defineCommand<ControlSchema, AttemptReport, boolean>(
  'webhook.record',
  async (tx, { attempt, outcome, dueAt, patienceMs }) => {
    const found = await tx
      .selectFrom('webhook_delivery')
      .select('webhook_id')
      .where('id', '=', attempt.delivery_id)
      .executeTakeFirst()
    const webhook = found === undefined ? null : await lockWebhook(tx, found.webhook_id)
    if (webhook === null) return false
    const finishedAt = attempt.at + attempt.duration_ms
    const change =
      outcome === 'delivered'
        ? ({ state: 'delivered', finished_at: finishedAt } as const)
        : outcome === 'retry'
          ? { due_at: dueAt }
          : ({ state: 'failed', finished_at: finishedAt } as const)
    const { numUpdatedRows } = await tx
      .updateTable('webhook_delivery')
      .set(change)
      .where('id', '=', attempt.delivery_id)
      .where('attempts', '=', attempt.number)
      .where('state', '=', 'waiting')
      .executeTakeFirst()
    if (numUpdatedRows === 0n) return false
    await tx.insertInto('webhook_attempt').values(attempt).execute()
    await noteHealth(tx, webhook, { outcome, finishedAt, patienceMs })
    return true
  },
)

async function noteHealth(
  tx: Kysely<ControlSchema>,
  webhook: WebhookRow,
  { outcome, finishedAt, patienceMs }: Pick<AttemptReport, 'outcome' | 'patienceMs'> & { finishedAt: number },
): Promise<void> {
  const failingSince = outcome === 'delivered' ? null : (webhook.failing_since ?? finishedAt)
  if (failingSince !== webhook.failing_since) {
    await tx
      .updateTable('webhook')
      .set({ failing_since: failingSince })
      .where('id', '=', webhook.id)
      .execute()
  }
  if (webhook.disabled_at !== null) return
  if (outcome === 'gone') await disable(tx, webhook, 'gone', finishedAt)
  else if (outcome === 'failed' && failingSince !== null && finishedAt - failingSince >= patienceMs) {
    await disable(tx, webhook, 'failing', finishedAt)
  }
}

export interface Redelivery {
  readonly webhookId: string
  readonly id: string
  readonly nowMs: number
}

/** Lets a delivery be sent again, with the same id. Null: there is none. */
export const redeliver = defineCommand<ControlSchema, Redelivery, WebhookDeliveryRow | null>(
  'webhook.redeliver',
  async (tx, { webhookId, id, nowMs }) => {
    const row = await tx
      .updateTable('webhook_delivery')
      .set({ state: 'waiting', tries: 0, due_at: nowMs, finished_at: null })
      .where('webhook_id', '=', webhookId)
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirst()
    return row ?? null
  },
)

export interface DeliveryPruning {
  /** Milliseconds. */
  readonly finishedBefore: number
  /** Finished deliveries of one webhook that stay. */
  readonly keptPerWebhook: number
  readonly limit: number
}

/** Removes finished deliveries that are old or too many, at most `limit`. Answers how many. */
export const pruneDeliveries = defineCommand<ControlSchema, DeliveryPruning, number>(
  'webhook.prune',
  async (tx, { finishedBefore, keptPerWebhook, limit }) => {
    const ranked = tx
      .selectFrom('webhook_delivery')
      .select(['id', 'finished_at'])
      .select((select) =>
        select.fn
          .agg<number>('row_number')
          .over((over) => over.partitionBy('webhook_id').orderBy('created_at', 'desc').orderBy('id'))
          .as('rank'),
      )
      .where('state', '<>', 'waiting')
      .as('ranked')
    const rows = await tx
      .selectFrom(ranked)
      .select('id')
      .where((where) =>
        where.or([where('finished_at', '<', finishedBefore), where('rank', '>', keptPerWebhook)]),
      )
      .limit(limit)
      .execute()
    const ids = rows.map(({ id }) => id)
    if (ids.length === 0) return 0
    await tx.deleteFrom('webhook_attempt').where('delivery_id', 'in', ids).execute()
    await tx.deleteFrom('webhook_delivery').where('id', 'in', ids).execute()
    return ids.length
  },
)

/** Deliveries of a webhook, newest first. */
export async function listDeliveries(
  reader: Kysely<ControlSchema>,
  webhookId: string,
  {
    state,
    before,
    limit,
  }: {
    readonly state: WebhookDeliveryRow['state'] | null
    readonly before: { readonly createdAt: number; readonly id: string } | null
    readonly limit: number
  },
): Promise<WebhookDeliveryRow[]> {
  let query = reader.selectFrom('webhook_delivery').selectAll().where('webhook_id', '=', webhookId)
  if (state !== null) query = query.where('state', '=', state)
  if (before !== null) {
    query = query.where((where) =>
      where.or([
        where('created_at', '<', before.createdAt),
        where.and([where('created_at', '=', before.createdAt), where('id', '<', before.id)]),
      ]),
    )
  }
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
}

/** A delivery of a webhook; null: there is none. */
export async function loadDelivery(
  reader: Kysely<ControlSchema>,
  webhookId: string,
  id: string,
): Promise<WebhookDeliveryRow | null> {
  const query = reader.selectFrom('webhook_delivery').selectAll().where('webhook_id', '=', webhookId)
  return (await query.where('id', '=', id).executeTakeFirst()) ?? null
}

/** Attempts of deliveries, oldest first. */
export async function listAttempts(
  reader: Kysely<ControlSchema>,
  deliveryIds: readonly string[],
): Promise<WebhookAttemptRow[]> {
  if (deliveryIds.length === 0) return []
  return reader
    .selectFrom('webhook_attempt')
    .selectAll()
    .where('delivery_id', 'in', [...deliveryIds])
    .orderBy('delivery_id')
    .orderBy('number')
    .execute()
}

export const webhookDeliveryCommands = [enqueueDeliveries, recordAttempt, redeliver, pruneDeliveries]

import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand, defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { WebhookRow, WebhookSecretRow } from '../webhook-tables.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { projectKeyIsThere } from './project-key.ts'

/* Webhooks of projects and what their deliveries are signed with. */

/** What the secret of a webhook is sealed for: to sign with. It is sent to no host at all. */
export function webhookSecretContext(secret: { readonly project_id: string; readonly webhook_id: string }) {
  return {
    projectId: secret.project_id,
    record: `webhook/${secret.webhook_id}`,
    field: 'signing secret',
    host: 'none',
  }
}

/** Webhooks of a project, oldest first. */
export async function listWebhooks(
  reader: Kysely<ControlSchema>,
  projectId: string,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<WebhookRow[]> {
  let query = reader.selectFrom('webhook').selectAll().where('project_id', '=', projectId)
  if (after !== null) query = query.where('id', '>', after)
  return query.orderBy('id').limit(limit).execute()
}

/** A webhook of the project; null: it has none with this id. */
export async function loadWebhook(
  reader: Kysely<ControlSchema>,
  projectId: string,
  id: string,
): Promise<WebhookRow | null> {
  const query = reader.selectFrom('webhook').selectAll().where('project_id', '=', projectId)
  return (await query.where('id', '=', id).executeTakeFirst()) ?? null
}

/** What a webhook's deliveries are signed with now, the newest first. */
export async function listWebhookSecrets(
  reader: Kysely<ControlSchema>,
  webhookId: string,
  nowMs: number,
): Promise<WebhookSecretRow[]> {
  return reader
    .selectFrom('webhook_secret')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', nowMs)]))
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .execute()
}

export interface NewWebhook {
  readonly id: string
  readonly projectId: string
  readonly name: string
  readonly url: string
  readonly events: readonly string[]
  readonly secret: { readonly id: string; readonly sealed: string }
}

export type WebhookCreation =
  | { readonly ok: true; readonly webhook: WebhookRow }
  | { readonly ok: false; readonly reason: 'key_replaced' | 'too_many' }

/** Creates a webhook, unless the project has `most` of them. */
export const createWebhook = defineCommand<
  ControlSchema,
  { readonly webhook: NewWebhook; readonly most: number; readonly origin: ChangeOrigin },
  WebhookCreation
>('webhook.create', async (tx, { webhook, most, origin }) => {
  const { id, projectId, name, url, events, secret } = webhook
  // The lock makes two creations at the same time count each other.
  const project = tx.selectFrom('project').select('id').where('id', '=', projectId)
  await lockForUpdate(project, dialectOf(tx)).executeTakeFirst()
  if (!(await projectKeyIsThere(tx, projectId, secret.sealed))) return { ok: false, reason: 'key_replaced' }
  const existing = await listWebhooks(tx, projectId, { after: null, limit: most })
  if (existing.length === most) return { ok: false, reason: 'too_many' }
  const row: WebhookRow = {
    id,
    project_id: projectId,
    name,
    url,
    events: JSON.stringify(events),
    disabled_at: null,
    disabled_reason: null,
    failing_since: null,
    created_at: origin.nowMs,
    created_by: origin.actor,
  }
  await tx.insertInto('webhook').values(row).execute()
  await insertSecret(tx, row, secret, origin.nowMs)
  const detail = { id, name, host: new URL(url).host, events }
  await insertControlAuditEvent(tx, origin, { projectId, action: 'webhook.create', target: name, detail })
  return { ok: true, webhook: row }
})

async function insertSecret(
  tx: Kysely<ControlSchema>,
  webhook: WebhookRow,
  { id, sealed }: { readonly id: string; readonly sealed: string },
  nowMs: number,
): Promise<void> {
  const row = { webhook_id: webhook.id, project_id: webhook.project_id, created_at: nowMs, expires_at: null }
  await tx
    .insertInto('webhook_secret')
    .values({ id, sealed, ...row })
    .execute()
}

export interface WebhookChange {
  readonly name?: string
  readonly url?: string
  readonly events?: readonly string[]
  /** True also forgets that it was failing. */
  readonly enabled?: boolean
}

interface OfWebhook {
  readonly projectId: string
  readonly id: string
  readonly origin: ChangeOrigin
}

async function lockWebhook(
  tx: Kysely<ControlSchema>,
  { projectId, id }: OfWebhook,
): Promise<WebhookRow | null> {
  const query = tx.selectFrom('webhook').selectAll().where('project_id', '=', projectId).where('id', '=', id)
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) ?? null
}

/** Changes a webhook. Null: there is none. */
export const updateWebhook = defineCommand<
  ControlSchema,
  OfWebhook & { readonly change: WebhookChange },
  WebhookRow | null
>('webhook.update', async (tx, args) => {
  const { origin, change } = args
  const row = await lockWebhook(tx, args)
  if (row === null) return null
  const { name, url, events, enabled } = change
  const enabling = { disabled_at: null, disabled_reason: null, failing_since: null }
  const disabling = {
    disabled_at: row.disabled_at ?? origin.nowMs,
    disabled_reason: row.disabled_reason ?? 'manual',
  }
  const changed: WebhookRow = {
    ...row,
    ...(name === undefined ? {} : { name }),
    ...(url === undefined ? {} : { url }),
    ...(events === undefined ? {} : { events: JSON.stringify(events) }),
    ...(enabled === undefined ? {} : enabled ? enabling : disabling),
  }
  await tx.updateTable('webhook').set(changed).where('id', '=', row.id).execute()
  const detail = {
    id: row.id,
    ...change,
    ...(url === undefined ? {} : { url: undefined, host: new URL(url).host }),
  }
  await insertControlAuditEvent(tx, origin, {
    projectId: row.project_id,
    action: 'webhook.update',
    target: changed.name,
    detail,
  })
  return changed
})

/** Removes a webhook with its deliveries. False: there is none. */
export const deleteWebhook = defineErasingCommand<ControlSchema, OfWebhook, boolean>(
  'webhook.delete',
  async (tx, args) => {
    const row = await lockWebhook(tx, args)
    if (row === null) return false
    await deleteWithDeliveries(tx, [row.id])
    await insertControlAuditEvent(tx, args.origin, {
      projectId: row.project_id,
      action: 'webhook.delete',
      target: row.name,
      detail: { id: row.id },
    })
    return true
  },
)

async function deleteWithDeliveries(tx: Kysely<ControlSchema>, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const deliveries = tx.selectFrom('webhook_delivery').select('id').where('webhook_id', 'in', ids)
  await tx.deleteFrom('webhook_attempt').where('delivery_id', 'in', deliveries).execute()
  await tx.deleteFrom('webhook_delivery').where('webhook_id', 'in', ids).execute()
  await tx.deleteFrom('webhook_secret').where('webhook_id', 'in', ids).execute()
  await tx.deleteFrom('webhook').where('id', 'in', ids).execute()
}

export type SecretRotation =
  | { readonly ok: true; readonly webhook: WebhookRow }
  | { readonly ok: false; readonly reason: 'not_found' | 'key_replaced' }

/** Gives a webhook a new secret; the one before signs too until `previousUntilMs`, and those before it no more. */
export const rotateWebhookSecret = defineErasingCommand<
  ControlSchema,
  OfWebhook & {
    readonly secret: { readonly id: string; readonly sealed: string }
    readonly previousUntilMs: number
  },
  SecretRotation
>('webhook.rotate_secret', async (tx, args) => {
  const { origin, secret, previousUntilMs } = args
  const row = await lockWebhook(tx, args)
  if (row === null) return { ok: false, reason: 'not_found' }
  if (!(await projectKeyIsThere(tx, row.project_id, secret.sealed)))
    return { ok: false, reason: 'key_replaced' }
  await tx
    .deleteFrom('webhook_secret')
    .where('webhook_id', '=', row.id)
    .where('expires_at', 'is not', null)
    .execute()
  const previous = tx.updateTable('webhook_secret').set({ expires_at: previousUntilMs })
  await previous.where('webhook_id', '=', row.id).execute()
  if (previousUntilMs <= origin.nowMs) {
    await tx.deleteFrom('webhook_secret').where('webhook_id', '=', row.id).execute()
  }
  await insertSecret(tx, row, secret, origin.nowMs)
  await insertControlAuditEvent(tx, origin, {
    projectId: row.project_id,
    action: 'webhook.rotate_secret',
    target: row.name,
    detail: { id: row.id, previousUntil: new Date(previousUntilMs).toISOString() },
  })
  return { ok: true, webhook: row }
})

/** Inside the deletion of a project: removes its webhooks with their secrets and deliveries. */
export async function deleteWebhooksOfProject(tx: Kysely<ControlSchema>, projectId: string): Promise<void> {
  // Locked: an event that is being turned into deliveries would leave some behind.
  const query = tx.selectFrom('webhook').select('id').where('project_id', '=', projectId).orderBy('id')
  const rows = await lockForUpdate(query, dialectOf(tx)).execute()
  await deleteWithDeliveries(
    tx,
    rows.map(({ id }) => id),
  )
}

/** Removes replaced secrets that do not sign any more. Answers how many. */
export const pruneWebhookSecrets = defineErasingCommand<ControlSchema, { readonly nowMs: number }, number>(
  'webhook.prune_secrets',
  async (tx, { nowMs }) => {
    const { numDeletedRows } = await tx
      .deleteFrom('webhook_secret')
      .where('expires_at', '<=', nowMs)
      .executeTakeFirst()
    return Number(numDeletedRows)
  },
)

/** Whether there is a replaced secret that does not sign any more: a read, so that an idle database is not written to. */
export async function hasEndedWebhookSecrets(reader: Kysely<ControlSchema>, nowMs: number): Promise<boolean> {
  const query = reader.selectFrom('webhook_secret').select('id').where('expires_at', '<=', nowMs).limit(1)
  return (await query.executeTakeFirst()) !== undefined
}

export const webhookCommands = [
  createWebhook,
  updateWebhook,
  deleteWebhook,
  rotateWebhookSecret,
  pruneWebhookSecrets,
]

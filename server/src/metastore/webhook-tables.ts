import type { Selectable } from 'kysely'

/* The tables of webhooks, in the control plane's database. */

export interface WebhookTables {
  webhook: WebhookTable
  webhook_secret: WebhookSecretTable
  webhook_delivery: WebhookDeliveryTable
  webhook_attempt: WebhookAttemptTable
  webhook_cursor: WebhookCursorTable
  job_lease: JobLeaseTable
}

export interface WebhookTable {
  id: string
  project_id: string
  name: string
  url: string
  /** JSON string[]: event types, or beginnings of them with `*`. */
  events: string
  /** Set: nothing is sent, and new events are not for it. */
  disabled_at: number | null
  /** `manual`, `failing`, `gone`, `backlog`; null while it is enabled. */
  disabled_reason: string | null
  /** Since when no attempt has succeeded; null: the last one did. */
  failing_since: number | null
  created_at: number
  created_by: string
}

/** What deliveries are signed with: the newest, and those before it until they expire. */
export interface WebhookSecretTable {
  id: string
  webhook_id: string
  project_id: string
  sealed: string
  created_at: number
  /** Null: the newest. */
  expires_at: number | null
}

/** An event for one webhook. */
export interface WebhookDeliveryTable {
  /** Also the `webhook-id` header, the same for each attempt. */
  id: string
  webhook_id: string
  event_id: string
  event_type: string
  /** The CloudEvent as it is sent. */
  body: string
  state: 'waiting' | 'delivered' | 'failed'
  /** Attempts so far. */
  attempts: number
  /** Attempts since the delivery was asked for: a redelivery begins at 0 again. */
  tries: number
  /** When to try next; while an attempt runs, when it counts as lost. */
  due_at: number
  created_at: number
  finished_at: number | null
}

export interface WebhookAttemptTable {
  delivery_id: string
  number: number
  at: number
  duration_ms: number
  /** HTTP status; null: there was no answer. */
  status: number | null
  error: string | null
  /** The beginning of the answer's body. */
  response: string | null
}

/** How far the events of a database were turned into deliveries. */
export interface WebhookCursorTable {
  source: string
  position: number
}

/** Work that one process does at a time. */
export interface JobLeaseTable {
  name: string
  owner: string
  until: number
}

export type WebhookRow = Selectable<WebhookTable>
export type WebhookSecretRow = Selectable<WebhookSecretTable>
export type WebhookDeliveryRow = Selectable<WebhookDeliveryTable>
export type WebhookAttemptRow = Selectable<WebhookAttemptTable>

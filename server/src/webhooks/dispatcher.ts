import { randomUUID } from 'node:crypto'
import type { ControlSchema } from '../metastore/control-schema.ts'
import type { Database } from '../metastore/database.ts'
import { claimDeliveries, type DueDelivery, hasDueDeliveries } from '../metastore/queries/due-delivery.ts'
import { holdJobLease, releaseJobLease } from '../metastore/queries/job-lease.ts'
import { pruneDeliveries, recordAttempt } from '../metastore/queries/webhook-delivery.ts'
import { hasEndedWebhookSecrets, pruneWebhookSecrets } from '../metastore/queries/webhook.ts'
import type { Outgoing } from '../outgoing/outgoing.ts'
import type { Logger } from '../telemetry/log.ts'
import { VaultError } from '../vault/aead.ts'
import type { Vault } from '../vault/vault.ts'
import { enqueueEvents, type EventSource } from './enqueue-events.ts'
import {
  CLAIM_MS,
  DELIVERIES_KEPT_MS,
  DELIVERIES_KEPT_PER_WEBHOOK,
  MAX_IN_FLIGHT,
  MAX_IN_FLIGHT_PER_PROJECT,
  MAX_IN_FLIGHT_PER_WEBHOOK,
  PATIENCE_MS,
} from './limits.ts'
import { openWebhookSecrets } from './open-secrets.ts'
import { retryPauseMs } from './retry.ts'
import { type SendOutcome, sendWebhook } from './send-webhook.ts'

export interface DispatcherOptions {
  readonly db: Database<ControlSchema>
  readonly sources: readonly EventSource[]
  readonly vault: Vault
  readonly outgoing: Outgoing
  /** Origin of the console, for the source of events. */
  readonly consoleUrl: string
  readonly log: Logger
  /** Default: the database's clock. */
  readonly nowMs?: () => Promise<number>
  readonly random?: () => number
}

/** Sends the events of all projects to their webhooks. One process at a time does so. */
export interface WebhookDispatcher {
  /**
   * One round: turns new events into deliveries, and begins attempts at those that are due. Does not wait for the
   * attempts: a slow receiver holds up nobody else.
   */
  run(signal: AbortSignal): Promise<void>
  /** Resolves when no attempt is under way. */
  settle(): Promise<void>
  /** Breaks off what is under way: it is tried again. */
  close(): Promise<void>
}

const LEASE = 'webhooks'
const LEASE_MS = 15_000
const LEASE_RENEWAL_MS = 5_000
const STEPS_PER_RUN = 20

/** Makes the dispatcher of one process. */
export function createWebhookDispatcher(options: DispatcherOptions): WebhookDispatcher {
  const { db, log } = options
  const nowMs = options.nowMs ?? (() => db.nowMs())
  const owner = randomUUID()
  const inFlight = new Map<Promise<void>, DueDelivery>()
  const controller = new AbortController()
  let leasedAt = Number.NEGATIVE_INFINITY

  async function isLeader(now: number): Promise<boolean> {
    if (now - leasedAt < LEASE_RENEWAL_MS && now >= leasedAt) return true
    const held = await db.run(holdJobLease, { name: LEASE, owner, nowMs: now, untilMs: now + LEASE_MS })
    leasedAt = held ? now : Number.NEGATIVE_INFINITY
    return held
  }

  async function beginAttempts(now: number): Promise<void> {
    const room = MAX_IN_FLIGHT - inFlight.size
    if (room <= 0 || !(await hasDueDeliveries(db.reader, now))) return
    const underWay = [...inFlight.values()]
    const due = await db.run(claimDeliveries, {
      nowMs: now,
      untilMs: now + CLAIM_MS,
      limit: room,
      perWebhook: MAX_IN_FLIGHT_PER_WEBHOOK,
      perProject: MAX_IN_FLIGHT_PER_PROJECT,
      underWay: underWay.map(({ webhook_id, project_id }) => ({
        webhookId: webhook_id,
        projectId: project_id,
      })),
    })
    for (const delivery of due) {
      const attempt = attemptDelivery(options, delivery, { now, signal: controller.signal }).catch(
        (error: unknown) => {
          if (!controller.signal.aborted)
            log.error({ err: error, delivery: delivery.id }, 'a webhook attempt failed')
        },
      )
      const tracked = attempt.finally(() => inFlight.delete(tracked))
      inFlight.set(tracked, delivery)
    }
  }

  async function settle(): Promise<void> {
    while (inFlight.size > 0) await Promise.all(inFlight.keys())
  }

  return {
    async run(signal) {
      const now = await nowMs()
      if (!(await isLeader(now))) return
      await enqueueAll(options, signal)
      if (!signal.aborted) await beginAttempts(await nowMs())
    },
    settle,
    async close() {
      controller.abort()
      await settle()
      if (leasedAt === Number.NEGATIVE_INFINITY) return
      await db.run(releaseJobLease, { name: LEASE, owner }).catch((error: unknown) => {
        log.warn({ err: error }, 'the lease of the webhooks was not given back')
      })
    },
  }
}

async function enqueueAll(
  { db, sources, consoleUrl, log }: DispatcherOptions,
  signal: AbortSignal,
): Promise<void> {
  for (const source of sources) {
    try {
      for (let step = 0; step < STEPS_PER_RUN && !signal.aborted; step += 1) {
        if (!(await enqueueEvents(db, source, consoleUrl))) break
      }
    } catch (error) {
      // A region that cannot be reached must not stop the events of the others.
      log.warn({ err: error, source: source.name }, 'events could not be read for webhooks')
    }
  }
}

async function attemptDelivery(
  options: DispatcherOptions,
  delivery: DueDelivery,
  { now, signal }: { readonly now: number; readonly signal: AbortSignal },
): Promise<void> {
  const { db, log, random = Math.random } = options
  const outcome = await send(options, delivery, { now, signal })
  const pauseMs = retryPauseMs(delivery.tries, random(), outcome.retryAfterMs)
  const { id, webhook_id, attempts, event_type } = delivery
  const finished = now + outcome.durationMs
  await db.run(recordAttempt, {
    attempt: {
      delivery_id: id,
      number: attempts,
      at: now,
      duration_ms: outcome.durationMs,
      status: outcome.status,
      error: outcome.error,
      response: outcome.response,
    },
    outcome: outcome.result === 'refused' ? (pauseMs === null ? 'failed' : 'retry') : outcome.result,
    dueAt: finished + (pauseMs ?? 0),
    patienceMs: PATIENCE_MS,
  })
  const { status, error, durationMs } = outcome
  const fields = {
    delivery: id,
    webhook: webhook_id,
    type: event_type,
    attempt: attempts,
    status,
    durationMs,
  }
  if (outcome.result === 'delivered') log.info(fields, 'webhook delivered')
  else log.warn({ ...fields, reason: error }, 'webhook not delivered')
}

async function send(
  { db, vault, outgoing }: DispatcherOptions,
  delivery: DueDelivery,
  { now, signal }: { readonly now: number; readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const { id, url, body, project_id: projectId, webhook_id } = delivery
  try {
    const secrets = await openWebhookSecrets({ reader: db.reader, vault }, webhook_id, now)
    return await sendWebhook(outgoing, { id, url, body, secrets, projectId }, { nowMs: now, signal })
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    const nothing = { status: null, response: null, durationMs: 0, retryAfterMs: null }
    return { result: 'refused', error: 'The signing secret cannot be opened.', ...nothing }
  }
}

/** Removes finished deliveries beyond what is kept, and replaced secrets that do not sign any more. */
export async function pruneWebhookDeliveries(
  db: Database<ControlSchema>,
  signal: AbortSignal,
): Promise<void> {
  const limit = 500
  const nowMs = await db.nowMs()
  const finishedBefore = nowMs - DELIVERIES_KEPT_MS
  const args = { finishedBefore, keptPerWebhook: DELIVERIES_KEPT_PER_WEBHOOK, limit }
  while (!signal.aborted && (await db.run(pruneDeliveries, args)) === limit);
  if (!signal.aborted && (await hasEndedWebhookSecrets(db.reader, nowMs))) {
    await db.run(pruneWebhookSecrets, { nowMs })
  }
}

import { randomInt, randomUUID } from 'node:crypto'
import { ApiError } from '@berth/api/errors'
import { MAX_WEBHOOKS } from '@berth/api/limits'
import type { Webhook, WebhookSecret, WebhookTested } from '@berth/api/webhooks'
import type { ProjectRow } from '../../metastore/control-schema.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import {
  createWebhook as createWebhookCommand,
  listWebhookSecrets,
  loadWebhook,
  rotateWebhookSecret as rotateSecretCommand,
  webhookSecretContext,
} from '../../metastore/queries/webhook.ts'
import type { WebhookRow } from '../../metastore/webhook-tables.ts'
import { openWebhookSecrets } from '../../webhooks/open-secrets.ts'
import { sendWebhook } from '../../webhooks/send-webhook.ts'
import { mintWebhookSecret } from '../../webhooks/signature.ts'
import { sealForStorage } from '../registries/seal-for-storage.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'

const ID_ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789'
const ID_LENGTH = 12

interface Request {
  readonly project: ProjectRow
  readonly id: string
  readonly origin: ChangeOrigin
}

/** A webhook of the project. Raises `webhook_not_found`. */
export async function findWebhook(
  runtime: ControlRuntime,
  project: ProjectRow,
  id: string,
): Promise<WebhookRow> {
  const row = await loadWebhook(runtime.db.reader, project.id, id)
  if (row === null) throw new ApiError('webhook_not_found')
  return row
}

/** A webhook as the contract shows it. */
export async function toWebhook(runtime: ControlRuntime, row: WebhookRow): Promise<Webhook> {
  const secrets = await listWebhookSecrets(runtime.db.reader, row.id, runtime.clock.nowMs())
  return {
    id: row.id,
    name: row.name,
    url: row.url,
    events: JSON.parse(row.events) as string[],
    enabled: row.disabled_at === null,
    disabledReason: row.disabled_reason as Webhook['disabledReason'],
    disabledAt: toTimestampOrNull(row.disabled_at),
    failingSince: toTimestampOrNull(row.failing_since),
    createdAt: toTimestamp(row.created_at),
    createdBy: row.created_by,
    previousSecretEndsAt: toTimestampOrNull(
      secrets.find(({ expires_at }) => expires_at !== null)?.expires_at ?? null,
    ),
  }
}

/** Adds a webhook. Raises `webhook_limit`, `validation_failed`, `unavailable`. */
export async function createWebhook(
  runtime: ControlRuntime,
  project: ProjectRow,
  request: { readonly name: string; readonly url: string; readonly events: readonly string[] },
  origin: ChangeOrigin,
): Promise<WebhookSecret> {
  checkScheme(runtime, request.url)
  const id = newId()
  const { outcome, secret } = await withSecret(runtime, project.id, id, (sealed) =>
    runtime.db.run(createWebhookCommand, {
      webhook: { id, projectId: project.id, ...request, secret: { id: randomUUID(), sealed } },
      most: MAX_WEBHOOKS,
      origin,
    }),
  )
  if (!outcome.ok) {
    throw outcome.reason === 'too_many'
      ? new ApiError('webhook_limit')
      : new ApiError('unavailable', 'The keys of the project are being changed. Nothing was done; try again.')
  }
  return { ...(await toWebhook(runtime, outcome.webhook)), secret }
}

/** Plain HTTP only where the operator says so. Raises `validation_failed`. */
export function checkScheme({ outgoing }: ControlRuntime, url: string): void {
  const { protocol, host } = new URL(url)
  if (protocol === 'https:' || outgoing.usesPlainHttp(host)) return
  throw new ApiError('validation_failed', 'body.url: must be an https URL', {
    errors: [{ path: 'body.url', message: 'must be an https URL' }],
  })
}

/** Gives a webhook a new secret. Raises `webhook_not_found`, `unavailable`. */
export async function rotateSecret(
  runtime: ControlRuntime,
  { project, id, origin }: Request,
  overlapSeconds: number,
): Promise<WebhookSecret> {
  const { outcome, secret } = await withSecret(runtime, project.id, id, (sealed) =>
    runtime.db.run(rotateSecretCommand, {
      projectId: project.id,
      id,
      secret: { id: randomUUID(), sealed },
      previousUntilMs: origin.nowMs + overlapSeconds * 1000,
      origin,
    }),
  )
  if (!outcome.ok) {
    throw outcome.reason === 'not_found'
      ? new ApiError('webhook_not_found')
      : new ApiError('unavailable', 'The keys of the project are being changed. Nothing was done; try again.')
  }
  return { ...(await toWebhook(runtime, outcome.webhook)), secret }
}

/** A re-keying that comes in between makes the secret be sealed again. */
async function withSecret<
  Outcome extends { readonly ok: true } | { readonly ok: false; readonly reason: string },
>(
  runtime: ControlRuntime,
  projectId: string,
  webhookId: string,
  store: (sealed: string) => Promise<Outcome>,
): Promise<{ outcome: Outcome; secret: string }> {
  const secret = mintWebhookSecret()
  const context = webhookSecretContext({ project_id: projectId, webhook_id: webhookId })
  const { outcome } = await sealForStorage(runtime, () => runtime.vault.seal(context, secret), store)
  return { outcome, secret }
}

/** Sends a test event, once. Raises `webhook_not_found`. */
export async function testWebhook(
  runtime: ControlRuntime,
  { project, id, origin }: Request,
  signal: AbortSignal,
): Promise<WebhookTested> {
  const row = await findWebhook(runtime, project, id)
  const { nowMs, actor, requestId } = origin
  const secrets = await openWebhookSecrets({ reader: runtime.db.reader, vault: runtime.vault }, id, nowMs)
  const event = {
    specversion: '1.0',
    id: `test-${requestId}`,
    source: `${runtime.consoleUrl}/projects/${project.id}`,
    type: 'berth.webhook.test',
    subject: row.name,
    time: toTimestamp(nowMs),
    datacontenttype: 'application/json',
    data: { project: { id: project.id, namespace: project.namespace }, actor, requestId },
  }
  const message = {
    id: `msg_test_${requestId}`,
    url: row.url,
    body: JSON.stringify(event),
    secrets,
    projectId: project.id,
  }
  const { result, status, error, response, durationMs } = await sendWebhook(runtime.outgoing, message, {
    nowMs,
    signal,
  })
  return { delivered: result === 'delivered', status, durationMs, error, response }
}

function newId(): string {
  const letters = Array.from({ length: ID_LENGTH }, () => ID_ALPHABET[randomInt(ID_ALPHABET.length)])
  return `wh_${letters.join('')}`
}

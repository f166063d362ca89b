import { z } from 'zod'
import { displayName, timestamp } from './fields.ts'
import {
  DEFAULT_OVERLAP_SECONDS,
  MAX_EVENT_PATTERNS,
  MAX_OVERLAP_SECONDS,
  MAX_WEBHOOK_URL_LENGTH,
} from './limits.ts'
import { pageOf, pageQuery } from './paging.ts'
import { projectParams } from './projects.ts'

const webhookId = z.string().regex(/^wh_[a-z0-9]{12}$/, 'must be the id of a webhook')

export const webhookParams = projectParams.extend({ webhook: webhookId.describe("The webhook's id.") })

export const deliveryParams = webhookParams.extend({
  delivery: z
    .string()
    .regex(/^msg_[\w-]{22}$/, 'must be the id of a delivery')
    .describe("The delivery's id, `webhook-id` of what was sent."),
})

const url = z
  .string()
  .max(MAX_WEBHOOK_URL_LENGTH)
  .superRefine((value, context) => {
    const problem = problemOfUrl(value)
    if (problem !== null) context.addIssue({ code: 'custom', message: problem })
  })
  .meta({ examples: ['https://ci.example/berth'] })
  .describe('Where events are sent to, by POST. `https`, unless the operator allows the host in plain HTTP.')

function problemOfUrl(value: string): string | null {
  const parsed = URL.parse(value)
  if (parsed === null || !['https:', 'http:'].includes(parsed.protocol)) return 'must be an https URL'
  if (parsed.username !== '' || parsed.password !== '') return 'must not hold a user name or password'
  return parsed.hash === '' ? null : 'must not have a fragment'
}

const events = z
  .array(
    z
      .string()
      .max(100)
      .regex(/^(?:\*|berth\.[a-z_.]*\*?)$/, 'must be a type such as berth.tag.pushed, or a beginning with *'),
  )
  .min(1)
  .max(MAX_EVENT_PATTERNS)
  .describe('Types of events: `berth.tag.pushed`, `berth.tag.*`, `*`.')

export const webhook = z
  .object({
    id: z.string(),
    name: z.string(),
    url: z.string(),
    events: z.array(z.string()),
    enabled: z.boolean(),
    disabledReason: z
      .enum(['manual', 'failing', 'gone', 'backlog'])
      .nullable()
      .describe(
        '`failing`: nothing could be delivered for three days. `gone`: the receiver answered 410. `backlog`: too many deliveries waited.',
      ),
    disabledAt: timestamp.nullable(),
    failingSince: timestamp
      .nullable()
      .describe('Since when no attempt has succeeded; null: the last one did.'),
    createdAt: timestamp,
    createdBy: z.string(),
    previousSecretEndsAt: timestamp
      .nullable()
      .describe('Until when deliveries are also signed with the secret before the last rotation.'),
  })
  .meta({ id: 'Webhook' })

export type Webhook = z.output<typeof webhook>

export const webhookPage = pageOf('WebhookPage', webhook)

export const webhookSecret = webhook
  .extend({
    secret: z.string().describe('Shown this one time: what the receiver checks signatures with (`whsec_…`).'),
  })
  .meta({ id: 'WebhookSecret' })

export type WebhookSecret = z.output<typeof webhookSecret>

export const webhookCreate = z
  .strictObject({ name: displayName, url, events: events.default(['*']) })
  .meta({ id: 'WebhookCreate' })

export const webhookUpdate = z
  .strictObject({
    name: displayName.optional(),
    url: url.optional(),
    events: events.optional(),
    enabled: z.boolean().optional().describe('True also makes what waits be sent.'),
  })
  .refine((update) => Object.values(update).some((value) => value !== undefined), 'must change something')
  .meta({ id: 'WebhookUpdate' })

export const webhookRotate = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(MAX_OVERLAP_SECONDS)
      .default(DEFAULT_OVERLAP_SECONDS)
      .describe('For how long deliveries carry a signature with the secret before, too.'),
  })
  .meta({ id: 'WebhookRotate' })

export const webhookDeleted = z.object({ id: z.string() }).meta({ id: 'WebhookDeleted' })

/** How one attempt went. */
const attemptFields = {
  status: z.int().nullable().describe('HTTP status of the answer; null: there was none.'),
  durationMs: z.int(),
  error: z.string().nullable().describe('Why it failed; null: it did not.'),
  response: z.string().nullable().describe("The beginning of the answer's body."),
}

export const webhookTested = z
  .object({ delivered: z.boolean(), ...attemptFields })
  .meta({ id: 'WebhookTested' })

export type WebhookTested = z.output<typeof webhookTested>

const delivery = z.object({
  id: z.string().describe('Also the `webhook-id` header, the same for each attempt.'),
  eventId: z.string().describe('The `id` of the CloudEvent and of the audit event.'),
  eventType: z.string(),
  state: z.enum(['waiting', 'delivered', 'failed']),
  attempts: z.int(),
  nextAttemptAt: timestamp.nullable(),
  createdAt: timestamp,
  finishedAt: timestamp.nullable(),
  lastStatus: z.int().nullable(),
  lastError: z.string().nullable(),
})

export const webhookDelivery = delivery.meta({ id: 'WebhookDelivery' })

export type WebhookDelivery = z.output<typeof webhookDelivery>

export const webhookDeliveryPage = pageOf('WebhookDeliveryPage', webhookDelivery)

export const webhookDeliveryQuery = pageQuery.extend({
  state: z.enum(['waiting', 'delivered', 'failed']).optional().describe('Only those in this state.'),
})

export const webhookDeliveryDetail = delivery
  .extend({
    event: z.record(z.string(), z.unknown()).describe('The CloudEvent as it is sent.'),
    log: z.array(z.object({ number: z.int(), at: timestamp, ...attemptFields })),
  })
  .meta({ id: 'WebhookDeliveryDetail' })

export type WebhookDeliveryDetail = z.output<typeof webhookDeliveryDetail>

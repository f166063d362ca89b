import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import type { WebhookDeliveryRow } from '../webhook-tables.ts'

/** A delivery with what is needed to send it. */
export type DueDelivery = WebhookDeliveryRow & {
  readonly url: string
  readonly project_id: string
}

export interface ClaimArgs {
  readonly nowMs: number
  /** When an attempt that was never reported counts as lost. */
  readonly untilMs: number
  readonly limit: number
  /** Attempts that may be under way at once to one webhook, and of one project. */
  readonly perWebhook: number
  readonly perProject: number
  /** The attempts that are. */
  readonly underWay: readonly Recipient[]
}

interface Recipient {
  readonly webhookId: string
  readonly projectId: string
}

/** Takes deliveries that are due, those that waited longest first, but only so many of one webhook and one project. */
export const claimDeliveries = defineCommand<ControlSchema, ClaimArgs, DueDelivery[]>(
  'webhook.claim',
  async (tx, args) => {
    const { nowMs, untilMs } = args
    const chosen = withinBounds(await listCandidates(tx, args), args)
    if (chosen.length === 0) return []
    const claimed = await tx
      .updateTable('webhook_delivery')
      .set((set) => ({ due_at: untilMs, attempts: set('attempts', '+', 1), tries: set('tries', '+', 1) }))
      .where(
        'id',
        'in',
        chosen.map(({ id }) => id),
      )
      .where('state', '=', 'waiting')
      .where('due_at', '<=', nowMs)
      .returningAll()
      .execute()
    return chosen.flatMap(({ id, url, projectId }) => {
      const delivery = claimed.find((row) => row.id === id)
      return delivery === undefined ? [] : [{ ...delivery, url, project_id: projectId }]
    })
  },
)

type Candidate = Recipient & { readonly id: string; readonly url: string }

/**
 * Deliveries that are due, those that waited longest first: of each webhook and project no more than may be under way
 * at all. What is under way shuts out so many at most, once by the webhook and once by the project, so the limit is
 * higher by that: a project with many that wait cannot push those of others out of the list.
 */
async function listCandidates(
  tx: Kysely<ControlSchema>,
  { nowMs, limit, perWebhook, perProject, underWay }: ClaimArgs,
): Promise<Candidate[]> {
  const ofWebhooks = tx
    .selectFrom('webhook_delivery')
    .innerJoin('webhook', 'webhook.id', 'webhook_delivery.webhook_id')
    .select(['webhook_delivery.id', 'webhook_delivery.due_at', 'webhook.url'])
    .select(['webhook.id as webhookId', 'webhook.project_id as projectId'])
    .select((select) =>
      select.fn
        .agg<number>('row_number')
        .over((over) =>
          over.partitionBy('webhook.id').orderBy('webhook_delivery.due_at').orderBy('webhook_delivery.id'),
        )
        .as('turn'),
    )
    .where('webhook_delivery.state', '=', 'waiting')
    .where('webhook_delivery.due_at', '<=', nowMs)
    .where('webhook.disabled_at', 'is', null)
    .as('of_webhooks')
  const ofProjects = tx
    .selectFrom(ofWebhooks)
    .select(['id', 'due_at', 'url', 'webhookId', 'projectId'])
    .select((select) =>
      select.fn
        .agg<number>('row_number')
        .over((over) => over.partitionBy('projectId').orderBy('due_at').orderBy('id'))
        .as('turn'),
    )
    .where('turn', '<=', perWebhook)
    .as('of_projects')
  return tx
    .selectFrom(ofProjects)
    .select(['id', 'url', 'webhookId', 'projectId'])
    .where('turn', '<=', perProject)
    .orderBy('due_at')
    .orderBy('id')
    .limit(limit + 2 * underWay.length)
    .execute()
}

function withinBounds(
  candidates: readonly Candidate[],
  { limit, perWebhook, perProject, underWay }: ClaimArgs,
): Candidate[] {
  const chosen: Candidate[] = []
  for (const candidate of candidates) {
    if (chosen.length === limit) break
    const busy = [...underWay, ...chosen]
    const ofWebhook = busy.filter(({ webhookId }) => webhookId === candidate.webhookId)
    const ofProject = busy.filter(({ projectId }) => projectId === candidate.projectId)
    if (ofWebhook.length < perWebhook && ofProject.length < perProject) chosen.push(candidate)
  }
  return chosen
}

/** Whether a delivery is due: a read, so that an idle database is not written to. */
export async function hasDueDeliveries(reader: Kysely<ControlSchema>, nowMs: number): Promise<boolean> {
  const query = reader
    .selectFrom('webhook_delivery')
    .innerJoin('webhook', 'webhook.id', 'webhook_delivery.webhook_id')
    .select('webhook_delivery.id')
    .where('webhook_delivery.state', '=', 'waiting')
    .where('webhook_delivery.due_at', '<=', nowMs)
    .where('webhook.disabled_at', 'is', null)
    .limit(1)
  return (await query.executeTakeFirst()) !== undefined
}

export const dueDeliveryCommands = [claimDeliveries]

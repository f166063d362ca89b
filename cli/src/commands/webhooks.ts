import type { Webhook, WebhookDelivery, WebhookDeliveryDetail, WebhookSecret } from '@berth/api/webhooks'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, listOption, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatRelative, parseSeconds } from '../format.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'

interface ChangeOptions {
  readonly name?: string
  readonly url?: string
  readonly events?: string[]
  readonly enable?: boolean
  readonly disable?: boolean
}

/** `webhooks …` */
export const defineWebhooks: Define = (parent, io) => {
  const webhooks = parent.command('webhooks').description("where a project's events are sent to")

  withListOptions(leaf(webhooks, 'list', "list a project's webhooks")).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const input = { params: { project: session.project() } }
      const page = await readList(session.client, 'webhooks.list', input, options)
      const none = 'There are no webhooks. Add one with: berth webhooks add <name> <url>'
      showList(session, page, webhookColumns(io.nowMs()), none)
    }),
  )

  leaf(webhooks, 'add <name> <url>', 'add a webhook; its signing secret is shown once')
    .addOption(listOption('--events <types>', 'such as "berth.tag.*,berth.api_key.created" (default: all)'))
    .action(
      withSession<ChangeOptions>(io, async (session, [name = '', url = ''], { events }) => {
        const params = { project: session.project() }
        const body = { name, url, ...(events === undefined ? {} : { events }) }
        const created = await session.client.call('webhooks.create', { params, body })
        showSecret(session, created, `Added the webhook "${created.name}" (${created.id}).`)
      }),
    )

  leaf(webhooks, 'show <id>', 'show a webhook, without its secret').action(
    withSession(io, async (session, [webhook = '']) => {
      const shown = await session.client.call('webhooks.show', { params: at(session, webhook) })
      show(session, shown, describeWebhook(io.nowMs()))
    }),
  )
  defineChanges(webhooks, io)
  defineDeliveries(webhooks, io)
}

const defineChanges: Define = (webhooks, io) => {
  leaf(webhooks, 'update <id>', 'change a webhook')
    .option('--name <name>', 'another name')
    .option('--url <url>', 'another address')
    .addOption(listOption('--events <types>', 'other types of events'))
    .option('--enable', 'send again, also what waits')
    .option('--disable', 'send nothing; what happens meanwhile is not sent later')
    .action(
      withSession<ChangeOptions>(io, async (session, [webhook = ''], options) => {
        const params = at(session, webhook)
        const changed = await session.client.call('webhooks.update', { params, body: changeOf(options) })
        show(session, changed, describeWebhook(io.nowMs()))
      }),
    )

  leaf(webhooks, 'remove <id>', 'remove a webhook with its log').action(
    withSession(io, async (session, [webhook = '']) => {
      const params = at(session, webhook)
      const { name } = await session.client.call('webhooks.show', { params })
      await confirmByName(
        session,
        `This removes the webhook "${name}" and what waits to be sent to it.`,
        name,
      )
      const removed = await session.client.call('webhooks.delete', { params })
      show(session, removed, () => [`Removed the webhook "${name}".`])
    }),
  )

  leaf(webhooks, 'rotate-secret <id>', 'give a webhook a new signing secret; it is shown once')
    .option('--overlap <duration>', 'how long both secrets sign, such as 12h (default: 1d)')
    .action(
      withSession<{ overlap?: string }>(io, async (session, [webhook = ''], { overlap }) => {
        const body = overlap === undefined ? {} : { overlapSeconds: secondsOf(overlap) }
        const rotated = await session.client.call('webhooks.rotateSecret', {
          params: at(session, webhook),
          body,
        })
        showSecret(session, rotated, `The webhook "${rotated.name}" has a new secret.`)
      }),
    )

  leaf(webhooks, 'test <id>', 'send a test event now').action(
    withSession(io, async (session, [webhook = '']) => {
      const tested = await session.client.call('webhooks.test', { params: at(session, webhook) })
      show(session, tested, ({ delivered, status, durationMs, error, response }) => [
        delivered ? `Delivered: ${status}, ${durationMs} ms.` : `Not delivered: ${error}`,
        ...(response === null || response === '' ? [] : [...fields([['Answer', response]])]),
      ])
      if (!tested.delivered) throw new CliError('failure', 'The receiver did not accept the test event.')
    }),
  )
}

const defineDeliveries: Define = (webhooks, io) => {
  withListOptions(leaf(webhooks, 'deliveries <id> [delivery]', 'list what was sent, or show one delivery'))
    .option('--state <state>', 'only "waiting", "delivered" or "failed"')
    .action(
      withSession<ListOptions & { state?: string }>(
        io,
        async (session, [webhook = '', delivery], options) => {
          const params = at(session, webhook)
          if (delivery !== undefined) {
            const shown = await session.client.call('webhookDeliveries.show', {
              params: { ...params, delivery },
            })
            return show(session, shown, describeDelivery(io.nowMs()))
          }
          const query = options.state === undefined ? {} : { state: parseState(options.state) }
          const page = await readList(session.client, 'webhookDeliveries.list', { params, query }, options)
          showList(session, page, deliveryColumns(io.nowMs()), 'Nothing was sent yet.')
        },
      ),
    )

  leaf(webhooks, 'redeliver <id> <delivery>', 'send a delivery again, with the same id').action(
    withSession(io, async (session, [webhook = '', delivery = '']) => {
      const params = { ...at(session, webhook), delivery }
      const again = await session.client.call('webhookDeliveries.redeliver', { params })
      show(session, again, ({ id }) => [`${id} is sent again.`])
    }),
  )
}

const at = (session: Session, webhook: string) => ({ project: session.project(), webhook })

function changeOf({ name, url, events, enable, disable }: ChangeOptions) {
  if (enable === true && disable === true) throw new CliError('usage', 'Choose --enable or --disable.')
  return {
    ...(name === undefined ? {} : { name }),
    ...(url === undefined ? {} : { url }),
    ...(events === undefined ? {} : { events }),
    ...(enable === true ? { enabled: true } : disable === true ? { enabled: false } : {}),
  }
}

/** The only place that prints a signing secret. */
function showSecret(session: Session, webhook: WebhookSecret, message: string): void {
  show(session, webhook, ({ secret }) => [
    message,
    '',
    `  ${secret}`,
    '',
    'It is not shown again. The receiver checks signatures with it (Standard Webhooks).',
  ])
}

function secondsOf(text: string): number {
  const seconds = parseSeconds(text)
  if (seconds === null)
    throw new CliError('usage', `--overlap "${text}" is not a duration such as 12h or 7d.`)
  return seconds
}

function parseState(text: string): WebhookDelivery['state'] {
  if (text === 'waiting' || text === 'delivered' || text === 'failed') return text
  throw new CliError('usage', `"${text}" is not a state: choose from waiting, delivered, failed.`)
}

function webhookColumns(nowMs: number) {
  return [
    { title: 'ID', value: (row: Webhook) => row.id },
    { title: 'NAME', value: (row: Webhook) => row.name, shrink: true },
    { title: 'STATE', value: stateOf },
    { title: 'EVENTS', value: (row: Webhook) => row.events.join(','), shrink: true },
    { title: 'URL', value: (row: Webhook) => row.url, shrink: true },
    { title: 'CREATED', value: (row: Webhook) => formatRelative(row.createdAt, nowMs) },
  ]
}

function stateOf(row: Webhook): string {
  if (row.enabled) return row.failingSince === null ? 'enabled' : 'failing'
  return `disabled (${row.disabledReason ?? 'manual'})`
}

function describeWebhook(nowMs: number): (webhook: Webhook) => string[] {
  return (webhook) =>
    fields([
      ['Id', webhook.id],
      ['Name', webhook.name],
      ['URL', webhook.url],
      ['Events', webhook.events.join(', ')],
      ['State', stateOf(webhook)],
      ...(webhook.failingSince === null
        ? []
        : ([['Failing since', formatRelative(webhook.failingSince, nowMs)]] as const)),
      ...(webhook.previousSecretEndsAt === null
        ? []
        : ([['Secret before', `ends ${formatRelative(webhook.previousSecretEndsAt, nowMs)}`]] as const)),
      ['Created', `${formatRelative(webhook.createdAt, nowMs)} by ${webhook.createdBy}`],
    ])
}

function deliveryColumns(nowMs: number) {
  return [
    { title: 'ID', value: (row: WebhookDelivery) => row.id },
    { title: 'WHEN', value: (row: WebhookDelivery) => formatRelative(row.createdAt, nowMs) },
    { title: 'EVENT', value: (row: WebhookDelivery) => row.eventType },
    { title: 'STATE', value: (row: WebhookDelivery) => row.state },
    { title: 'TRIES', value: (row: WebhookDelivery) => String(row.attempts), align: 'right' as const },
    {
      title: 'LAST',
      value: (row: WebhookDelivery) =>
        row.lastError ?? (row.lastStatus === null ? '' : String(row.lastStatus)),
      shrink: true,
    },
  ]
}

function describeDelivery(nowMs: number): (delivery: WebhookDeliveryDetail) => string[] {
  return (delivery) => [
    ...fields([
      ['Id', delivery.id],
      ['Event', `${delivery.eventType} (${delivery.eventId})`],
      ['State', delivery.state],
      ...(delivery.nextAttemptAt === null
        ? []
        : ([['Next attempt', formatRelative(delivery.nextAttemptAt, nowMs)]] as const)),
    ]),
    '',
    ...delivery.log.flatMap(({ number, at: moment, status, durationMs, error, response }) =>
      fields([
        [`Attempt ${number}`, `${formatRelative(moment, nowMs)}, ${status ?? 'no answer'}, ${durationMs} ms`],
        ...(error === null ? [] : ([['Error', error]] as const)),
        ...(response === null || response === '' ? [] : ([['Answer', response]] as const)),
      ]),
    ),
    '',
    ...JSON.stringify(delivery.event, null, 2).split('\n'),
  ]
}

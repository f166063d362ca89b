import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import type { WebhookSecret } from '@berth/api/webhooks'
import { Webhook } from 'standardwebhooks'
import { sealControlEvents, sealRegionEvents } from '../../metastore/seal-audit.ts'
import { claimDeliveries } from '../../metastore/queries/due-delivery.ts'
import { enqueueDeliveries } from '../../metastore/queries/webhook-delivery.ts'
import { loadProject } from '../../metastore/queries/project.ts'
import { projectKeyStore } from '../../metastore/queries/project-key.ts'
import { pruneWebhookSecrets } from '../../metastore/queries/webhook.ts'
import {
  createWebhookDispatcher,
  pruneWebhookDeliveries,
  type WebhookDispatcher,
} from '../../webhooks/dispatcher.ts'
import type { TestConsole } from '../../../../test/support/console/stack.ts'
import { pushImage, pushIndex } from '../../../../test/support/console/content.ts'
import type { RootKey } from '../../vault/root-key.ts'
import { nameRootKey } from '../../vault/root-keys.ts'
import { createVault } from '../../vault/vault.ts'
import { createWebhook } from './service.ts'
import { openTestReceiver, type TestReceiver } from './test-receiver.ts'

const DAY_MS = 86_400_000

/** Webhooks through the console and the dispatcher: the same on every metadata database. */
export function describeWebhooks(name: string, open: () => Promise<TestConsole>): void {
  describe(`webhooks on ${name}`, () => {
    let opened: TestConsole
    let receiver: TestReceiver
    let dispatcher: WebhookDispatcher
    let projectId: string
    let aheadMs = 0
    const PROJECT = { project: 'hooked' }

    before(async () => {
      opened = await open()
      receiver = await openTestReceiver()
      opened.allowOutgoing(receiver.origin)
      const project = await opened.client.call('projects.create', {
        body: { name: 'Hooked', namespace: 'hooked' },
      })
      projectId = project.id
      dispatcher = openDispatcher()
      await round()
    })
    beforeEach(() => {
      receiver.received.length = 0
      receiver.answer = (response) => void response.writeHead(204).end()
    })
    after(async () => {
      await dispatcher.close()
      await receiver.close()
      await opened.close()
    })

    function openDispatcher(): WebhookDispatcher {
      const { db, vault, outgoing, log, consoleUrl, regions } = opened.runtime
      const sources = [
        { name: 'control', db },
        ...[...regions.values()].map(({ region, db: regionDb }) => ({ name: region.id, db: regionDb })),
      ]
      return createWebhookDispatcher({
        db,
        sources,
        vault,
        outgoing,
        consoleUrl,
        log,
        nowMs: async () => (await db.nowMs()) + aheadMs,
        random: () => 0,
      })
    }

    /** What the jobs of the server do, once. */
    async function round(): Promise<void> {
      await sealControlEvents(opened.runtime.db)
      for (const { db } of opened.runtime.regions.values()) await sealRegionEvents(db)
      await dispatcher.run(new AbortController().signal)
      await dispatcher.settle()
    }

    async function addWebhook(events: string[], more: { url?: string } = {}): Promise<WebhookSecret> {
      const body = { name: `for ${events.join(' ')}`, url: receiver.url, events, ...more }
      return opened.client.call('webhooks.create', { params: PROJECT, body })
    }

    async function remove({ id }: { readonly id: string }): Promise<void> {
      await opened.client.call('webhooks.delete', { params: { ...PROJECT, webhook: id } })
    }

    const inWebhook = ({ id }: { readonly id: string }) => ({ ...PROJECT, webhook: id })

    async function deliveries(webhook: { readonly id: string }) {
      const page = await opened.client.call('webhookDeliveries.list', { params: inWebhook(webhook) })
      return OPERATIONS['webhookDeliveries.list'].response.parse(page).items
    }

    async function createKey(label: string): Promise<void> {
      await opened.client.call('apiKeys.create', { params: PROJECT, body: { name: label } })
    }

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => error instanceof ApiError && error.code === code
    }

    test('a process that cannot use the key of the project says so, and keeps no webhook', async () => {
      const { db } = opened.runtime
      await opened.client.call('projects.create', { body: { name: 'Keyless', namespace: 'keyless' } })
      const project = await loadProject(db.reader, 'keyless')
      assert.ok(project !== null)
      const other = nameRootKey(new Uint8Array(32).fill(7) as RootKey)
      const vault = createVault({ roots: { current: other, previous: null }, keys: projectKeyStore(db) })
      const request = { name: 'none', url: receiver.url, events: ['berth.tag.*'] }
      const origin = { actor: 'test', requestId: 'keyless', nowMs: await db.nowMs() }
      const made = createWebhook({ ...opened.runtime, vault }, project, request, origin)
      await assert.rejects(made, fails('unavailable'))
      const { items } = await opened.client.call('webhooks.list', { params: { project: 'keyless' } })
      assert.deepEqual(items, [])
    })

    test('sends events of the console and of each region as signed CloudEvents', async () => {
      const webhook = await addWebhook(['berth.tag.*', 'berth.api_key.created'])
      assert.match(webhook.secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
      await createKey('ci')
      for (const region of [opened.near.control, opened.far.control]) {
        await pushImage({ region, projectId, path: 'web' }, { tags: ['v1'], layers: [] })
        await pushImage({ region, projectId, path: 'web' }, { tags: [], layers: [] })
      }
      await round()
      const events = receiver.received.map(({ body, headers }) => {
        // The reference library checks the signature and the age.
        const event = new Webhook(webhook.secret).verify(body, headers as Record<string, string>)
        assert.equal(headers['content-type'], 'application/cloudevents+json; charset=utf-8')
        return event as { type: string; specversion: string; id: string; data: { region: string | null } }
      })
      assert.deepEqual(events.map(({ type, data }) => `${type} ${data.region}`).sort(), [
        'berth.api_key.created null',
        'berth.tag.pushed far',
        'berth.tag.pushed near',
      ])
      assert.ok(events.every(({ specversion }) => specversion === '1.0'))
      assert.equal(new Set(events.map(({ id }) => id)).size, 3)
      const audited = await opened.client.call('auditEvents.list', { params: PROJECT, query: { limit: 500 } })
      for (const { id } of events) assert.ok(audited.items.some((event) => event.id === id))
      // Read again, nothing is sent again.
      await round()
      assert.equal(receiver.received.length, 3)
      assert.ok((await deliveries(webhook)).every(({ state }) => state === 'delivered'))
      // The secret was shown once and is nowhere.
      const texts = [
        await opened.client.call('webhooks.show', { params: inWebhook(webhook) }),
        audited,
        await opened.runtime.db.reader.selectFrom('webhook_secret').selectAll().execute(),
        opened.logged(),
      ]
      assert.equal(JSON.stringify(texts).includes(webhook.secret.slice(6)), false)
      await remove(webhook)
    })

    test('tells nobody of what happened before, of other projects, or of what was undone', async () => {
      await createKey('before')
      const webhook = await addWebhook(['*'])
      await round()
      receiver.received.length = 0
      await opened.client.call('projects.create', { body: { name: 'Elsewhere' } })
      // A push that comes to nothing, because what it names is not there.
      const target = { region: opened.near.control, projectId, path: 'broken' }
      const missing = { digest: `sha256:${'0'.repeat(64)}`, sizeBytes: 1, layerDigests: [] }
      await assert.rejects(pushIndex(target, [missing], ['v1']))
      await round()
      assert.deepEqual(
        receiver.received.map(({ body }) => (JSON.parse(body) as { type: string }).type),
        [],
      )
      await remove(webhook)
    })

    test('tries again with pauses that grow, and gives up after three days', async () => {
      const webhook = await addWebhook(['berth.api_key.created'])
      receiver.answer = (response) => void response.writeHead(500).end('not \u0007today')
      await createKey('retried')
      const pauses: number[] = []
      for (let attempt = 1; attempt <= 10; attempt += 1) {
        await round()
        assert.equal(receiver.received.length, attempt)
        const [delivery] = await deliveries(webhook)
        assert.ok(delivery !== undefined)
        if (delivery.nextAttemptAt === null) break
        const pauseMs = Date.parse(delivery.nextAttemptAt) - ((await opened.runtime.db.nowMs()) + aheadMs)
        pauses.push(Math.round(pauseMs / 1000))
        // Nothing happens before its time.
        await round()
        assert.equal(receiver.received.length, attempt)
        aheadMs += pauseMs + 1_000
      }
      const total = pauses.reduce((sum, pause) => sum + pause, 0)
      assert.ok(Math.abs(total - 3 * 86_400) < 6 * 3600, `${pauses.join(' ')} s`)
      assert.deepEqual(
        pauses.toSorted((a, b) => a - b),
        pauses,
      )
      // One message, however often it is sent.
      assert.equal(new Set(receiver.received.map(({ id }) => id)).size, 1)
      const [delivery] = await deliveries(webhook)
      assert.equal(delivery?.state, 'failed')
      const params = { ...inWebhook(webhook), delivery: delivery.id }
      const detail = await opened.client.call('webhookDeliveries.show', { params })
      assert.equal(detail.log.length, 10)
      assert.equal(detail.log[0]?.response, 'not \uFFFDtoday')
      assert.equal(detail.log[0]?.status, 500)
      await remove(webhook)
    })

    test('is disabled when nothing was delivered for days, which is an event itself', async () => {
      const failing = await addWebhook(['berth.api_key.*'])
      receiver.answer = (response, { body }) =>
        void response.writeHead(body.includes('"api_key.create"') ? 503 : 204).end()
      const watching = await addWebhook(['berth.webhook.disabled'])
      await createKey('doomed')
      for (let attempt = 1; attempt <= 12; attempt += 1) {
        await round()
        aheadMs += DAY_MS
      }
      await round()
      const shown = await opened.client.call('webhooks.show', { params: inWebhook(failing) })
      assert.equal(shown.enabled, false)
      assert.equal(shown.disabledReason, 'failing')
      const last = receiver.received.at(-1)
      const event = JSON.parse(last?.body ?? '{}') as { type: string; data: { detail: { reason: string } } }
      assert.equal(event.type, 'berth.webhook.disabled')
      assert.equal(event.data.detail.reason, 'failing')
      // Enabled again, it gets what happens from then on, and what is asked for.
      receiver.answer = (response) => void response.writeHead(204).end()
      await opened.client.call('webhooks.update', { params: inWebhook(failing), body: { enabled: true } })
      const [delivery] = await deliveries(failing)
      assert.ok(delivery !== undefined)
      const params = { ...inWebhook(failing), delivery: delivery.id }
      await opened.client.call('webhookDeliveries.redeliver', { params })
      await round()
      assert.equal((await deliveries(failing))[0]?.state, 'delivered')
      assert.equal(receiver.received.at(-1)?.id, delivery.id)
      await remove(failing)
      await remove(watching)
    })

    test('is disabled at once by 410, and waits when it is asked to', async () => {
      const webhook = await addWebhook(['berth.api_key.created'])
      receiver.answer = (response) => void response.writeHead(429, { 'Retry-After': '7200' }).end()
      await createKey('slower')
      await round()
      const [waiting] = await deliveries(webhook)
      const waitMs = Date.parse(waiting?.nextAttemptAt ?? '') - ((await opened.runtime.db.nowMs()) + aheadMs)
      assert.ok(Math.abs(waitMs - 7_200_000) < 60_000, `${waitMs} ms`)
      receiver.answer = (response) => void response.writeHead(410).end()
      aheadMs += 7_300_000
      await round()
      const shown = await opened.client.call('webhooks.show', { params: inWebhook(webhook) })
      assert.equal(shown.disabledReason, 'gone')
      await remove(webhook)
    })

    test('follows no redirect, and reaches no address that the operator does not allow', async () => {
      const target = await openTestReceiver()
      opened.allowOutgoing(target.origin)
      const webhook = await addWebhook(['berth.api_key.created'])
      receiver.answer = (response) => void response.writeHead(307, { Location: target.url }).end()
      const tested = await opened.client.call('webhooks.test', { params: inWebhook(webhook) })
      assert.equal(tested.delivered, false)
      assert.equal(tested.status, 307)
      assert.match(tested.error ?? '', /redirects are not followed/)
      assert.equal(target.received.length, 0)
      await target.close()

      for (const url of [
        'https://127.0.0.1:1/',
        'https://169.254.169.254/',
        'https://[::1]/',
        'https://10.0.0.1/',
      ]) {
        const inside = await addWebhook(['berth.api_key.created'], { url })
        const outcome = await opened.client.call('webhooks.test', { params: inWebhook(inside) })
        assert.equal(outcome.delivered, false, url)
        assert.equal(outcome.status, null, url)
        await remove(inside)
      }
      await assert.rejects(addWebhook(['*'], { url: 'http://example.com/' }), fails('validation_failed'))
      await assert.rejects(addWebhook(['*'], { url: 'https://a:b@example.com/' }), fails('validation_failed'))
      await assert.rejects(addWebhook(['push']), fails('validation_failed'))
      await remove(webhook)
    })

    test('signs with both secrets during a rotation, and then with the new one alone', async () => {
      const webhook = await addWebhook(['berth.api_key.created'])
      const body = { overlapSeconds: 3600 }
      const rotated = await opened.client.call('webhooks.rotateSecret', { params: inWebhook(webhook), body })
      assert.notEqual(rotated.secret, webhook.secret)
      assert.notEqual(rotated.previousSecretEndsAt, null)
      const verifies = async (secret: string): Promise<boolean> => {
        receiver.received.length = 0
        await opened.client.call('webhooks.test', { params: inWebhook(webhook) })
        const [message] = receiver.received
        assert.ok(message !== undefined)
        const headers = { ...message.headers } as Record<string, string>
        // The library has no clock of its own to set: it is told the time of the test.
        const signed = new Webhook(secret).sign(
          message.id,
          new Date(Number(headers['webhook-timestamp']) * 1000),
          message.body,
        )
        return (headers['webhook-signature'] ?? '').split(' ').includes(signed)
      }
      assert.deepEqual([await verifies(rotated.secret), await verifies(webhook.secret)], [true, true])
      opened.advance(3_601_000)
      assert.deepEqual([await verifies(rotated.secret), await verifies(webhook.secret)], [true, false])
      opened.advance(-3_601_000)
      await remove(webhook)
    })

    test('goes on after a process that died between commit and delivery, or in the middle of one', async () => {
      const webhook = await addWebhook(['berth.api_key.created'])
      await createKey('survivor')
      await sealControlEvents(opened.runtime.db)
      // The process is gone before it has looked; another one takes over when the lease has ended.
      const reached = new Promise<void>((resolve) => {
        receiver.answer = () => resolve()
      })
      await dispatcher.run(new AbortController().signal)
      await reached
      await dispatcher.close()
      receiver.answer = (response) => void response.writeHead(204).end()
      dispatcher = openDispatcher()
      await round()
      assert.equal((await deliveries(webhook))[0]?.state, 'waiting')
      aheadMs += 61_000
      await round()
      assert.equal((await deliveries(webhook))[0]?.state, 'delivered')
      assert.equal(new Set(receiver.received.map(({ id }) => id)).size, 1)
      await remove(webhook)
    })

    test('is sent to by one process at a time', async () => {
      const other = openDispatcher()
      const webhook = await addWebhook(['berth.api_key.created'])
      await createKey('once')
      await sealControlEvents(opened.runtime.db)
      const { signal } = new AbortController()
      await Promise.all([dispatcher.run(signal), other.run(signal)])
      await Promise.all([dispatcher.settle(), other.settle()])
      assert.equal(receiver.received.length, 1)
      await other.close()
      await remove(webhook)
    })

    test('a project whose receivers all hang holds up no other project', async () => {
      const slow = await openTestReceiver()
      opened.allowOutgoing(slow.origin)
      let release = (): void => undefined
      const held = new Promise<void>((resolve) => {
        release = resolve
      })
      slow.answer = (response) => void held.then(() => response.writeHead(204).end())
      const hanging: WebhookSecret[] = []
      for (let i = 0; i < 9; i += 1) {
        hanging.push(await addWebhook(['berth.api_key.created'], { url: slow.url }))
      }
      const params = { project: 'beside' }
      await opened.client.call('projects.create', { body: { name: 'Beside', namespace: 'beside' } })
      const body = { name: 'quick', url: receiver.url, events: ['berth.api_key.created'] }
      const quick = await opened.client.call('webhooks.create', { params, body })
      for (let i = 0; i < 4; i += 1) await createKey(`crowd-${i}`)
      await opened.client.call('apiKeys.create', { params, body: { name: 'beside' } })
      await sealControlEvents(opened.runtime.db)
      const { signal } = new AbortController()
      for (let rounds = 0; rounds < 1_000 && receiver.received.length === 0; rounds += 1) {
        await dispatcher.run(signal)
      }
      assert.equal(receiver.received.length, 1)
      assert.ok(slow.received.length <= 8, `${slow.received.length} under way`)
      release()
      await dispatcher.settle()
      await slow.close()
      for (const each of hanging) await remove(each)
      await opened.client.call('webhooks.delete', { params: { ...params, webhook: quick.id } })
    })

    test('what waited longest is sent first, whatever is under way', async () => {
      const webhooks = [await addWebhook(['berth.never']), await addWebhook(['berth.never'])]
      const [first, second] = webhooks.map(({ id }) => id).toSorted() as [string, string]
      const { db } = opened.runtime
      const enqueue = (from: number | null, webhookId: string, id: string, nowMs: number) =>
        db.run(enqueueDeliveries, {
          source: `order of ${name}`,
          from,
          to: nowMs,
          deliveries: [{ id, webhookId, eventId: id, eventType: 'berth.never', body: '{}' }],
          mostWaiting: 10,
          nowMs,
        })
      await enqueue(null, first, 'order-late', 3_000)
      await enqueue(3_000, second, 'order-early', 1_000)
      await enqueue(1_000, second, 'order-middle', 2_000)
      const claim = async (underWay: { webhookId: string; projectId: string }[]) => {
        const bounds = { limit: 1, perWebhook: 2, perProject: 3 }
        const taken = await db.run(claimDeliveries, { nowMs: 4_000, untilMs: 5_000, ...bounds, underWay })
        return taken.map(({ id }) => id)
      }
      const busy = { webhookId: second, projectId }
      assert.deepEqual(await claim([busy, busy, { ...busy, webhookId: first }]), [])
      assert.deepEqual(await claim([]), ['order-early'])
      assert.deepEqual(await claim([busy, busy]), ['order-late'])
      assert.deepEqual(await claim([busy]), ['order-middle'])
      for (const each of webhooks) await remove(each)
    })

    test('a replaced secret is removed when its overlap has ended, and a project takes its webhooks along', async () => {
      const { db } = opened.runtime
      const params = { project: 'brief' }
      const project = await opened.client.call('projects.create', {
        body: { name: 'Brief', namespace: 'brief' },
      })
      const body = { name: 'all', url: receiver.url, events: ['berth.api_key.created'] }
      const { id } = await opened.client.call('webhooks.create', { params, body })
      const overlapSeconds = 3600
      const rotation = { params: { ...params, webhook: id }, body: { overlapSeconds } }
      await opened.client.call('webhooks.rotateSecret', rotation)
      const secrets = () =>
        db.reader.selectFrom('webhook_secret').select('id').where('webhook_id', '=', id).execute()
      const nowMs = await db.nowMs()
      await db.run(pruneWebhookSecrets, { nowMs })
      assert.equal((await secrets()).length, 2)
      const ahead = { ...db, reader: db.reader, run: db.run.bind(db), nowMs: async () => nowMs + 3_700_000 }
      await pruneWebhookDeliveries(ahead, new AbortController().signal)
      assert.equal((await secrets()).length, 1)

      await opened.client.call('apiKeys.create', { params, body: { name: 'x' } })
      await round()
      const [delivery] = await db.reader
        .selectFrom('webhook_delivery')
        .select('id')
        .where('webhook_id', '=', id)
        .execute()
      assert.ok(delivery !== undefined)
      await opened.client.call('projects.delete', { params, query: { confirm: 'brief' } })
      const { reader } = db
      const left = [
        await reader.selectFrom('webhook').selectAll().where('project_id', '=', project.id).execute(),
        await secrets(),
        await reader.selectFrom('webhook_delivery').selectAll().where('webhook_id', '=', id).execute(),
        await reader
          .selectFrom('webhook_attempt')
          .selectAll()
          .where('delivery_id', '=', delivery.id)
          .execute(),
      ]
      assert.deepEqual(left, [[], [], [], []])
    })

    test('a slow receiver holds up no other', async () => {
      const slow = await openTestReceiver()
      opened.allowOutgoing(slow.origin)
      let release = (): void => undefined
      const held = new Promise<void>((resolve) => {
        release = resolve
      })
      slow.answer = (response) => void held.then(() => response.writeHead(204).end())
      const hanging = await addWebhook(['berth.api_key.created'], { url: slow.url })
      const quick = await addWebhook(['berth.api_key.created'])
      for (let i = 0; i < 10; i += 1) await createKey(`many-${i}`)
      await sealControlEvents(opened.runtime.db)
      const { signal } = new AbortController()
      const isDone = async () =>
        (await deliveries(quick)).filter(({ state }) => state === 'delivered').length === 10
      for (let rounds = 0; rounds < 1_000 && !(await isDone()); rounds += 1) await dispatcher.run(signal)
      assert.equal(await isDone(), true)
      assert.ok(slow.received.length <= 4)
      release()
      await dispatcher.settle()
      await slow.close()
      await remove(hanging)
      await remove(quick)
    })
  })
}

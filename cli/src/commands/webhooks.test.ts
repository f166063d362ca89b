import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { openTestReceiver, type TestReceiver } from '../../../server/src/control/webhooks/test-receiver.ts'
import { sealControlEvents } from '../../../server/src/metastore/seal-audit.ts'
import { createWebhookDispatcher, type WebhookDispatcher } from '../../../server/src/webhooks/dispatcher.ts'
import { OPERATOR_TOKEN, openTestConsole, type TestConsole } from '../../../test/support/console/stack.ts'
import type { Io } from '../io.ts'
import { run } from '../run.ts'

const PROJECT = { project: 'acme' }
let opened: TestConsole
let receiver: TestReceiver
let dispatcher: WebhookDispatcher

before(async () => {
  opened = await openTestConsole()
  receiver = await openTestReceiver()
  opened.allowOutgoing(receiver.origin)
  await opened.client.call('projects.create', { body: { name: 'Acme', namespace: 'acme' } })
  const { db, vault, outgoing, log, consoleUrl } = opened.runtime
  dispatcher = createWebhookDispatcher({
    db,
    sources: [{ name: 'control', db }],
    vault,
    outgoing,
    consoleUrl,
    log,
    nowMs: () => db.nowMs(),
    random: () => 0,
  })
  await deliver()
})
after(async () => {
  await dispatcher.close()
  await receiver.close()
  await opened.close()
})

/** What the jobs of the server do, once. */
async function deliver(): Promise<void> {
  await sealControlEvents(opened.runtime.db)
  await dispatcher.run(new AbortController().signal)
  await dispatcher.settle()
}

async function berth(
  args: readonly string[],
  token = OPERATOR_TOKEN,
  columns: number | null = null,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err] = [text(stdout), text(stderr)]
  if (columns !== null) Object.assign(stdout, { isTTY: true, columns })
  const code = await run(args, {
    stdin: Readable.from([]) as unknown as Io['stdin'],
    stdout: stdout as unknown as Io['stdout'],
    stderr: stderr as unknown as Io['stderr'],
    env: {
      BERTH_CONSOLE_URL: opened.baseUrl,
      BERTH_TOKEN: token,
      BERTH_PROJECT: 'acme',
      XDG_CONFIG_HOME: '/nonexistent',
    },
    nowMs: () => Date.now(),
  })
  stdout.end()
  stderr.end()
  return { code, stdout: await out, stderr: await err }
}

async function ok(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await berth(args)
  assert.equal(code, 0, `berth ${args.join(' ')}\n${stdout}\n${stderr}`)
  return stdout
}

test('a webhook is added, listed, shown, changed, given a new secret and removed', async () => {
  assert.match((await berth(['webhooks', 'list'])).stderr, /There are no webhooks/)
  const types = 'berth.tag.*,berth.api_key.created'
  const added = await ok(['webhooks', 'add', 'ci', receiver.url, '--events', types])
  const id = /^Added the webhook "ci" \((\w+)\)\./.exec(added)?.[1] ?? ''
  const secret = /^ {2}(whsec_\S+)$/m.exec(added)?.[1] ?? 'none'
  assert.match(
    await ok(['webhooks', 'list']),
    new RegExp(`${id} +ci +enabled +${types.replace('*', '\\*')} +http`),
  )
  const shown = await ok(['webhooks', 'show', id])
  assert.match(shown, /Events: +berth\.tag\.\*, berth\.api_key\.created\nState: +enabled\n/)
  assert.equal(shown.includes(secret), false)
  const updated = await ok(['webhooks', 'update', id, '--name', 'deploy', '--disable'])
  assert.match(updated, /Name: +deploy\n(.*\n)*State: +disabled \(manual\)/)
  assert.match(await ok(['webhooks', 'update', id, '--enable']), /State: +enabled/)
  assert.equal((await berth(['webhooks', 'update', id, '--enable', '--disable'])).code, 2)
  const rotated = await ok(['webhooks', 'rotate-secret', id, '--overlap', '2h'])
  assert.match(rotated, /^The webhook "deploy" has a new secret\.\n\n {2}whsec_/)
  assert.equal(rotated.includes(secret), false)
  assert.match(await ok(['webhooks', 'show', id]), /Secret before: +ends in 2 hours/)
  assert.equal((await berth(['webhooks', 'rotate-secret', id, '--overlap', 'soon'])).code, 2)
  assert.equal((await berth(['webhooks', 'remove', id])).code, 2)
  assert.equal(await ok(['webhooks', 'remove', id, '--yes']), 'Removed the webhook "deploy".\n')
  assert.equal((await berth(['webhooks', 'show', id])).code, 3)
})

test('a webhook is tested, and what was sent is listed, shown and sent again', async () => {
  const added = JSON.parse(
    await ok(['webhooks', 'add', 'log', receiver.url, '--events', 'berth.api_key.*', '--json']),
  ) as { id: string }
  assert.match(await ok(['webhooks', 'test', added.id]), /^Delivered: 204, \d+ ms\.\n/)
  receiver.answer = (response) => void response.writeHead(500).end('out of order')
  const refused = await berth(['webhooks', 'test', added.id])
  assert.equal(refused.code, 1)
  assert.match(refused.stdout, /^Not delivered: .*\nAnswer: +out of order/)
  receiver.answer = (response) => void response.writeHead(204).end()
  assert.match((await berth(['webhooks', 'deliveries', added.id])).stderr, /Nothing was sent yet/)
  await opened.client.call('apiKeys.create', { params: PROJECT, body: { name: 'ci' } })
  receiver.received.length = 0
  await deliver()
  const list = await ok(['webhooks', 'deliveries', added.id, '--state', 'delivered'])
  const delivery = /^(msg_\S+) .*berth\.api_key\.created +delivered +1 +204$/m.exec(list)?.[1] ?? ''
  assert.notEqual(delivery, '', list)
  for (const columns of [80, 60]) {
    const narrow = await berth(['webhooks', 'deliveries', added.id], OPERATOR_TOKEN, columns)
    assert.ok(narrow.stdout.includes(delivery), narrow.stdout)
  }
  const shown = await ok(['webhooks', 'deliveries', added.id, delivery])
  assert.match(
    shown,
    /State: +delivered\n(.*\n)*Attempt 1: +.*, 204, \d+ ms\n(.*\n)* {2}"specversion": "1\.0"/,
  )
  assert.equal(await ok(['webhooks', 'redeliver', added.id, delivery]), `${delivery} is sent again.\n`)
  await deliver()
  assert.deepEqual(
    receiver.received.map(({ id }) => id),
    [delivery, delivery],
  )
  assert.equal((await berth(['webhooks', 'deliveries', added.id, '--state', 'lost'])).code, 2)
})

test('a refusal is explained by its request id', async () => {
  const denied = await berth(['projects', 'list'], 'berth-operator-of-nobody')
  assert.equal(denied.code, 4)
  const requestId = /request id: (\S+)/.exec(denied.stderr)?.[1] ?? ''
  const explained = await ok(['explain', requestId])
  assert.match(explained, /^\S.*\.\n/)
  assert.match(explained, /Rule: +credential_invalid\nAnswer: +401 /)
  assert.equal((await berth(['explain', 'ffffffff-0000'])).code, 3)
})

test('audit export writes a line for each event, and counts them beside it', async () => {
  const { code, stdout, stderr } = await berth(['audit', 'export', '--action', 'webhook'])
  assert.equal(code, 0, stderr)
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { id: string; action: string; at: string })
  assert.ok(events.length >= 3)
  assert.ok(events.every(({ action }) => action.startsWith('webhook.')))
  assert.deepEqual(
    events.map(({ at }) => at),
    events.map(({ at }) => at).toSorted(),
  )
  assert.equal(stderr, `${events.length} events.\n`)
  const none = await berth(['audit', 'export', '--actor', 'nobody'])
  assert.deepEqual([none.code, none.stdout, none.stderr], [0, '', '0 events.\n'])
  assert.equal((await berth(['audit', 'export', '--since', 'lately'])).code, 2)
})

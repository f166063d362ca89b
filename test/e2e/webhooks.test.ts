// @tier full
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { startBerth } from '../support/berth.ts'

/*
 * Nothing that was acknowledged is lost for webhooks when the server is killed outright: neither between the commit of a
 * change and its delivery, nor while a delivery is under way.
 */

interface Message {
  readonly id: string
  readonly body: string
  readonly headers: Record<string, string>
}

test('events survive kill -9 between commit and delivery', async (t) => {
  let isUp = false
  const accepted: Message[] = []
  let wake = (): void => undefined
  const receiver = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      // While it is down it takes the message and never answers.
      if (!isUp) return
      const headers = request.headers as Record<string, string>
      accepted.push({
        id: headers['webhook-id'] ?? '',
        body: Buffer.concat(chunks).toString('utf8'),
        headers,
      })
      response.writeHead(204).end()
      wake()
    })
  })
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    receiver.closeAllConnections()
    receiver.close()
  })
  const origin = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
  await using berth = await startBerth({ test: t, env: { BERTH_OUTGOING_ALLOW: origin } })
  const project = await berth.createProject('hooked')
  const created = await berth.api('POST', `/projects/${project.id}/webhooks`, {
    name: 'receiver',
    url: `${origin}/`,
    events: ['berth.api_key.created'],
  })
  assert.equal(created.status, 201, JSON.stringify(created.body))
  const { secret } = created.body as { secret: string }

  const names: string[] = []
  for (let round = 0; round < 3; round += 1) {
    names.push(`key-${round}`)
    await berth.createKey(project.id, { name: `key-${round}` })
    await berth.kill9()
    if (round === 2) isUp = true
    await berth.restart()
  }
  const seen = () =>
    new Set(
      accepted.map(
        ({ body }) => (JSON.parse(body) as { data: { detail: { name: string } } }).data.detail.name,
      ),
    )
  while (seen().size < names.length) {
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  assert.deepEqual([...seen()].sort(), names)
  for (const { body, headers } of accepted) new Webhook(secret).verify(body, headers)

  const verified = await berth.cli(['audit', 'verify', '--all-projects'], {
    env: { BERTH_CONSOLE_URL: berth.consoleUrl, BERTH_TOKEN: berth.operatorToken },
  })
  assert.equal(verified.code, 0, verified.stdout + verified.stderr)
  assert.match(verified.stdout, /every one is as it was written/)
})

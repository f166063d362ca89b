// @tier full
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Berth, type BerthOptions, type KeyAnswer, startBerth } from '../support/berth.ts'
import { seededBytes } from '../support/images.ts'
import { portAnswers, waitFor } from '../support/process.ts'
import { fetchTokens, startRawUpload } from '../support/raw-client.ts'

/*
 * Uploads and downloads that last longer than the tokens or the process that they began with.
 */

const mib = 1024 * 1024
const repository = 'acme/long'
const tokenTtlMs = 60_000
/** Beyond the token's lifetime and the minute that clocks may differ by. */
const jumpMs = 10 * 60_000
const clockJump = join(import.meta.dirname, '..', 'support', 'clock-jump.ts')

test('an upload goes on with a token that expires in the middle, and nothing else does', async (t) => {
  const { berth } = await start(t, {
    nodeArguments: ['--import', clockJump],
    env: { BERTH_TOKEN_TTL: `${tokenTtlMs / 1000}s`, BERTH_TEST_CLOCK_JUMP_MS: String(jumpMs) },
  })
  const { project, key } = await tenant(berth)
  const scope = `repository:${repository}:pull,push`
  const { authorization } = await fetchTokens(berth.registryUrl, key.authorization, { scope })
  const content = seededBytes('long upload', 3 * mib)
  const upload = await startRawUpload(berth.registryUrl, repository, authorization)
  assert.equal(await upload.patch(0, content.subarray(0, mib), authorization), 202)

  const patch = upload.openPatch(mib, mib, authorization)
  await patch.wanted
  await patch.send(content.subarray(mib, mib + mib / 2))
  process.kill(berth.pid, 'SIGUSR2')
  const tags = `${berth.registryUrl}/v2/${repository}/tags/list`
  await waitFor('the token to be expired', async () => (await statusOf(tags, authorization)) === 401)
  await patch.send(content.subarray(mib + mib / 2, 2 * mib))
  assert.equal(await patch.end(), 202)

  const uploads = `${berth.registryUrl}/v2/${repository}/blobs/uploads/`
  assert.equal(await statusOf(uploads, authorization, 'POST'), 401)
  assert.deepEqual(await upload.status(authorization), { status: 204, offsetBytes: 2 * mib })
  assert.equal(await upload.patch(2 * mib, content.subarray(2 * mib), authorization), 202)
  const digest = digestOf(content)
  assert.equal(await upload.finish(digest, authorization), 201)
  await assertBlob(berth, key, digest, content)

  // Revoked, it is over for an upload too.
  const late = await startRawUpload(berth.registryUrl, repository, key.authorization)
  assert.equal(await late.patch(0, content.subarray(0, mib), authorization), 202)
  await berth.revokeKey(project.id, key.id)
  assert.equal(await late.patch(mib, content.subarray(mib, 2 * mib), authorization), 401)
})

test('an upload goes on where it stood after Berth was restarted between two chunks', async (t) => {
  const { berth } = await start(t)
  const { key } = await tenant(berth)
  const content = seededBytes('restarted upload', 24 * mib + 12_345)
  const scope = `repository:${repository}:pull,push`
  const { authorization } = await fetchTokens(berth.registryUrl, key.authorization, { scope })
  const upload = await startRawUpload(berth.registryUrl, repository, authorization)
  const cuts = [0, 7 * mib + 1, 9 * mib, content.byteLength]
  for (const [n, from] of cuts.slice(0, -1).entries()) {
    const to = cuts[n + 1] as number
    assert.equal(await upload.patch(from, content.subarray(from, to), authorization), 202)
    assert.equal(await berth.stop(), 0)
    await berth.restart()
    assert.deepEqual(await upload.status(authorization), { status: 204, offsetBytes: to })
  }
  const digest = digestOf(content)
  assert.equal(await upload.finish(digest, authorization), 201)
  await assertBlob(berth, key, digest, content)
})

test('SIGTERM lets a running download and a running upload finish, and takes no new connections', async (t) => {
  const { berth } = await start(t)
  const { key } = await tenant(berth)
  const content = seededBytes('drained', 64 * mib)
  const digest = digestOf(content)
  const first = await startRawUpload(berth.registryUrl, repository, key.authorization)
  assert.equal(await first.patch(0, content, key.authorization), 202)
  assert.equal(await first.finish(digest, key.authorization), 201)

  const download = await openDownload(`${berth.registryUrl}/v2/${repository}/blobs/${digest}`, key)
  const upload = await startRawUpload(berth.registryUrl, repository, key.authorization)
  const patch = upload.openPatch(0, mib, key.authorization)
  await patch.wanted
  await patch.send(content.subarray(0, mib / 2))
  const stopped = berth.stop()
  const port = Number(new URL(berth.registryUrl).port)
  await waitFor('new connections to be refused', async () => !(await portAnswers(port)))

  await patch.send(content.subarray(mib / 2, mib))
  assert.equal(await patch.end(), 202)
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of download as AsyncIterable<Buffer>) {
    hash.update(chunk)
    sizeBytes += chunk.byteLength
  }
  assert.deepEqual([`sha256:${hash.digest('hex')}`, sizeBytes], [digest, content.byteLength])
  assert.equal(await stopped, 0)

  await berth.restart()
  assert.deepEqual(await upload.status(key.authorization), { status: 204, offsetBytes: mib })
})

async function start(
  t: NonNullable<BerthOptions['test']>,
  options: BerthOptions = {},
): Promise<{ berth: Berth }> {
  return { berth: await startBerth({ ...options, test: t }) }
}

async function tenant(berth: Berth): Promise<{ project: { id: string }; key: KeyAnswer }> {
  const project = await berth.createProject('acme')
  return { project, key: await berth.createKey(project.id) }
}

/** A GET whose answer has begun and is not read yet: the sockets' buffers are full, and the server waits. */
async function openDownload(url: string, key: KeyAnswer): Promise<IncomingMessage> {
  const [answer] = (await once(get(url, { headers: { authorization: key.authorization } }), 'response')) as [
    IncomingMessage,
  ]
  assert.equal(answer.statusCode, 200)
  return answer
}

async function statusOf(url: string, authorization: string, method = 'GET'): Promise<number> {
  const response = await fetch(url, { method, headers: { authorization } })
  await response.arrayBuffer()
  return response.status
}

async function assertBlob(berth: Berth, key: KeyAnswer, digest: string, content: Buffer): Promise<void> {
  const url = `${berth.registryUrl}/v2/${repository}/blobs/${digest}`
  const response = await fetch(url, { headers: { authorization: key.authorization } })
  assert.equal(response.status, 200)
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(content), 'the blob is what was sent')
}

function digestOf(content: Uint8Array): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

// @tier full
// @needs skopeo
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Gate, startGate } from '../support/gate.ts'
import { putBigImage, putImage } from '../support/images.ts'
import { createLayout, type Descriptor, type Layout } from '../support/layout.ts'
import { basicAuthorization } from '../support/berth.ts'
import { type CommandResult, runCommand, temporaryFolder, waitFor } from '../support/process.ts'
import { fetchTokens } from '../support/raw-client.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

/*
 * Keys that are revoked or rotated while a push with them runs. A gate between client and registry holds the push
 * half way, so that nothing here depends on how fast it is.
 */

const mib = 1024 * 1024
const layerBytes = 96 * mib
const holdAfterBytes = 40 * mib

const berth = useBerth()
const folder = temporaryFolder('key-changes')
let layout: Layout
let big: Descriptor

before(async () => {
  await berth.start()
  layout = createLayout(join(folder.path, 'layout'))
  big = putBigImage(layout, { seed: 'key changes', tag: 'big', layers: 2, layerSizeBytes: layerBytes })
  putImage(layout, { seed: 'key changes', tag: 'small' })
})

after(() => folder.remove())

test('a push whose key is revoked fails, and tags nothing', async () => {
  const { id, key } = await berth.server.createKey(berth.project.id)
  await using gate = await startGate(berth.host, holdAfterBytes)
  const push = copyThrough(gate, 'big', 'revoked/big:1', key)
  await gate.held
  await berth.server.revokeKey(berth.project.id, id)
  gate.open()
  const result = await push
  assert.notEqual(result.code, 0)
  assert.match(result.stderr, /unauthorized|revoked/i)
  assert.equal(await resolveTag(berth.source('revoked/big'), '1'), null)
  await waitFor('the quota held by the upload to be free again', async () => (await reservedBytes()) === 0)
})

test('after revoke returns, the key and every token made from it are refused at once', async () => {
  await copyThrough({ host: berth.host }, 'small', 'read/image:1', berth.key.key)
  const { id, authorization } = await berth.server.createKey(berth.project.id)
  const { registryUrl } = berth.server
  const scope = 'repository:acme/read/image:pull,push'
  const tokens = await fetchTokens(registryUrl, authorization, { scope, offline: true })
  const manifest = `${registryUrl}/v2/acme/read/image/manifests/1`
  const upload = `${registryUrl}/v2/acme/read/image/blobs/uploads/`
  const statuses = async (): Promise<number[]> => {
    const answers = [
      await fetch(manifest, { headers: { authorization } }),
      await fetch(manifest, { headers: { authorization: tokens.authorization } }),
      await fetch(upload, { method: 'POST', headers: { authorization: tokens.authorization } }),
      await fetch(`${registryUrl}/auth/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          refresh_token: tokens.refreshToken as string,
          service: berth.host,
        }),
      }),
    ]
    for (const answer of answers) await answer.arrayBuffer()
    return answers.map((answer) => answer.status)
  }
  assert.deepEqual(await statuses(), [200, 200, 202, 200])
  await berth.server.revokeKey(berth.project.id, id)
  assert.deepEqual(await statuses(), [401, 401, 401, 401])
})

test('a key that is rotated with an overlap while a push runs: the push succeeds', async () => {
  const { id, key } = await berth.server.createKey(berth.project.id)
  await using gate = await startGate(berth.host, holdAfterBytes)
  const push = copyThrough(gate, 'big', 'rotated/big:1', key)
  await gate.held
  const next = await rotate(id, 3600)
  gate.open()
  const result = await push
  assert.equal(result.code, 0, result.stderr)
  assert.equal((await readImage(berth.source('rotated/big'), '1')).digest, big.digest)

  for (const each of [key, next]) assert.equal(await ping(each), 200)
  const ended = await berth.server.api('DELETE', `/projects/${berth.project.id}/api-keys/${id}/overlap`)
  assert.equal(ended.status, 200)
  assert.deepEqual([await ping(key), await ping(next)], [401, 200])
})

test('a key that is rotated without an overlap while a push runs: the push fails', async () => {
  const { id, key } = await berth.server.createKey(berth.project.id)
  await using gate = await startGate(berth.host, holdAfterBytes)
  const push = copyThrough(gate, 'big', 'replaced/big:1', key)
  await gate.held
  const next = await rotate(id, 0)
  gate.open()
  const result = await push
  assert.notEqual(result.code, 0)
  assert.equal(await resolveTag(berth.source('replaced/big'), '1'), null)
  assert.deepEqual([await ping(key), await ping(next)], [401, 200])
})

function copyThrough(
  { host }: Pick<Gate, 'host'>,
  name: string,
  pathAndTag: string,
  key: string,
): Promise<CommandResult> {
  return runCommand(
    findTool('skopeo') as string,
    [
      '--insecure-policy',
      'copy',
      '--preserve-digests',
      '--dest-tls-verify=false',
      `--dest-creds=api:${key}`,
      `oci:${layout.path}:${name}`,
      `docker://${host}/acme/${pathAndTag}`,
    ],
    { allowFailure: true },
  )
}

async function rotate(id: string, overlapSeconds: number): Promise<string> {
  const path = `/projects/${berth.project.id}/api-keys/${id}/rotate`
  const { status, body } = await berth.server.api('POST', path, { overlapSeconds })
  assert.equal(status, 200)
  return (body as { key: string }).key
}

async function ping(key: string): Promise<number> {
  const response = await fetch(`${berth.server.registryUrl}/v2/`, {
    headers: { authorization: basicAuthorization(key) },
  })
  await response.arrayBuffer()
  return response.status
}

async function reservedBytes(): Promise<number> {
  const { body } = await berth.server.api('GET', `/projects/${berth.project.id}/usage`)
  return (body as { regions: { reservedBytes: number }[] }).regions[0]?.reservedBytes as number
}

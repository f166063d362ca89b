// @tier full
// @needs containerd, skopeo, busybox
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { putBusyboxImage, putIndex, writeDockerArchive } from '../support/images.ts'
import { createLayout, type Layout } from '../support/layout.ts'
import { runCommand, temporaryFolder } from '../support/process.ts'
import { fetchTokens } from '../support/raw-client.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { type Containerd, startContainerd } from '../support/servers/containerd.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

/** A wrong key must be refused; a client that waits for ever would be ended after this. */
const hangLimitMs = 30_000

const berth = useBerth()
const folder = temporaryFolder('containerd-test')
let daemon: Containerd | undefined
let layout: Layout

before(async () => {
  await berth.start()
  daemon = await startContainerd()
  layout = createLayout(join(folder.path, 'layout'))
  const image = await putBusyboxImage(layout, { seed: 'containerd' })
  const archive = join(folder.path, 'box.tar')
  writeDockerArchive(layout, image, berth.reference('ctr/box:1'), archive)
  await ctr(['images', 'import', archive])
})

after(async () => {
  await daemon?.stop()
  folder.remove()
})

test('push, then pull by tag and by digest', async () => {
  const reference = berth.reference('ctr/box:1')
  await ctr(['images', 'push', ...user(berth.key.key), reference])
  const stored = await readImage(berth.source('ctr/box'), '1')
  assert.equal(await digestOf(reference), stored.digest)
  for (const pulled of [reference, `${berth.reference('ctr/box')}@${stored.digest}`]) {
    await forgetAll()
    await ctr(['images', 'pull', ...user(berth.key.key), pulled])
    assert.equal(await digestOf(pulled), stored.digest)
  }
})

test('the layers of a pushed image are mounted into another repository', async () => {
  const reference = berth.reference('ctr/copy:1')
  await ctr(['images', 'tag', berth.reference('ctr/box') + '@' + (await boxDigest()), reference])
  await ctr(['images', 'push', ...user(berth.key.key), reference])
  assert.equal((await readImage(berth.source('ctr/copy'), '1')).digest, await boxDigest())
})

test('an index is pulled with the platform’s image, and pushed again whole', async () => {
  const index = putIndex(layout, { seed: 'ctr-index', tag: 'index' })
  const reference = berth.reference('ctr/index:1')
  await runCommand(findTool('skopeo') as string, [
    'copy',
    '--all',
    '--dest-tls-verify=false',
    `--dest-creds=api:${berth.key.key}`,
    `oci:${layout.path}:index`,
    `docker://${reference}`,
  ])
  await ctr(['images', 'pull', '--all-platforms', ...user(berth.key.key), reference])
  assert.equal(await digestOf(reference), index.digest)
  const again = berth.reference('ctr/again:1')
  await ctr(['images', 'tag', reference, again])
  await ctr(['images', 'push', ...user(berth.key.key), again])
  const stored = await readImage(berth.source('ctr/again'), '1')
  assert.equal(stored.digest, index.digest)
  assert.equal(stored.manifests.length, 3)
})

test('a refresh token is enough to pull, until its key is revoked', async () => {
  const { id, authorization } = await berth.server.createKey(berth.project.id, { actions: ['pull'] })
  const { refreshToken } = await fetchTokens(berth.server.registryUrl, authorization, { offline: true })
  const reference = berth.reference('ctr/box:1')
  const pull = ['images', 'pull', '--plain-http', '--refresh', refreshToken as string, reference]
  await forgetAll()
  await ctr(pull)
  assert.equal(await digestOf(reference), await boxDigest())
  await berth.server.revokeKey(berth.project.id, id)
  await forgetAll()
  const refused = await ctr(pull, { allowFailure: true, timeoutMs: hangLimitMs })
  assert.notEqual(refused.code, 0)
})

test('a wrong key, and a key that may only pull, fail and do not hang', async () => {
  const reference = berth.reference('ctr/box:1')
  await ctr(['images', 'pull', ...user(berth.key.key), reference])
  const target = berth.reference('ctr/refused:1')
  await ctr(['images', 'tag', reference, target])
  const readOnly = await berth.server.createKey(berth.project.id, { actions: ['pull'] })
  const limits = { allowFailure: true, timeoutMs: hangLimitMs }
  for (const key of [`${berth.key.key.slice(0, -1)}x`, 'wrong', readOnly.key]) {
    const push = await ctr(['images', 'push', ...user(key), target], limits)
    assert.notEqual(push.code, 0)
    assert.match(push.stdout + push.stderr, /401|403|unauthorized|denied|forbidden/i)
  }
  assert.equal(await resolveTag(berth.source('ctr/refused'), '1'), null)
  await forgetAll()
  const pull = await ctr(['images', 'pull', ...user('wrong'), reference], limits)
  assert.notEqual(pull.code, 0)
  const anonymous = await ctr(['images', 'pull', '--plain-http', reference], limits)
  assert.notEqual(anonymous.code, 0)
})

function ctr(...call: Parameters<Containerd['ctr']>): ReturnType<Containerd['ctr']> {
  assert.ok(daemon, 'containerd runs')
  return daemon.ctr(...call)
}

function user(key: string): string[] {
  return ['--plain-http', '--user', `api:${key}`]
}

/** The digest that containerd has for an image of its list. */
async function digestOf(reference: string): Promise<string> {
  const { stdout } = await ctr(['images', 'ls', `name==${reference}`])
  const found = /sha256:[0-9a-f]{64}/.exec(stdout.slice(stdout.indexOf('\n')).replace(reference, ''))
  assert.ok(found, stdout)
  return found[0]
}

async function boxDigest(): Promise<string> {
  return (await resolveTag(berth.source('ctr/box'), '1')) as string
}

/** Removes every image and, by that, all content: the next pull has to ask the registry for everything. */
async function forgetAll(): Promise<void> {
  const { stdout } = await ctr(['images', 'ls', '--quiet'])
  const names = stdout.split('\n').filter(Boolean)
  if (names.length > 0) await ctr(['images', 'rm', '--sync', ...names])
}

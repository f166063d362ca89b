// @needs podman, buildah, skopeo, busybox
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { putBusyboxImage, writeDockerArchive } from '../support/images.ts'
import { createLayout } from '../support/layout.ts'
import { temporaryFolder } from '../support/process.ts'
import { readImage } from '../support/read-image.ts'
import { type Podman, runArguments, startPodman } from '../support/servers/podman.ts'
import { useBerth } from '../support/use-berth.ts'

const berth = useBerth()
const folder = temporaryFolder('podman-test')
let tools: Podman | undefined

before(async () => {
  await berth.start()
  tools = await startPodman({ insecureRegistries: [berth.host] })
  const layout = createLayout(join(folder.path, 'layout'))
  const image = await putBusyboxImage(layout, { seed: 'podman' })
  const archive = join(folder.path, 'box.tar')
  writeDockerArchive(layout, image, 'localhost/box:1', archive)
  await podman(['load', '--input', archive])
})

after(async () => {
  await tools?.stop()
  folder.remove()
})

test('podman login takes the key and refuses anything else', async () => {
  const login = ['login', '-u', 'api', '--password-stdin', berth.host]
  const refused = await podman(login, { stdin: 'wrong', allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /invalid username\/password/)
  const done = await podman(login, { stdin: berth.key.key })
  assert.match(done.stdout, /Login Succeeded/)
})

test('push, then pull by tag and by digest, gives an image that runs', async () => {
  const reference = berth.reference('podman/box:1')
  const digestFile = join(folder.path, 'digest')
  await podman(['push', '--digestfile', digestFile, 'localhost/box:1', reference])
  const digest = readFileSync(digestFile, 'utf8').trim()
  assert.equal((await readImage(berth.source('podman/box'), '1')).digest, digest)
  for (const pulled of [reference, `${berth.reference('podman/box')}@${digest}`]) {
    await podman(['rmi', '--all', '--force'])
    await podman(['pull', pulled])
    const run = await podman(['run', '--rm', ...runArguments, pulled])
    assert.equal(run.stdout, 'podman\n')
    await podman(['tag', pulled, 'localhost/box:1'])
  }
})

test('a manifest list of podman is pushed with all that it names', async () => {
  const list = berth.reference('podman/list:1')
  await podman(['manifest', 'create', 'localhost/list', 'containers-storage:localhost/box:1'])
  await podman(['manifest', 'push', '--all', 'localhost/list', `docker://${list}`])
  const stored = await readImage(berth.source('podman/list'), '1')
  assert.equal(stored.manifests.length, 1)
  await podman(['rmi', '--all', '--force'])
  await podman(['pull', list])
  const run = await podman(['run', '--rm', ...runArguments, list])
  assert.equal(run.stdout, 'podman\n')
})

test('after podman logout nothing can be pulled', async () => {
  await podman(['logout', berth.host])
  await podman(['rmi', '--all', '--force'])
  const refused = await podman(['pull', berth.reference('podman/box:1')], { allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /unauthorized/)
})

function podman(...call: Parameters<Podman['podman']>): ReturnType<Podman['podman']> {
  assert.ok(tools, 'podman has its folders')
  return tools.podman(...call)
}

// @tier full
// @needs buildah, podman, skopeo, busybox
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { putBusyboxImage } from '../support/images.ts'
import { createLayout } from '../support/layout.ts'
import { temporaryFolder } from '../support/process.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { type Podman, runArguments, startPodman } from '../support/servers/podman.ts'
import { useBerth } from '../support/use-berth.ts'

const berth = useBerth()
const folder = temporaryFolder('buildah-test')
let tools: Podman | undefined

before(async () => {
  await berth.start()
  tools = await startPodman({ insecureRegistries: [berth.host] })
  const layout = createLayout(join(folder.path, 'layout'))
  await putBusyboxImage(layout, { seed: 'base', tag: 'base' })
  await tools.skopeo([
    'copy',
    '--dest-tls-verify=false',
    `--dest-creds=api:${berth.key.key}`,
    `oci:${layout.path}:base`,
    `docker://${berth.reference('base/box:1')}`,
  ])
})

after(async () => {
  await tools?.stop()
  folder.remove()
})

test('a build from a private base image needs a login, then is pushed and runs', async () => {
  const context = dockerfile('app', `FROM ${berth.reference('base/box:1')}\nRUN echo built > /message\n`)
  const target = berth.reference('built/app:1')
  const build = ['build', '--isolation', 'chroot', '--tag', target, context]
  const refused = await running().buildah(build, { allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /unauthorized/)

  await login()
  await running().buildah(build)
  const digest = await push(target)
  assert.equal((await readImage(berth.source('built/app'), '1')).digest, digest)
  await running().podman(['rmi', '--all', '--force'])
  const run = await running().podman(['run', '--rm', ...runArguments, target])
  assert.equal(run.stdout, 'built\n')
})

test('the layers of the base image are mounted, not sent again', async () => {
  const base = await readImage(berth.source('base/box'), '1')
  const built = await readImage(berth.source('built/app'), '1')
  const shared = built.blobs.filter((digest) => base.blobs.includes(digest))
  assert.equal(shared.length, 2)
})

test('a manifest list of two platforms is pushed whole', async () => {
  await login()
  const list = 'localhost/list'
  await running().buildah(['manifest', 'create', list])
  for (const architecture of ['amd64', 'arm64']) {
    const context = dockerfile(architecture, `FROM scratch\nCOPY Dockerfile /${architecture}\n`)
    const build = ['build', '--isolation', 'chroot', '--platform', `linux/${architecture}`]
    await running().buildah([...build, '--manifest', list, context])
  }
  const digestFile = join(folder.path, 'list-digest')
  // Without --tls-verify=false this buildah stops half way at its own registries file, and exits with 0.
  const push = ['manifest', 'push', '--tls-verify=false', '--all', '--digestfile', digestFile]
  await running().buildah([...push, list, `docker://${berth.reference('built/list:1')}`])
  const stored = await readImage(berth.source('built/list'), '1')
  assert.equal(stored.digest, readFileSync(digestFile, 'utf8').trim())
  const { manifests } = JSON.parse(stored.content.toString())
  const platforms = manifests.map(
    (entry: { platform: { architecture: string } }) => entry.platform.architecture,
  )
  assert.deepEqual(platforms.sort(), ['amd64', 'arm64'])
})

test('a build cache lives in a repository', async () => {
  await login()
  const context = dockerfile('cached', `FROM ${berth.reference('base/box:1')}\nRUN echo slow > /result\n`)
  const cache = berth.reference('built/cache')
  const build = ['build', '--isolation', 'chroot', '--layers', '--cache-to', cache, '--cache-from', cache]
  await running().buildah([...build, context])
  await running().buildah(['rmi', '--all', '--force'])
  const again = await running().buildah([...build, context])
  assert.match(again.stdout + again.stderr, /Cache pulled from remote|Using cache/)
})

test('after buildah logout a push is refused', async () => {
  await login()
  const context = dockerfile('late', 'FROM scratch\nCOPY Dockerfile /late\n')
  const target = berth.reference('built/late:1')
  await running().buildah(['build', '--isolation', 'chroot', '--tag', target, context])
  await running().buildah(['logout', berth.host])
  const refused = await running().buildah(['push', target], { allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /unauthorized/)
  assert.equal(await resolveTag(berth.source('built/late'), '1'), null)
})

function running(): Podman {
  assert.ok(tools, 'buildah has its folders')
  return tools
}

async function login(): Promise<void> {
  await running().buildah(['login', '--tls-verify=false', '-u', 'api', '--password-stdin', berth.host], {
    stdin: berth.key.key,
  })
}

/** Pushes an image and answers the digest that buildah reports. */
async function push(reference: string): Promise<string> {
  const digestFile = join(folder.path, 'digest')
  await running().buildah(['push', '--digestfile', digestFile, reference])
  return readFileSync(digestFile, 'utf8').trim()
}

/** A build context of its own with this Dockerfile. */
function dockerfile(name: string, text: string): string {
  const context = join(folder.path, name)
  mkdirSync(context, { recursive: true })
  writeFileSync(join(context, 'Dockerfile'), text)
  return context
}

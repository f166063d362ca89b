// @needs docker, podman, skopeo, crane, busybox
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Berth, startBerth } from '../support/berth.ts'
import { putBusyboxImage, writeDockerArchive } from '../support/images.ts'
import { createLayout } from '../support/layout.ts'
import { runCommand, temporaryFolder } from '../support/process.ts'
import { type Dockerd, startDockerd } from '../support/servers/dockerd.ts'
import { type Podman, startPodman } from '../support/servers/podman.ts'
import { findTool } from '../support/tools.ts'

/*
 * One host without a region: real clients sign in there, push and pull, and end up in the project's home region.
 */

const folder = temporaryFolder('home-region')
let berth: Berth
/** The host without a region. */
let shared = ''
let engine: Dockerd | undefined
let podman: Podman | undefined
let key: Awaited<ReturnType<Berth['createKey']>>

before(async () => {
  berth = await startBerth({ regions: ['eu', 'us'] })
  shared = berth.registryHost.replace('127.0.0.1', 'localhost')
  await berth.restart({ BERTH_REGISTRY_HOST: shared })
  const project = await berth.createProject('acme', { homeRegion: 'us' })
  key = await berth.createKey(project.id)
  engine = await startDockerd()
  podman = await startPodman({ insecureRegistries: [shared] })
  const layout = createLayout(join(folder.path, 'layout'))
  const archive = join(folder.path, 'box.tar')
  const image = await putBusyboxImage(layout, { seed: 'home', tag: 'box' })
  writeDockerArchive(layout, image, 'box:local', archive)
  await docker(['load', '--input', archive])
})

after(async () => {
  await engine?.stop()
  await podman?.stop()
  await berth?.[Symbol.asyncDispose]()
  folder.remove()
})

test('docker signs in, pushes and pulls; the image is in the home region alone', async () => {
  const login = ['login', '-u', 'api', '--password-stdin', shared]
  assert.match((await docker(login, key.key)).stdout, /Login Succeeded/)
  const reference = `${shared}/acme/web:1`
  await docker(['tag', 'box:local', reference])
  await docker(['push', reference])
  await docker(['rmi', reference, 'box:local'])
  await docker(['pull', reference])
  assert.equal(await statusIn(host('us')), 200)
  assert.equal(await statusIn(host('eu')), 404)
})

test('podman, skopeo and crane find it there too', async () => {
  assert.ok(podman)
  await podman.podman(['login', '-u', 'api', '--password-stdin', shared], { stdin: key.key })
  await podman.podman(['pull', `${shared}/acme/web:1`])
  const inspected = await podman.skopeo(['inspect', '--tls-verify=false', `docker://${shared}/acme/web:1`])
  const { Digest } = JSON.parse(inspected.stdout) as { Digest: string }
  const crane = findTool('crane')
  assert.ok(crane)
  const env = { ...process.env, DOCKER_CONFIG: join(folder.path, 'crane') }
  await runCommand(crane, ['auth', 'login', shared, '-u', 'api', '--password-stdin'], { env, stdin: key.key })
  const digest = await runCommand(crane, ['digest', '--insecure', `${shared}/acme/web:1`], { env })
  assert.equal(digest.stdout.trim(), Digest)
})

test('a key of another region is told of its own project, and of no other one', async () => {
  await berth.createProject('elsewhere', { homeRegion: 'us' })
  const { authorization } = await berth.createKey('acme', { name: 'eu only', regions: ['eu'] })
  const ask = async (namespace: string) => {
    const answer = await fetch(`http://${shared}/v2/${namespace}/web/manifests/1`, {
      headers: { authorization },
    })
    return { status: answer.status, body: (await answer.text()).replaceAll(namespace, '<name>') }
  }
  assert.equal((await ask('acme')).status, 403)
  assert.deepEqual(await ask('elsewhere'), await ask('nobodyhere'))
})

test('the home moves when the project says so, and the image stays where it was pushed', async () => {
  const { status } = await berth.api('PATCH', '/projects/acme', { homeRegion: 'eu' })
  assert.equal(status, 200)
  assert.equal(await statusIn(shared), 404)
  assert.equal(await statusIn(host('us')), 200)
  const unknown = await berth.api('PATCH', '/projects/acme', { homeRegion: 'mars' })
  assert.equal(unknown.status, 422)
})

function host(region: string): string {
  return berth.regionHosts.get(region) ?? ''
}

async function statusIn(registry: string): Promise<number> {
  const url = `http://${registry}/v2/acme/web/manifests/1`
  return (await fetch(url, { headers: { Authorization: key.authorization } })).status
}

async function docker(args: readonly string[], stdin?: string) {
  assert.ok(engine, 'the engine runs')
  return engine.docker(args, stdin === undefined ? {} : { stdin })
}

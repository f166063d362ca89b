// @tier full
// @needs docker, podman, skopeo, busybox, docker-registry, htpasswd, openssl
/*
 * Images of third-party registries pulled through Berth by real engines: from Debian's docker-registry with a login
 * behind TLS, which can be made to fail, and from a second Berth. Tests build on each other.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Berth, type KeyAnswer, type ProjectAnswer, startBerth } from '../support/berth.ts'
import { makeAuthority } from '../support/certificate.ts'
import { hostPlatform, putBusyboxImage, putIndex } from '../support/images.ts'
import { createLayout } from '../support/layout.ts'
import { runCommand, temporaryFolder } from '../support/process.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/servers/docker-registry.ts'
import { type Dockerd, startDockerd } from '../support/servers/dockerd.ts'
import { type Podman, startPodman } from '../support/servers/podman.ts'
import { findTool } from '../support/tools.ts'
import { forwardTo, type Recorder, type Responder, startRecorder } from '../support/upstream/recorder.ts'

const LOGIN = { username: 'puller', password: 'e2e-Stored/secret+of=upstream' }

const folder = temporaryFolder('pull-through')
const cleanup = new AsyncDisposableStack()
let registry: DockerRegistry
/** In front of the registry, with TLS. Its host is what is connected. */
let front: Recorder
/** Another host, which nothing of the stored login may ever reach. */
let elsewhere: Recorder
let berth: Berth
let project: ProjectAnswer
let key: KeyAnswer
let engine: Dockerd
let tools: Podman

before(async () => {
  cleanup.defer(() => folder.remove())
  const authority = await makeAuthority(join(folder.path, 'authority'))
  registry = cleanup.use(await startDockerRegistry({ credentials: LOGIN }))
  front = cleanup.use(await startRecorder(await authority.issue(), forwardTo(registry.url)))
  elsewhere = cleanup.use(await startRecorder(await authority.issue(), (_, response) => void response.end()))
  const env = { BERTH_OUTGOING_ALLOW: '127.0.0.0/8', BERTH_OUTGOING_CA_FILE: authority.caFile }
  berth = cleanup.use(await startBerth({ env }))
  project = await berth.createProject('acme')
  key = await berth.createKey(project.id)
  engine = cleanup.use(await startDockerd())
  tools = cleanup.use(await startPodman({ insecureRegistries: [berth.registryHost] }))
  await docker(['login', '-u', 'api', '--password-stdin', berth.registryHost], { stdin: key.key })
  await podman(['login', '-u', 'api', '--password-stdin', berth.registryHost], { stdin: key.key })
  await fill()
})
after(() => cleanup.disposeAsync())

/** Puts images into the registry behind. */
async function fill(): Promise<void> {
  const layout = createLayout(join(folder.path, 'layout'))
  await putBusyboxImage(layout, { seed: 'through', tag: 'box' })
  putIndex(layout, {
    seed: 'multi',
    tag: 'multi',
    platforms: [hostPlatform, { os: 'linux', architecture: 'ppc64le' }],
  })
  for (const [tag, name] of [
    ['box', 'team/box:1'],
    ['box', 'team/again:1'],
    ['box', 'team/broken:1'],
    ['multi', 'team/multi:1'],
  ]) {
    await runCommand(findTool('skopeo') as string, [
      'copy',
      '--all',
      '--dest-tls-verify=false',
      `--dest-creds=${LOGIN.username}:${LOGIN.password}`,
      `oci:${layout.path}:${tag}`,
      `docker://${registry.host}/${name}`,
    ])
  }
}

async function connect(slug: string, more: Record<string, unknown> = {}): Promise<string> {
  const body = { provider: 'custom', slug, host: front.host, ...LOGIN, ...more }
  const answer = await berth.api('POST', `/projects/${project.id}/registries`, body)
  assert.equal(answer.status, 201, JSON.stringify(answer.body))
  return (answer.body as { id: string }).id
}

function through(pathAndTag: string): string {
  return `${berth.registryHost}/acme/${pathAndTag}`
}

function docker(...call: Parameters<Dockerd['docker']>): ReturnType<Dockerd['docker']> {
  return engine.docker(...call)
}

function podman(...call: Parameters<Podman['podman']>): ReturnType<Podman['podman']> {
  return tools.podman(...call)
}

async function forget(): Promise<void> {
  await docker(['image', 'prune', '--all', '--force'])
  await podman(['rmi', '--all', '--force'])
}

/** Every answer of the registry is this. */
function failWith(status: number, headers: Record<string, string> = {}): Responder {
  return (_, response) => void response.writeHead(status, headers).end()
}

function manifestOf(pathAndTag: string): Promise<Response> {
  const [path, tag] = pathAndTag.split(':')
  return fetch(`${berth.registryUrl}/v2/acme/${path}/manifests/${tag}`, {
    headers: { authorization: key.authorization },
  })
}

test('docker and podman pull by tag and by digest, and the image runs', async () => {
  await connect('up')
  const pull = await docker(['pull', through('up/team/box:1')])
  const digest = /digest: (sha256:[0-9a-f]{64})/i.exec(pull.stdout)?.[1]
  assert.ok(digest, pull.stdout)
  const run = await docker(['run', '--rm', '--network', 'none', through('up/team/box:1')])
  assert.equal(run.stdout, 'through\n')
  await forget()
  await docker(['pull', `${through('up/team/box')}@${digest}`])
  await podman(['pull', through('up/team/box:1')])
  await podman(['pull', `${through('up/team/box')}@${digest}`])
})

test('of an image for several platforms an engine gets its own', async () => {
  await docker(['pull', through('up/team/multi:1')])
  const inspect = await docker([
    'image',
    'inspect',
    '--format',
    '{{.Architecture}}',
    through('up/team/multi:1'),
  ])
  assert.equal(inspect.stdout.trim(), hostPlatform.architecture)
  await podman(['pull', through('up/team/multi:1')])
})

test('a layer with a wrong byte is refused by every engine, and the right one is taken afterwards', async () => {
  front.respondWith(async (request, response) => {
    if (!/\/blobs\//.test(request.url) || request.method !== 'GET') {
      return forwardTo(registry.url)(request, response)
    }
    const answer = await fetch(`${registry.url}${request.url}`, {
      headers: { authorization: request.headers.authorization ?? '' },
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    if (bytes.length > 0) bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1
    response.writeHead(answer.status, { 'content-length': bytes.length }).end(bytes)
  })
  await forget()
  for (const pull of [docker, podman]) {
    const refused = await pull(['pull', through('up/team/broken:1')], { allowFailure: true })
    assert.notEqual(refused.code, 0)
  }
  front.respondWith(forwardTo(registry.url))
  await docker(['pull', through('up/team/broken:1')])
  assert.equal((await berth.cli(['fsck'])).code, 0)
})

test('a wrong password is told to docker', async () => {
  await connect('wrong', { password: 'not-it' })
  const refused = await docker(['pull', through('wrong/team/again:1')], { allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /refused the stored login of the registry/)
})

test('429 from the registry: what is here is served, with a Warning, and what is not says so', async () => {
  await connect('limited')
  await forget()
  await docker(['pull', through('limited/team/again:1')])
  await forget()
  front.respondWith(failWith(429, { 'Retry-After': '60' }))
  await docker(['pull', through('limited/team/again:1')])
  const refused = await docker(['pull', through('limited/team/box:1')], { allowFailure: true })
  assert.match(refused.stderr, /too ?many requests/i)
  front.respondWith(forwardTo(registry.url))
})

test('with the registry gone, a restarted Berth serves the copies, and says why there are no others', async () => {
  front.respondWith((request, response) => {
    response.destroy()
    void request
  })
  await forget()
  await berth.restart()
  await docker(['pull', through('up/team/box:1')])
  await podman(['pull', through('up/team/multi:1')])
  const missing = await manifestOf('up/team/never:1')
  assert.equal(missing.status, 503)
  assert.ok(missing.headers.has('retry-after'))
  front.respondWith(forwardTo(registry.url))
})

test('a registry that redirects or names a token service elsewhere does not get the login there', async () => {
  front.respondWith(failWith(307, { Location: `${elsewhere.origin}/v2/team/box/manifests/1` }))
  await connect('redirects')
  assert.notEqual((await manifestOf('redirects/team/box:1')).status, 200)
  front.respondWith(
    failWith(401, { 'WWW-Authenticate': `Bearer realm="http://${elsewhere.host}/token",service="x"` }),
  )
  await connect('realms')
  assert.notEqual((await manifestOf('realms/team/box:1')).status, 200)
  front.respondWith(forwardTo(registry.url))
  assert.equal(front.hasSeen(LOGIN.password), true)
  assert.equal(elsewhere.hasSeen(LOGIN.password), false)
})

test('the command line looks into the registry', async () => {
  const env = { BERTH_CONSOLE_URL: berth.consoleUrl, BERTH_TOKEN: berth.operatorToken, BERTH_PROJECT: 'acme' }
  const run = (args: string[]) => berth.cli(['registries', 'browse', ...args], { env })
  assert.match((await run(['up'])).stdout, /team\/again[^]*team\/box/)
  assert.doesNotMatch((await run(['up', '--search', 'multi'])).stdout, /team\/box/)
  assert.match((await run(['up', 'team/box'])).stdout, /^1$/m)
  assert.match((await run(['up', 'team/multi:1'])).stdout, /linux\/ppc64le/)
  const missing = await berth.api('GET', `/projects/acme/registries/none/repositories`)
  assert.equal(missing.status, 404)
})

test('another Berth is a registry like any other, its short-lived tokens included', async () => {
  await using other = await startBerth()
  const theirs = await other.createProject('theirs')
  const login = await other.createKey(theirs.id)
  await runCommand(findTool('skopeo') as string, [
    'copy',
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    `--src-creds=${LOGIN.username}:${LOGIN.password}`,
    `--dest-creds=api:${login.key}`,
    `docker://${registry.host}/team/box:1`,
    `docker://${other.registryHost}/theirs/box:1`,
  ])
  await berth.restart({ BERTH_OUTGOING_ALLOW: `127.0.0.0/8,http://${other.registryHost}` })
  await connect('berth', { host: other.registryHost, username: 'api', password: login.key })
  await forget()
  await docker(['pull', through('berth/theirs/box:1')])
  const run = await docker(['run', '--rm', '--network', 'none', through('berth/theirs/box:1')])
  assert.equal(run.stdout, 'through\n')
})

test('nothing of the stored login is in the log, and a disconnected registry is gone at once', async () => {
  assert.equal(berth.log().includes(LOGIN.password), false)
  const { body } = await berth.api('GET', `/projects/${project.id}/registries`)
  const up = (body as { items: { id: string; slug: string }[] }).items.find(({ slug }) => slug === 'up')
  const deleted = await berth.api('DELETE', `/projects/${project.id}/registries/${up?.id}`)
  assert.equal(deleted.status, 200)
  assert.equal((await manifestOf('up/team/box:1')).status, 404)
})

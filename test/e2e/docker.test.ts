// @needs docker, skopeo, busybox
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { hostPlatform, putBusyboxImage, putIndex, writeDockerArchive } from '../support/images.ts'
import { createLayout, type Layout } from '../support/layout.ts'
import { runCommand, temporaryFolder } from '../support/process.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { type Dockerd, startDockerd } from '../support/servers/dockerd.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

/*
 * The docker command and engine. Tests build on each other: the first signs in, later ones use what was pushed.
 */

const berth = useBerth()
const folder = temporaryFolder('docker')
let engine: Dockerd | undefined
let layout: Layout
let pushedDigest = ''

before(async () => {
  await berth.start()
  engine = await startDockerd()
  layout = createLayout(join(folder.path, 'layout'))
  const image = await putBusyboxImage(layout, { seed: 'docker', tag: 'box' })
  const archive = join(folder.path, 'box.tar')
  writeDockerArchive(layout, image, 'box:local', archive)
  await docker(['load', '--input', archive])
})

after(async () => {
  await engine?.stop()
  folder.remove()
})

test('a wrong password is refused with a message that says what is wrong', async () => {
  const login = await docker(['login', '-u', 'api', '--password-stdin', berth.host], {
    stdin: 'hunter2',
    allowFailure: true,
  })
  assert.notEqual(login.code, 0)
  assert.match(login.stderr, /unauthorized: .*not an API key/)
  const asRoot = await docker(['login', '-u', 'root', '--password-stdin', berth.host], {
    stdin: berth.key.key,
    allowFailure: true,
  })
  assert.notEqual(asRoot.code, 0)
  assert.match(asRoot.stderr, /user name must be "api"/)
})

test('docker login keeps a refresh token, not the key', async () => {
  const login = await docker(['login', '-u', 'api', '--password-stdin', berth.host], {
    stdin: berth.key.key,
  })
  assert.match(login.stdout, /Login Succeeded/)
  const config = readFileSync(join(running().configDir, 'config.json'), 'utf8')
  const { auth, identitytoken } = JSON.parse(config).auths[berth.host]
  assert.equal(Buffer.from(auth, 'base64').toString(), 'api:')
  assert.ok(identitytoken.length > 100)
  assert.equal(config.includes(berth.key.key), false)
})

test('push, then pull by tag and by digest, gives the same image', async () => {
  const reference = berth.reference('team/web:1')
  await docker(['tag', 'box:local', reference])
  const push = await docker(['push', reference])
  pushedDigest = digestIn(push.stdout)
  const stored = await readImage(berth.source('team/web'), '1')
  assert.equal(stored.digest, pushedDigest)
  assert.equal(stored.blobs.length, 3)

  const imageId = await idOf(reference)
  for (const pulled of [reference, `${berth.reference('team/web')}@${pushedDigest}`]) {
    await forget('box:local', reference)
    const pull = await docker(['pull', pulled])
    assert.match(pull.stdout, /Downloaded newer image/)
    assert.equal(digestIn(pull.stdout), pushedDigest)
    assert.equal(await idOf(pulled), imageId)
    const run = await docker(['run', '--rm', '--network', 'none', pulled])
    assert.equal(run.stdout, 'docker\n')
    await docker(['tag', pulled, reference])
    await docker(['tag', pulled, 'box:local'])
  }
})

test('pushing the same image again uploads nothing and moves nothing', async () => {
  const reference = berth.reference('team/web:1')
  const push = await docker(['push', reference])
  assert.equal(push.stdout.match(/Layer already exists/g)?.length, 2)
  assert.equal(digestIn(push.stdout), pushedDigest)
})

test('another repository of the project gets its layers by mount', async () => {
  const reference = berth.reference('team/copy:1')
  await docker(['tag', 'box:local', reference])
  const push = await docker(['push', reference])
  assert.equal(push.stdout.match(/Mounted from acme\/team\/web/g)?.length, 2)
  assert.equal((await readImage(berth.source('team/copy'), '1')).digest, pushedDigest)
})

test('an index made by docker manifest is stored, and the engine pulls its own platform from it', async () => {
  const own = berth.reference('multi/own:1')
  await docker(['tag', 'box:local', own])
  await docker(['push', own])
  const other = berth.reference('multi/other:1')
  const image = await putBusyboxImage(layout, {
    seed: 'other',
    platform: { os: 'linux', architecture: hostPlatform.architecture === 's390x' ? 'amd64' : 's390x' },
  })
  const archive = join(folder.path, 'other.tar')
  writeDockerArchive(layout, image, other, archive)
  await docker(['load', '--input', archive])
  await docker(['push', other])

  const list = berth.reference('multi/list:1')
  await docker(['manifest', 'create', '--insecure', list, own, other])
  const { stdout } = await docker(['manifest', 'push', '--insecure', list])
  const stored = await readImage(berth.source('multi/list'), '1')
  assert.equal(stdout.trim().split('\n').at(-1), stored.digest)
  assert.equal(stored.manifests.length, 2)
  assert.match(stored.mediaType, /manifest\.list\.v2/)

  await forget('box:local', own, other)
  const pull = await docker(['pull', list])
  assert.equal(digestIn(pull.stdout), stored.digest)
  const run = await docker(['run', '--rm', '--network', 'none', list])
  assert.equal(run.stdout, 'docker\n')
  await docker(['tag', list, 'box:local'])
})

test('an OCI index that skopeo pushed is pulled for the engine’s platform', async () => {
  const reference = berth.reference('multi/oci:1')
  putIndex(layout, {
    seed: 'oci',
    tag: 'index',
    platforms: [hostPlatform, { os: 'linux', architecture: 'ppc64le' }],
  })
  await runCommand(findTool('skopeo') as string, [
    'copy',
    '--all',
    '--dest-tls-verify=false',
    `--dest-creds=api:${berth.key.key}`,
    `oci:${layout.path}:index`,
    `docker://${reference}`,
  ])
  const pull = await docker(['pull', reference])
  assert.equal(digestIn(pull.stdout), await resolveTag(berth.source('multi/oci'), '1'))
  const inspect = await docker(['image', 'inspect', '--format', '{{.Architecture}}', reference])
  assert.equal(inspect.stdout.trim(), hostPlatform.architecture)
})

test('what docker login stored is enough for another client, and useless once the key is revoked', async () => {
  const { id, key } = await berth.server.createKey(berth.project.id)
  const configDir = join(folder.path, 'other-config')
  mkdirSync(configDir)
  const as = { configDir }
  await docker(['login', '-u', 'api', '--password-stdin', berth.host], { stdin: key, ...as })
  const copied = join(folder.path, 'copied-config')
  mkdirSync(copied)
  const { auths } = JSON.parse(readFileSync(join(configDir, 'config.json'), 'utf8'))
  writeFileSync(join(copied, 'config.json'), JSON.stringify({ auths }))
  const reference = berth.reference('team/copy:1')
  await forget(reference, berth.reference('team/web:1'), 'box:local')
  await docker(['pull', reference], { configDir: copied })

  await berth.server.revokeKey(berth.project.id, id)
  for (const args of [
    ['pull', reference],
    ['push', reference],
  ]) {
    const refused = await docker(args, { configDir: copied, allowFailure: true })
    assert.notEqual(refused.code, 0, args.join(' '))
    assert.match(refused.stderr, /unauthorized: .*revoked/)
    assert.doesNotMatch(refused.stdout, /Retrying/)
  }
})

test('after docker logout nothing of the project can be pulled or pushed', async () => {
  const reference = berth.reference('team/web:1')
  await forget(reference)
  await docker(['pull', reference])
  await docker(['logout', berth.host])
  const push = await docker(['push', reference], { allowFailure: true })
  assert.notEqual(push.code, 0)
  assert.match(push.stderr, /unauthorized: log in/)
  assert.doesNotMatch(push.stdout, /Retrying/)
  await forget(reference)
  const pull = await docker(['pull', reference], { allowFailure: true })
  assert.notEqual(pull.code, 0)
  assert.match(pull.stderr, /unauthorized/)
})

test('without a login docker pulls from a public repository', async () => {
  const path = `/projects/${berth.project.id}`
  const { status } = await berth.server.api('PATCH', path, { publicRepositories: ['team/copy'] })
  assert.equal(status, 200)
  const pull = await docker(['pull', berth.reference('team/copy:1')])
  assert.equal(digestIn(pull.stdout), pushedDigest)
  const other = await docker(['pull', berth.reference('team/web:1')], { allowFailure: true })
  assert.notEqual(other.code, 0)
})

function docker(...call: Parameters<Dockerd['docker']>): ReturnType<Dockerd['docker']> {
  return running().docker(...call)
}

function running(): Dockerd {
  assert.ok(engine, 'the engine runs')
  return engine
}

async function idOf(reference: string): Promise<string> {
  return (await docker(['image', 'inspect', '--format', '{{.Id}}', reference])).stdout.trim()
}

/** Removes images from the engine, so that the next pull has to ask the registry for everything. */
async function forget(...references: string[]): Promise<void> {
  await docker(['rmi', '--force', ...references], { allowFailure: true })
  await docker(['image', 'prune', '--all', '--force'])
}

function digestIn(output: string): string {
  const found = /digest: (sha256:[0-9a-f]{64})/i.exec(output)
  assert.ok(found, `no digest in: ${output}`)
  return found[1] as string
}

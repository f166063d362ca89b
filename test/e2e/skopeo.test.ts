// @needs skopeo, docker-registry
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { putArtifact, putImage, putIndex } from '../support/images.ts'
import { createLayout, type Descriptor, type Layout } from '../support/layout.ts'
import { type CommandResult, runCommand, temporaryFolder } from '../support/process.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/servers/docker-registry.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

const berth = useBerth()
const folder = temporaryFolder('skopeo')
const authFile = join(folder.path, 'auth.json')
let layout: Layout
let image: Descriptor
let index: Descriptor
let peer: DockerRegistry | undefined

before(async () => {
  await berth.start()
  layout = createLayout(join(folder.path, 'layout'))
  image = putImage(layout, { seed: 'skopeo', tag: 'image', layerSizeBytes: 40_000 })
  index = putIndex(layout, { seed: 'skopeo', tag: 'index' })
  peer = await startDockerRegistry()
})

after(async () => {
  await peer?.stop()
  folder.remove()
})

test('login takes the key and refuses anything else', async () => {
  const login = ['login', '--tls-verify=false', '-u', 'api', '--password-stdin', berth.host]
  const refused = await skopeo(login, { stdin: 'wrong', allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /invalid username\/password/)
  await skopeo(login, { stdin: berth.key.key })
})

test('copy from an OCI layout keeps every digest, of an image and of a whole index', async () => {
  await copy(`oci:${layout.path}:image`, docker('copies/image:1'))
  assert.equal((await readImage(berth.source('copies/image'), '1')).digest, image.digest)
  await copy('--all', `oci:${layout.path}:index`, docker('copies/index:1'))
  const stored = await readImage(berth.source('copies/index'), '1')
  assert.equal(stored.digest, index.digest)
  assert.equal(stored.manifests.length, 3)

  const back = join(folder.path, 'back')
  await copy('--all', docker('copies/index:1'), `oci:${back}:index`)
  const listed = JSON.parse(readFileSync(join(back, 'index.json'), 'utf8')) as { manifests: Descriptor[] }
  assert.equal(listed.manifests[0]?.digest, index.digest)
})

test('inspect shows the image’s digest, tags, layers and exact bytes', async () => {
  await copy(docker('copies/image:1'), docker('copies/image:2'))
  const shown = JSON.parse((await skopeo(['inspect', '--tls-verify=false', docker('copies/image:1')])).stdout)
  assert.equal(shown.Digest, image.digest)
  assert.equal(shown.Name, berth.reference('copies/image'))
  assert.deepEqual(shown.RepoTags, ['1', '2'])
  assert.equal(shown.Layers.length, 3)
  const raw = await skopeo(['inspect', '--tls-verify=false', '--raw', docker(`copies/image@${image.digest}`)])
  assert.equal(raw.stdout, layout.read(image.digest).toString())
})

test('list-tags lists them all, in order', async () => {
  const { stdout } = await skopeo(['list-tags', '--tls-verify=false', docker('copies/image')])
  assert.deepEqual(JSON.parse(stdout), { Repository: berth.reference('copies/image'), Tags: ['1', '2'] })
})

test('a copy to another repository mounts, and to another registry and back keeps the digest', async () => {
  const peerReference = `docker://${(peer as DockerRegistry).host}/mirror:1`
  await copy('--all', docker('copies/index:1'), docker('copies/mounted:1'))
  assert.equal((await readImage(berth.source('copies/mounted'), '1')).digest, index.digest)
  await copy('--all', docker('copies/index:1'), peerReference)
  await copy('--all', peerReference, docker('copies/returned:1'))
  assert.equal((await readImage(berth.source('copies/returned'), '1')).digest, index.digest)
})

test('Docker schema 2 images and manifest lists are stored as they are', async () => {
  await copy('--format', 'v2s2', `oci:${layout.path}:image`, docker('schema2/image:1'))
  const stored = await readImage(berth.source('schema2/image'), '1')
  assert.equal(stored.mediaType, 'application/vnd.docker.distribution.manifest.v2+json')
  await copy('--all', '--format', 'v2s2', `oci:${layout.path}:index`, docker('schema2/list:1'))
  const list = await readImage(berth.source('schema2/list'), '1')
  assert.equal(list.mediaType, 'application/vnd.docker.distribution.manifest.list.v2+json')
  assert.equal(list.manifests.length, 3)
})

test('an artifact of a type of its own is copied and read back', async () => {
  const artifact = putArtifact(layout, {
    artifactType: 'application/vnd.example.report',
    content: 'all is well',
    tag: 'report',
  })
  await copy(`oci:${layout.path}:report`, docker('reports/daily:1'))
  const stored = await readImage(berth.source('reports/daily'), '1')
  assert.equal(stored.digest, artifact.digest)
  assert.deepEqual(JSON.parse(stored.content.toString()).artifactType, 'application/vnd.example.report')
})

test('sync brings whole repositories in, and takes them out again', async () => {
  for (const tag of ['1', '2', 'latest'])
    await copy(`oci:${layout.path}:image`, `docker://${peer?.host}/synced:${tag}`)
  const tls = ['--src-tls-verify=false', '--dest-tls-verify=false']
  await skopeo([
    'sync',
    ...tls,
    '--src',
    'docker',
    '--dest',
    'docker',
    `${peer?.host}/synced`,
    berth.reference('in'),
  ])
  const tags = JSON.parse(
    (await skopeo(['list-tags', '--tls-verify=false', docker('in/synced')])).stdout,
  ).Tags
  assert.deepEqual(tags, ['1', '2', 'latest'])
  assert.equal((await readImage(berth.source('in/synced'), 'latest')).digest, image.digest)
  const out = join(folder.path, 'synced')
  mkdirSync(out)
  await skopeo(['sync', ...tls, '--src', 'docker', '--dest', 'dir', berth.reference('in/synced'), out])
  assert.equal(
    readFileSync(join(out, 'synced:2', 'manifest.json'), 'utf8'),
    layout.read(image.digest).toString(),
  )
})

test('delete needs the right to, and takes the tag away', async () => {
  await copy(`oci:${layout.path}:image`, docker('deleted/image:1'))
  const remove = ['delete', '--tls-verify=false', docker('deleted/image:1')]
  const refused = await skopeo(remove, { allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /denied|unauthorized/i)
  assert.equal(await resolveTag(berth.source('deleted/image'), '1'), image.digest)
  const { key } = await berth.server.createKey(berth.project.id, { actions: ['pull', 'delete'] })
  await skopeo([...remove, '--creds', `api:${key}`])
  assert.equal(await resolveTag(berth.source('deleted/image'), '1'), null)
})

test('two projects do not see each other’s images', async () => {
  const other = await berth.server.createProject('globex')
  const stranger = await berth.server.createKey(other.id)
  const creds = ['--creds', `api:${stranger.key}`]
  await copy(`oci:${layout.path}:image`, docker('secret/image:1'))
  const existing = await skopeo(['inspect', '--tls-verify=false', ...creds, docker('secret/image:1')], {
    allowFailure: true,
  })
  const absent = await skopeo(['inspect', '--tls-verify=false', ...creds, docker('secret/never:1')], {
    allowFailure: true,
  })
  assert.notEqual(existing.code, 0)
  assert.equal(
    withoutTime(existing.stderr),
    withoutTime(absent.stderr).replaceAll('secret/never', 'secret/image'),
  )
  const push = ['copy', '--dest-tls-verify=false', '--dest-creds', `api:${stranger.key}`]
  const refused = await skopeo([...push, `oci:${layout.path}:image`, docker('secret/image:2')], {
    allowFailure: true,
  })
  assert.notEqual(refused.code, 0)
  assert.equal(await resolveTag(berth.source('secret/image'), '2'), null)
  const own = `docker://${berth.host}/globex/image:1`
  await skopeo([...push, `oci:${layout.path}:image`, own])
  const strange = await skopeo(['inspect', '--tls-verify=false', own], { allowFailure: true })
  assert.notEqual(strange.code, 0)
})

test('anyone pulls from a public repository, and only from that', async () => {
  const path = `/projects/${berth.project.id}`
  const { status } = await berth.server.api('PATCH', path, { publicRepositories: ['public/**'] })
  assert.equal(status, 200)
  for (const repository of ['public/image', 'private/image']) {
    await copy(`oci:${layout.path}:image`, docker(`${repository}:1`))
  }
  const out = `oci:${join(folder.path, 'anonymous')}:image`
  const pull = ['copy', '--src-tls-verify=false', '--src-no-creds']
  await skopeo([...pull, docker('public/image:1'), out])
  const refused = await skopeo([...pull, docker('private/image:1'), out], { allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /unauthorized/i)
  const push = ['copy', '--dest-tls-verify=false', '--dest-no-creds']
  const pushed = await skopeo([...push, `oci:${layout.path}:image`, docker('public/image:2')], {
    allowFailure: true,
  })
  assert.notEqual(pushed.code, 0)
  assert.equal(await resolveTag(berth.source('public/image'), '2'), null)
})

test('after logout nothing can be pulled', async () => {
  await skopeo(['logout', berth.host])
  const refused = await skopeo(['inspect', '--tls-verify=false', docker('copies/image:1')], {
    allowFailure: true,
  })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /unauthorized/i)
})

function skopeo(
  args: readonly string[],
  options: { stdin?: string; allowFailure?: boolean } = {},
): Promise<CommandResult> {
  const policy = join(folder.path, 'policy.json')
  writeFileSync(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  return runCommand(findTool('skopeo') as string, ['--policy', policy, ...args], {
    ...options,
    env: { ...process.env, REGISTRY_AUTH_FILE: authFile, HOME: folder.path },
  })
}

function copy(...args: string[]): Promise<CommandResult> {
  return skopeo(['copy', '--src-tls-verify=false', '--dest-tls-verify=false', ...args])
}

function docker(pathAndTag: string): string {
  return `docker://${berth.reference(pathAndTag)}`
}

function withoutTime(text: string): string {
  return text.replace(/time="[^"]*"/, '')
}

// @needs docker, containerd, podman, buildah, skopeo, docker-registry, htpasswd, busybox
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { putBusyboxImage, putIndex, writeDockerArchive } from '../images.ts'
import { createLayout, type Descriptor, type Layout } from '../layout.ts'
import { temporaryFolder } from '../process.ts'
import { startContainerd } from './containerd.ts'
import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts'
import { startDockerd } from './dockerd.ts'
import { runArguments, startPodman } from './podman.ts'

const folder = temporaryFolder('clients')
const credentials = { username: 'api', password: 's3cret' }
let layout: Layout
let image: Descriptor
let registry: DockerRegistry

before(async () => {
  layout = createLayout(join(folder.path, 'layout'))
  image = await putBusyboxImage(layout, { seed: 'clients', tag: 'box' })
  putIndex(layout, { seed: 'clients', tag: 'multi' })
  registry = await startDockerRegistry({ credentials })
})

after(async () => {
  await registry.stop()
  folder.remove()
})

test('docker-registry asks for its credentials', async () => {
  const basic = `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
  assert.equal((await fetch(`${registry.url}/v2/`)).status, 401)
  assert.equal((await fetch(`${registry.url}/v2/`, { headers: { authorization: basic } })).status, 200)
})

test('a Docker engine of its own loads, runs, pushes and pulls', async () => {
  await using engine = await startDockerd()
  const reference = `${registry.host}/docker/box:1`
  const archive = join(folder.path, 'box.tar')
  writeDockerArchive(layout, image, reference, archive)
  await engine.docker(['load', '--input', archive])
  const run = await engine.docker(['run', '--rm', '--network', 'none', reference])
  assert.equal(run.stdout, 'clients\n')
  await engine.docker(['login', '-u', 'api', '--password-stdin', registry.host], {
    stdin: credentials.password,
  })
  await engine.docker(['push', reference])
  await engine.docker(['rmi', reference])
  const pulled = await engine.docker(['pull', reference])
  assert.match(pulled.stdout, /Downloaded newer image/)
})

test('skopeo, podman and buildah keep to their own storage and credentials', async () => {
  await using tools = await startPodman({ insecureRegistries: [registry.host] })
  await tools.skopeo(['login', '--tls-verify=false', '-u', 'api', '--password-stdin', registry.host], {
    stdin: credentials.password,
  })
  const reference = `${registry.host}/podman/box:1`
  const copy = ['copy', '--all', '--dest-tls-verify=false']
  await tools.skopeo([...copy, `oci:${layout.path}:multi`, `docker://${registry.host}/podman/multi:1`])
  await tools.skopeo([...copy, `oci:${layout.path}:box`, `docker://${reference}`])
  await tools.podman(['pull', reference])
  const run = await tools.podman(['run', '--rm', ...runArguments, reference])
  assert.equal(run.stdout, 'clients\n')
  writeFileSync(join(folder.path, 'Dockerfile'), `FROM ${reference}\nRUN echo built > /message\n`)
  const target = `${registry.host}/podman/built:1`
  await tools.buildah(['build', '--isolation', 'chroot', '-t', target, folder.path])
  await tools.buildah(['push', target])
  const built = await tools.podman(['run', '--rm', ...runArguments, target])
  assert.equal(built.stdout, 'built\n')
})

test('a containerd of its own imports, pushes and pulls', async () => {
  await using daemon = await startContainerd()
  const reference = `${registry.host}/containerd/box:1`
  const archive = join(folder.path, 'import.tar')
  writeDockerArchive(layout, image, reference, archive)
  await daemon.ctr(['images', 'import', archive])
  const access = ['--plain-http', '--user', `${credentials.username}:${credentials.password}`]
  await daemon.ctr(['images', 'push', ...access, reference])
  await daemon.ctr(['images', 'rm', reference])
  await daemon.ctr(['images', 'pull', ...access, reference])
  const list = await daemon.ctr(['images', 'ls', '-q'])
  assert.equal(list.stdout.trim(), reference)
})

// @tier full
// @needs docker, skopeo
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { putBigImage, putImage, writeDockerArchive } from '../support/images.ts'
import { createLayout, type Descriptor, type Layout } from '../support/layout.ts'
import { peakMemoryBytes, resetPeakMemory } from '../support/peak-memory.ts'
import { type CommandResult, runCommand, temporaryFolder } from '../support/process.ts'
import { readImage } from '../support/read-image.ts'
import { type Dockerd, startDockerd } from '../support/servers/dockerd.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

/*
 * Images that are unusual by their number of layers or by their size.
 */

const mib = 1024 * 1024
const manyLayers = 60
/** What Berth may hold in memory at most meanwhile, a fraction of the image: on S3 the parts being sent come on top. */
const memoryLimitBytes = { 'sqlite-fs': 300 * mib, 'postgres-s3': 400 * mib }

const berth = useBerth()
const folder = temporaryFolder('e2e-images')
let layout: Layout
let engine: Dockerd | undefined

before(async () => {
  await berth.start()
  engine = await startDockerd()
  layout = createLayout(join(folder.path, 'layout'))
})

after(async () => {
  await engine?.stop()
  folder.remove()
})

test(`docker pushes and pulls an image of ${manyLayers} layers`, async () => {
  const image = putImage(layout, { seed: 'layers', layers: manyLayers, layerSizeBytes: 30_000 })
  const reference = berth.reference('large/layers:1')
  const archive = join(folder.path, 'layers.tar')
  writeDockerArchive(layout, image, reference, archive)
  await docker(['load', '--input', archive])
  await docker(['login', '-u', 'api', '--password-stdin', berth.host], { stdin: berth.key.key })
  await docker(['push', reference])
  const stored = await readImage(berth.source('large/layers'), '1')
  assert.equal(stored.blobs.length, manyLayers + 1)
  const idOf = async (): Promise<string> =>
    (await docker(['image', 'inspect', '--format', '{{.Id}}', reference])).stdout.trim()
  const id = await idOf()
  await docker(['rmi', '--force', reference])
  await docker(['pull', reference])
  assert.equal(await idOf(), id)
  await docker(['rmi', '--force', reference])
})

test('skopeo pushes all of 60 layers at once, and again without sending one', async () => {
  const image = putImage(layout, {
    seed: 'at once',
    layers: manyLayers,
    layerSizeBytes: 100_000,
    tag: 'many',
  })
  await copy(`oci:${layout.path}:many`, `docker://${berth.reference('large/many:1')}`)
  await copy(`oci:${layout.path}:many`, `docker://${berth.reference('large/many:2')}`)
  for (const tag of ['1', '2']) {
    assert.equal((await readImage(berth.source('large/many'), tag)).digest, image.digest)
  }
})

test('an image of more than 1 GiB goes in and out exactly, within bounded memory', async () => {
  const image = putBigImage(layout, { seed: 'big', tag: 'big' })
  const { layers } = JSON.parse(layout.read(image.digest).toString()) as { layers: Descriptor[] }
  const sizeBytes = layers.reduce((sum, layer) => sum + layer.size, 0)
  assert.ok(sizeBytes > 1024 * mib)
  const { pid } = berth.server
  resetPeakMemory(pid)
  await copy(`oci:${layout.path}:big`, `docker://${berth.reference('large/big:1')}`)
  const pushPeakBytes = peakMemoryBytes(pid)

  const out = join(folder.path, 'out')
  mkdirSync(out)
  // A folder of plain files: nothing compresses, converts or skips what the registry sends.
  await copy(`docker://${berth.reference('large/big:1')}`, `dir:${out}`)
  assert.equal(readFileSync(join(out, 'manifest.json'), 'utf8'), layout.read(image.digest).toString())
  const stored = await readImage(berth.source('large/big'), '1')
  assert.equal(stored.digest, image.digest)
  assert.equal(stored.blobBytes > sizeBytes, true)
  const peakBytes = peakMemoryBytes(pid)
  console.log(
    `peak memory: push ${Math.round(pushPeakBytes / mib)} MiB, all ${Math.round(peakBytes / mib)} MiB`,
  )
  const limitBytes = memoryLimitBytes[berth.server.stack]
  assert.ok(peakBytes < limitBytes, `peak memory ${Math.round(peakBytes / mib)} MiB`)
})

function docker(...call: Parameters<Dockerd['docker']>): ReturnType<Dockerd['docker']> {
  assert.ok(engine, 'the engine runs')
  return engine.docker(...call)
}

function copy(from: string, to: string): Promise<CommandResult> {
  const creds = `api:${berth.key.key}`
  const access = from.startsWith('docker:')
    ? ['--src-tls-verify=false', `--src-creds=${creds}`]
    : ['--dest-tls-verify=false', `--dest-creds=${creds}`]
  // Otherwise skopeo compresses plain layers on their way.
  const copying = ['--insecure-policy', 'copy', '--preserve-digests']
  return runCommand(findTool('skopeo') as string, [...copying, ...access, from, to])
}

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { putArtifact, putBigImage, putImage, putIndex, seededBytes, seededChunks } from './images.ts'
import { createLayout, type Descriptor } from './layout.ts'
import { temporaryFolder } from './process.ts'

const folder = temporaryFolder('images')
after(() => folder.remove())

test('the same seed gives the same bytes, another seed others', () => {
  const size = 3 * 1024 * 1024 + 17
  assert.equal(seededBytes('a', size).length, size)
  assert.deepEqual(seededBytes('a', size), Buffer.concat([...seededChunks('a', size)]))
  assert.notDeepEqual(seededBytes('a', 64), seededBytes('b', 64))
  const twice = ['one', 'two'].map((name) =>
    putImage(createLayout(join(folder.path, name)), { seed: 'same', layers: 60 }),
  )
  assert.deepEqual(twice[0], twice[1])
})

test('every blob lies under its own digest, and layers are what the config says', () => {
  const layout = createLayout(join(folder.path, 'checked'))
  const image = putImage(layout, { seed: 'checked', format: 'docker', tag: 'image' })
  putIndex(layout, { seed: 'checked', tag: 'index' })
  putArtifact(layout, {
    artifactType: 'application/vnd.example+json',
    content: '{}',
    subject: image,
    tag: 'artifact',
  })
  const blobs = join(layout.path, 'blobs', 'sha256')
  for (const name of readdirSync(blobs)) {
    assert.equal(
      createHash('sha256')
        .update(readFileSync(join(blobs, name)))
        .digest('hex'),
      name,
    )
  }
  type Manifest = { mediaType: string; config: Descriptor; layers: Descriptor[] }
  const manifest = JSON.parse(layout.read(image.digest).toString()) as Manifest
  assert.equal(manifest.mediaType, 'application/vnd.docker.distribution.manifest.v2+json')
  const config = JSON.parse(layout.read(manifest.config.digest).toString()) as {
    rootfs: { diff_ids: string[] }
  }
  const contents = manifest.layers.map((layer) => gunzipSync(layout.read(layer.digest)))
  assert.deepEqual(
    contents.map((tar) => `sha256:${createHash('sha256').update(tar).digest('hex')}`),
    config.rootfs.diff_ids,
  )
})

test('big layers are written as they are made', () => {
  const layout = createLayout(join(folder.path, 'big'))
  const image = putBigImage(layout, { seed: 'big', layers: 2, layerSizeBytes: 5 * 1024 * 1024 + 1 })
  const { layers } = JSON.parse(layout.read(image.digest).toString()) as { layers: Descriptor[] }
  for (const layer of layers) assert.equal(statSync(layout.blobPath(layer.digest)).size, layer.size)
})

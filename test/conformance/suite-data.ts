/** The data sets of the official suite, by the names that its results use. */
import { seededBytes } from '../support/images.ts'
import { type Algorithm, describeContent, types } from './content.ts'
import {
  addArtifact,
  addBlob,
  addImage,
  addImageManifest,
  addIndex,
  addLayer,
  addPlatformIndex,
  amd64,
  arm64,
  createDataSet,
  type DataSet,
} from './data-sets.ts'

const note = { 'org.opencontainers.conformance': 'hello' }

function build(name: string, fill: (set: DataSet) => void, algorithm: Algorithm = 'sha256'): DataSet {
  const set = createDataSet(name, algorithm)
  fill(set)
  return set
}

/** Every data set that both versions of the suite push, in its order. */
export function suiteDataSets(): DataSet[] {
  return [
    build('image', (set) => addImage(set, { tag: 'image' })),
    build('image-uncompressed', (set) => addImage(set, { tag: 'image-uncompressed', isUncompressed: true })),
    build('large-manifest', (set) =>
      addImage(set, { tag: 'large-manifest', annotations: largeAnnotations() }),
    ),
    build('index', (set) => addPlatformIndex(set, { tag: 'index' })),
    build('nested-index', fillNestedIndex),
    build('empty-index', (set) => addIndex(set, [], { tag: 'index' })),
    build('artifact', (set) => addArtifact(set, { tag: 'artifact', artifactType: types.firstArtifact })),
    build('artifact-index', fillArtifactIndex),
    build('artifact-without-layers', (set) =>
      addArtifact(set, { tag: 'artifact-without-layers', artifactType: types.firstArtifact, isEmpty: true }),
    ),
    build('artifacts-with-subject', fillArtifactsWithSubject),
    build('index-with-subject', fillIndexWithSubject),
    build('missing-subject', fillMissingSubject),
    build('data-field', (set) => addImage(set, { tag: 'data-field', withData: true })),
    build('non-distributable-layers', fillForeignLayers),
    build('custom-fields', (set) =>
      addPlatformIndex(set, {
        tag: 'custom-fields',
        extra: { 'org.example.unknown': { list: [1, 'two', null] } },
      }),
    ),
    build('no-layers', (set) => addImage(set, { tag: 'no-layers', layers: 0 })),
    build('sha512', (set) => addPlatformIndex(set), 'sha512'),
  ]
}

/** Pushed by digest with every tag as a tag parameter (1.1+dev); the index has two tags. */
export function tagParameterDataSet(algorithm: Algorithm): DataSet {
  const name = `tag-param-${algorithm}`
  return build(
    name,
    (set) => {
      addPlatformIndex(set, { tag: name })
      for (const [n, { digest }] of set.manifests.entries()) set.tags.set(`${name}-${n}`, digest)
    },
    algorithm,
  )
}

/** An image whose manifest has two more bytes than its digest says. */
export function badDigestDataSet(): DataSet {
  return build('bad-digest-image', (set) => {
    addImage(set)
    const [manifest] = set.manifests
    if (manifest !== undefined) manifest.content = Buffer.concat([manifest.content, Buffer.from('  ')])
  })
}

/** An image that is there, and an index of it and of one that never was (data set `sparse`, off in the suite). */
export function sparseIndexDataSet(): DataSet {
  return build('sparse', (set) => {
    const present = { ...addImage(set), platform: amd64 }
    const absent = describeContent(seededBytes('never pushed', 1024), types.image)
    addIndex(set, [present, { ...absent, platform: arm64 }], { tag: 'sparse-index' })
  })
}

/** An image without one of its layers (the other half of `sparse`). */
export function sparseImageDataSet(): DataSet {
  return build('sparse', (set) => {
    addImage(set, { tag: 'sparse-image' })
    const [layer] = set.blobs.keys()
    if (layer !== undefined) set.blobs.delete(layer)
  })
}

/** 390 annotations of 10 000 characters: 3.9 MB. */
function largeAnnotations(): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: 390 }, (_, n) => [`large-annotation-${n}`, 'A'.repeat(10_000)]),
  )
}

function fillNestedIndex(set: DataSet): void {
  addIndex(set, [addPlatformIndex(set), addPlatformIndex(set)], { tag: 'index-of-index' })
}

function fillArtifactIndex(set: DataSet): void {
  const artifactType = types.firstArtifact
  const entries = [amd64, arm64].map((platform) => ({ ...addArtifact(set, { artifactType }), platform }))
  addIndex(set, entries, { tag: 'artifact-index', artifactType })
}

function fillArtifactsWithSubject(set: DataSet): void {
  const subject = addImage(set, { tag: 'image' })
  addImage(set, { subject })
  const first = { subject, artifactType: types.firstArtifact, tag: 'tagged-artifact1' }
  addArtifact(set, { ...first, annotations: { ...note, 'org.example.one': 'first' } })
  const second = {
    subject,
    artifactType: types.secondArtifact,
    tag: 'tagged-artifact2',
    blobType: types.bytes,
  }
  addArtifact(set, { ...second, annotations: { ...note, 'org.example.two': 'second' } })
}

function fillIndexWithSubject(set: DataSet): void {
  const subject = addPlatformIndex(set, { tag: 'index' })
  const common = { subject, artifactType: types.firstArtifact, annotations: note }
  const entries = [amd64, arm64].map((platform) => ({ ...addArtifact(set, common), platform }))
  addIndex(set, entries, { ...common, tag: 'tagged-artifact' })
}

function fillMissingSubject(set: DataSet): void {
  const subject = describeContent(Buffer.from('missing content'), types.image)
  addArtifact(set, { subject, artifactType: types.firstArtifact, annotations: note, tag: 'tagged-artifact' })
}

function fillForeignLayers(set: DataSet): void {
  const foreign = [types.foreignGzipLayer, types.foreignLayer].map((mediaType) => {
    const descriptor = describeContent(seededBytes(mediaType, 256), mediaType)
    return { ...descriptor, urls: [`https://store.example.com/${descriptor.digest}`] }
  })
  const own = addLayer(set, {})
  const config = addBlob(
    set,
    Buffer.from(JSON.stringify({ ...amd64, rootfs: { type: 'layers' } })),
    types.config,
  )
  addImageManifest(set, config, [...foreign, own], { tag: 'non-distributable-image' })
}

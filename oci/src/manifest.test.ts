import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { digestOf } from './digest.ts'
import { type ParsedManifest, parseManifest } from './manifest.ts'
import { bytes, descriptor, digest, image, index, type Json } from './manifest-fixture.ts'
import {
  DOCKER_CONTAINER_CONFIG,
  DOCKER_FOREIGN_LAYER_TAR_GZIP,
  DOCKER_LAYER_TAR_GZIP,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  OCI_EMPTY_JSON,
  OCI_IMAGE_CONFIG,
  OCI_IMAGE_INDEX,
  OCI_IMAGE_MANIFEST,
  OCI_LAYER_TAR_GZIP,
  OCI_NONDISTRIBUTABLE_TAR_GZIP,
} from './media-type.ts'

function accept(document: Json | string, contentType: string | null = null): ParsedManifest {
  const result = parseManifest(bytes(document), contentType)
  assert.ok(result.ok, result.ok ? '' : result.message)
  return result.manifest
}

describe('parseManifest accepts', () => {
  it('an OCI image', () => {
    const source = image({ annotations: { Key: 'v', key: 'w' } })
    assert.deepEqual(accept(source, OCI_IMAGE_MANIFEST), {
      kind: 'image',
      mediaType: OCI_IMAGE_MANIFEST,
      artifactType: OCI_IMAGE_CONFIG,
      config: source['config'],
      layers: source['layers'],
      manifests: [],
      subject: null,
      annotations: { Key: 'v', key: 'w' },
      blobs: [source['config'], ...(source['layers'] as Json[])],
      children: [],
    })
  })

  it('an OCI index', () => {
    const source = index()
    assert.deepEqual(accept(source, OCI_IMAGE_INDEX), {
      kind: 'index',
      mediaType: OCI_IMAGE_INDEX,
      artifactType: null,
      config: null,
      layers: [],
      manifests: source['manifests'],
      subject: null,
      annotations: null,
      blobs: [],
      children: source['manifests'],
    })
  })

  it('Docker schema 2', () => {
    const source = image({
      mediaType: DOCKER_MANIFEST,
      config: descriptor('config', DOCKER_CONTAINER_CONFIG),
      layers: [
        descriptor('base', DOCKER_FOREIGN_LAYER_TAR_GZIP, { urls: ['https://example.com/base'] }),
        descriptor('layer', DOCKER_LAYER_TAR_GZIP),
      ],
    })
    const manifest = accept(source, DOCKER_MANIFEST)
    assert.equal(manifest.kind, 'image')
    assert.equal(manifest.layers.length, 2)
    assert.deepEqual(
      manifest.blobs.map((blob) => blob.digest),
      [digest('config'), digest('layer')],
    )
  })

  it('a Docker manifest list', () => {
    const manifests = [
      descriptor('arm', DOCKER_MANIFEST, {
        platform: { architecture: 'arm', os: 'linux', variant: 'v7', features: ['x'] },
      }),
    ]
    const manifest = accept(index({ mediaType: DOCKER_MANIFEST_LIST, manifests }), DOCKER_MANIFEST_LIST)
    assert.equal(manifest.kind, 'index')
    assert.deepEqual(manifest.manifests, manifests)
  })

  it('an artifact with an empty config, its layers any media type', () => {
    const config = { ...descriptor('{}', OCI_EMPTY_JSON), data: 'e30=' }
    const layers = [descriptor('sbom', 'application/vnd.dev.sigstore.bundle+json;version=0.3')]
    const manifest = accept(image({ config, layers, artifactType: 'application/vnd.example' }))
    assert.equal(manifest.artifactType, 'application/vnd.example')
    assert.deepEqual(manifest.config, config)
  })

  it('an artifact without artifactType: the config’s media type stands for it', () => {
    for (const artifactType of [undefined, '', null]) {
      assert.equal(
        accept(image({ config: descriptor('x', 'application/x'), artifactType })).artifactType,
        'application/x',
      )
    }
  })

  it('an index with an artifactType', () => {
    assert.equal(
      accept(index({ artifactType: 'application/vnd.example' })).artifactType,
      'application/vnd.example',
    )
  })

  it('no layers and no manifests', () => {
    assert.deepEqual(accept(image({ layers: [] })).layers, [])
    assert.deepEqual(accept(image({ layers: null })).layers, [])
    assert.deepEqual(accept(index({ manifests: [] })).manifests, [])
    assert.deepEqual(accept(index({ manifests: null })).manifests, [])
  })

  it('null for a field that is not there', () => {
    const nulls = { subject: null, annotations: null, artifactType: null, manifests: null }
    const config = descriptor('c', OCI_IMAGE_CONFIG)
    const manifest = accept(
      image({ ...nulls, config: { ...config, urls: null, annotations: null, data: null, platform: null } }),
    )
    assert.deepEqual(manifest.config, config)
    assert.equal(accept(index({ config: null, layers: null })).kind, 'index')
  })

  it('a subject, be it there or not', () => {
    const subject = descriptor('subject', OCI_IMAGE_MANIFEST)
    assert.deepEqual(accept(image({ subject })).subject, subject)
    assert.deepEqual(accept(index({ subject })).subject, subject)
    assert.deepEqual(accept(image({ subject })).children, [])
  })

  it('what Docker’s documents call subject, without taking it for one', () => {
    assert.equal(accept(image({ mediaType: DOCKER_MANIFEST, subject: 'anything' })).subject, null)
  })

  it('non-distributable layers, which need not be there', () => {
    const layers = [descriptor('nd', OCI_NONDISTRIBUTABLE_TAR_GZIP), descriptor('layer', OCI_LAYER_TAR_GZIP)]
    const manifest = accept(image({ layers }))
    assert.equal(manifest.layers.length, 2)
    assert.deepEqual(
      manifest.blobs.map((blob) => blob.digest),
      [digest('config'), digest('layer')],
    )
  })

  it('a non-distributable media type for a config, which must be there all the same', () => {
    const manifest = accept(
      image({ config: descriptor('config', OCI_NONDISTRIBUTABLE_TAR_GZIP), layers: [] }),
    )
    assert.equal(manifest.blobs.length, 1)
  })

  it('a layer twice, and asks for it once', () => {
    const layer = descriptor('layer', OCI_LAYER_TAR_GZIP)
    const again = { ...layer, annotations: { again: 'yes' } }
    const manifest = accept(image({ layers: [layer, again] }))
    assert.deepEqual(manifest.layers, [layer, again])
    assert.deepEqual(manifest.blobs.slice(1), [layer])
  })

  it('an index of layers, as BuildKit caches are', () => {
    const manifests = [
      descriptor('layer', OCI_LAYER_TAR_GZIP),
      descriptor('cacheconfig', 'application/vnd.buildkit.cacheconfig.v0'),
      descriptor('image', OCI_IMAGE_MANIFEST),
      descriptor('nested', OCI_IMAGE_INDEX),
      descriptor('foreign', OCI_NONDISTRIBUTABLE_TAR_GZIP),
    ]
    const manifest = accept(index({ manifests }))
    assert.deepEqual(manifest.blobs, manifests.slice(0, 2))
    assert.deepEqual(manifest.children, manifests.slice(2, 4))
  })

  it('every field of a descriptor', () => {
    const platform = {
      architecture: 'a',
      os: 'b',
      'os.version': 'c',
      'os.features': ['d'],
      variant: 'e',
      features: ['f'],
    }
    const annotations = { k: 'v' }
    const full = descriptor('{}', 'a/b', {
      urls: ['u'],
      annotations,
      data: 'e30=',
      artifactType: 'c/d',
      platform,
    })
    assert.deepEqual(accept(index({ manifests: [full] })).manifests, [full])
    assert.deepEqual(accept(image({ subject: full })).subject, full)
  })

  it('sha512', () => {
    const config = {
      ...descriptor('config', OCI_IMAGE_CONFIG),
      digest: digestOf('sha512', Buffer.from('config')),
    }
    assert.deepEqual(accept(image({ config })).config, config)
  })

  it('embedded data', () => {
    for (const text of ['', 'a', 'ab', 'abc', '{}']) {
      const config = descriptor(text, OCI_IMAGE_CONFIG, { data: Buffer.from(text).toString('base64') })
      assert.equal(accept(image({ config })).config?.data ?? '', config['data'])
    }
  })

  it('unknown fields anywhere, custom ones as well as those of other kinds of document', () => {
    const config = {
      ...descriptor('config', OCI_IMAGE_CONFIG),
      'org.example': { A: [1, null, 2.5] },
      Layers: 1,
    }
    assert.equal(
      accept(image({ config, name: 'x', history: [], org: { Config: { MediaType: 1 } } })).kind,
      'image',
    )
  })

  it('hostile but lawful names', () => {
    const annotations = '{"__proto__":"a","constructor":"b","":"c","toString":"d"}'
    const text = JSON.stringify(image()).replace('"layers"', `"annotations":${annotations},"layers"`)
    assert.deepEqual(Object.entries(accept(text).annotations ?? {}), Object.entries(JSON.parse(annotations)))
  })

  const mediaTypes: [name: string, written: string | undefined, contentType: string | null][] = [
    ['body and header', OCI_IMAGE_MANIFEST, OCI_IMAGE_MANIFEST],
    ['header only', undefined, OCI_IMAGE_MANIFEST],
    ['body only', OCI_IMAGE_MANIFEST, null],
    ['header with a parameter', OCI_IMAGE_MANIFEST, `${OCI_IMAGE_MANIFEST}; charset=utf-8`],
    ['header in another case', OCI_IMAGE_MANIFEST, 'Application/vnd.OCI.image.manifest.v1+json'],
    ['empty body field', '', OCI_IMAGE_MANIFEST],
  ]
  for (const [name, mediaType, contentType] of mediaTypes) {
    it(`a media type from ${name}`, () => {
      assert.equal(accept(image({ mediaType }), contentType).mediaType, OCI_IMAGE_MANIFEST)
    })
  }

  it('as many layers and entries as the limits say', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, i) => descriptor(`d${i}`, OCI_LAYER_TAR_GZIP))
    assert.equal(accept(image({ layers: many(4_096) })).layers.length, 4_096)
    assert.equal(accept(index({ manifests: many(10_000) })).manifests.length, 10_000)
  })

  it('a manifest of nearly 4 MiB of annotations', () => {
    const entries = Array.from({ length: 390 }, (_, i) => [`org.example.key-${i}`, 'x'.repeat(10_000)])
    const annotations = Object.fromEntries(entries) as Record<string, string>
    assert.deepEqual(accept(image({ annotations })).annotations, annotations)
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseManifest } from './manifest.ts'
import type { ManifestMistakeCode } from './manifest-fields.ts'
import { bytes, descriptor, image, index, type Json, without } from './manifest-fixture.ts'
import {
  DOCKER_MANIFEST,
  DOCKER_SCHEMA1_MANIFEST,
  DOCKER_SCHEMA1_SIGNED_MANIFEST,
  OCI_IMAGE_CONFIG,
  OCI_IMAGE_INDEX,
  OCI_IMAGE_MANIFEST,
  OCI_LAYER_TAR_GZIP,
} from './media-type.ts'

function refuse(
  document: Json | string,
  contentType: string | null = null,
): { code: string; message: string } {
  const result = parseManifest(bytes(document), contentType)
  assert.ok(!result.ok, 'this manifest must be refused')
  return result
}

const config = descriptor('config', OCI_IMAGE_CONFIG)
const layer = descriptor('layer', OCI_LAYER_TAR_GZIP)

describe('parseManifest refuses', () => {
  const INVALID = 'MANIFEST_INVALID'
  const cases: [name: string, document: Json | string, code: ManifestMistakeCode, pattern: RegExp][] = [
    ['nothing', '', INVALID, /JSON refused: the document ends/],
    ['an array', '[]', INVALID, /manifest must be an object/],
    ['null', 'null', INVALID, /manifest must be an object/],
    ['a string', '"x"', INVALID, /manifest must be an object/],
    ['an empty object', '{}', INVALID, /mediaType is missing/],
    ['no JSON', '<html>', INVALID, /JSON refused/],
    ['trailing garbage', `${JSON.stringify(image())}x`, INVALID, /after the end/],
    ['two documents', JSON.stringify(image()).repeat(2), INVALID, /after the end/],
    ['byte order mark', `\ufeff${JSON.stringify(image())}`, INVALID, /JSON refused/],
    ['deep nesting', image({ x: JSON.parse('['.repeat(32) + ']'.repeat(32)) }), INVALID, /nested deeper/],
    ['duplicate layers', '{"layers":[],"layers":[]}', INVALID, /duplicate key "layers"/],
    ['Layers beside layers', image({ Layers: [] }), INVALID, /differ only in case|must be written/],
    ['Layers alone', { ...without(image(), 'layers'), Layers: [layer] }, INVALID, /must be written "layers"/],
    ['layerſ', image({ layerſ: [] }), INVALID, /case|must be written/],
    [
      'mediatype in a layer',
      image({ layers: [{ ...layer, MediaType: 'x' }] }),
      INVALID,
      /at layers\[0\]\.MediaType/,
    ],
    ['Size in a subject', image({ subject: { ...config, Size: 1 } }), INVALID, /at subject\.Size/],
    [
      'Architecture in a platform',
      index({ manifests: [{ ...config, platform: { OS: 'x' } }] }),
      INVALID,
      /platform\.OS/,
    ],
    ['fsLayers', image({ fsLayers: [] }), INVALID, /schema 1/],
    ['manifests in an image', image({ manifests: [] }), INVALID, /manifests must not be in an image/],
    ['layers in an index', index({ layers: [] }), INVALID, /layers must not be in an index/],
    ['config in an index', index({ config }), INVALID, /config must not be in an index/],
    ['schemaVersion 1', image({ schemaVersion: 1 }), INVALID, /skopeo copy --format v2s2/],
    ['schemaVersion 3', image({ schemaVersion: 3 }), INVALID, /schemaVersion must be 2/],
    ['schemaVersion as a string', image({ schemaVersion: '2' }), INVALID, /schemaVersion must be 2/],
    [
      'schemaVersion 2.0',
      JSON.stringify(image()).replace(':2,', ':2.0,'),
      INVALID,
      /plain integer at schemaVersion/,
    ],
    ['no schemaVersion', without(image(), 'schemaVersion'), INVALID, /schemaVersion must be 2/],
    ['mediaType as a number', image({ mediaType: 1 }), INVALID, /^mediaType must be a string/],
    ['mediaType of no manifest', image({ mediaType: OCI_IMAGE_CONFIG }), INVALID, /^mediaType is not that/],
    [
      'mediaType in upper case',
      image({ mediaType: OCI_IMAGE_MANIFEST.toUpperCase() }),
      INVALID,
      /^mediaType is not/,
    ],
    [
      'Docker schema 1',
      image({ mediaType: DOCKER_SCHEMA1_MANIFEST }),
      INVALID,
      /schema 1.*push again with Docker/,
    ],
    ['signed schema 1', image({ mediaType: DOCKER_SCHEMA1_SIGNED_MANIFEST }), INVALID, /schema 1/],
    ['no config', without(image(), 'config'), INVALID, /config is required/],
    ['config null', image({ config: null }), INVALID, /config is required/],
    ['config as an array', image({ config: [config] }), INVALID, /config must be an object/],
    ['no layers', without(image(), 'layers'), INVALID, /layers is required/],
    ['layers as an object', image({ layers: {} }), INVALID, /layers must be an array/],
    ['layers as a string', image({ layers: 'x' }), INVALID, /layers must be an array/],
    ['null in layers', image({ layers: [null] }), INVALID, /layers\[0\] must be an object/],
    ['string in layers', image({ layers: [layer, 'x'] }), INVALID, /layers\[1\] must be an object/],
    ['no manifests', without(index(), 'manifests'), INVALID, /manifests is required/],
    ['manifests as an object', index({ manifests: {} }), INVALID, /manifests must be an array/],
    ['artifactType as a number', image({ artifactType: 1 }), INVALID, /^artifactType must be a string/],
    [
      'artifactType with a line break',
      image({ artifactType: 'a/b\n' }),
      INVALID,
      /artifactType is not a media type/,
    ],
    ['very long artifactType', image({ artifactType: `a/${'b'.repeat(300)}` }), INVALID, /not a media type/],
    ['subject as a string', image({ subject: 'x' }), INVALID, /subject must be an object/],
    [
      'subject without digest',
      image({ subject: without(config, 'digest') }),
      INVALID,
      /subject\.digest is required/,
    ],
    ['annotations as an array', image({ annotations: [] }), INVALID, /^annotations must be an object/],
    [
      'number in annotations',
      image({ annotations: { a: 1 } }),
      INVALID,
      /annotations\["a"\] must be a string/,
    ],
    [
      'null in annotations',
      image({ annotations: { a: null } }),
      INVALID,
      /annotations\["a"\] must be a string/,
    ],
    [
      'object in annotations of a layer',
      image({ layers: [{ ...layer, annotations: { a: {} } }] }),
      INVALID,
      /layers\[0\]\.ann/,
    ],
    ['NUL in annotations', image({ annotations: { a: '\0' } }), INVALID, /NUL/],
    [
      'descriptor without mediaType',
      image({ config: without(config, 'mediaType') }),
      INVALID,
      /config\.mediaType is required/,
    ],
    [
      'descriptor with empty mediaType',
      image({ config: { ...config, mediaType: '' } }),
      INVALID,
      /mediaType is required/,
    ],
    [
      'descriptor with mediaType 1',
      image({ config: { ...config, mediaType: 1 } }),
      INVALID,
      /mediaType must be a string/,
    ],
    [
      'urls as a string',
      image({ layers: [{ ...layer, urls: 'x' }] }),
      INVALID,
      /layers\[0\]\.urls must be an array of/,
    ],
    [
      'number in urls',
      image({ layers: [{ ...layer, urls: [1] }] }),
      INVALID,
      /urls must be an array of strings/,
    ],
    [
      'platform as a string',
      index({ manifests: [{ ...config, platform: 'x' }] }),
      INVALID,
      /platform must be an object/,
    ],
    [
      'architecture 1',
      index({ manifests: [{ ...config, platform: { architecture: 1 } }] }),
      INVALID,
      /platform\.arch/,
    ],
    [
      'os.features as a string',
      index({ manifests: [{ ...config, platform: { 'os.features': 'x' } }] }),
      INVALID,
      /os\.feat/,
    ],
    [
      'digest as a number',
      image({ config: { ...config, digest: 1 } }),
      INVALID,
      /config\.digest must be a string/,
    ],
    [
      'malformed digest',
      image({ config: { ...config, digest: 'x' } }),
      'DIGEST_INVALID',
      /config\.digest is not a digest/,
    ],
    [
      'empty digest',
      image({ config: { ...config, digest: '' } }),
      'DIGEST_INVALID',
      /config\.digest is not a digest/,
    ],
    [
      'short digest',
      image({ layers: [{ ...layer, digest: 'sha256:00' }] }),
      'DIGEST_INVALID',
      /layers\[0\]\.digest is not a sha/,
    ],
    [
      'unknown algorithm',
      image({ layers: [{ ...layer, digest: `md5:${'0'.repeat(32)}` }] }),
      'DIGEST_INVALID',
      /is not a sha256 or sha512/,
    ],
    [
      'traversal in a digest',
      image({ layers: [{ ...layer, digest: 'sha256:../../x' }] }),
      'DIGEST_INVALID',
      /layers\[0\]\.digest is not a digest/,
    ],
    ['no size', image({ config: without(config, 'size') }), 'SIZE_INVALID', /config\.size is required/],
    ['size null', image({ config: { ...config, size: null } }), 'SIZE_INVALID', /config\.size is required/],
    [
      'negative size',
      image({ config: { ...config, size: -1 } }),
      'SIZE_INVALID',
      /config\.size must be a non-negative/,
    ],
    ['size as a string', image({ config: { ...config, size: '6' } }), 'SIZE_INVALID', /config\.size must be/],
    [
      'fraction for a size',
      image({ config: { ...config, size: 1.5 } }),
      INVALID,
      /plain integer at config\.size/,
    ],
    [
      'size 6.0',
      JSON.stringify(image()).replace('"size":6', '"size":6.0'),
      INVALID,
      /plain integer at config\.size/,
    ],
    ['size 6e0', JSON.stringify(image()).replace('"size":6', '"size":6e0'), INVALID, /plain integer/],
    [
      'size beyond 2^53',
      JSON.stringify(image()).replace('"size":6', '"size":9007199254740993'),
      INVALID,
      /2\^53/,
    ],
    [
      'size beyond int64',
      JSON.stringify(image()).replace('"size":6', '"size":1e400'),
      INVALID,
      /config\.size/,
    ],
    [
      'one digest, two sizes',
      image({ layers: [layer, { ...layer, size: 6 }] }),
      'SIZE_INVALID',
      /layers\[1\]\.size differs from layers\[0\]/,
    ],
    [
      'config and layer with two sizes',
      image({ layers: [{ ...config, size: 7 }] }),
      'SIZE_INVALID',
      /layers\[0\]\.size differs from config/,
    ],
    [
      'subject with another size',
      image({ subject: { ...config, size: 7 } }),
      'SIZE_INVALID',
      /subject\.size differs/,
    ],
    [
      'data of another size',
      image({ config: { ...config, data: 'e30=' } }),
      'SIZE_INVALID',
      /config\.data is 2 bytes long/,
    ],
    [
      'data of another content',
      image({ config: { ...config, data: Buffer.from('gifnoc').toString('base64') } }),
      'DIGEST_INVALID',
      /config\.data is not the content/,
    ],
    [
      'data that is no base64',
      image({ config: { ...config, data: '!!!!' } }),
      INVALID,
      /config\.data is not base64/,
    ],
    [
      'data without padding',
      image({ config: { ...descriptor('{}', 'a/b'), data: 'e30' } }),
      INVALID,
      /not base64/,
    ],
    ['data in the URL alphabet', image({ config: { ...config, data: '__-_' } }), INVALID, /not base64/],
    [
      'data with loose bits',
      image({ config: { ...descriptor('{}', 'a/b'), data: 'e31=' } }),
      INVALID,
      /not base64/,
    ],
    ['data with a line break', image({ config: { ...config, data: 'Y29u\nZmln' } }), INVALID, /not base64/],
    ['data as a number', image({ config: { ...config, data: 1 } }), INVALID, /config\.data must be a string/],
  ]
  for (const [name, document, code, pattern] of cases) {
    it(name, () => {
      const result = refuse(document)
      assert.equal(result.code, code)
      assert.match(result.message, pattern)
      assert.ok(result.message.length < 400)
    })
  }

  const contentTypes: [name: string, document: Json, contentType: string | null, pattern: RegExp][] = [
    ['image sent as index', image(), OCI_IMAGE_INDEX, /mediaType must be the same as Content-Type/],
    ['index sent as image', index(), OCI_IMAGE_MANIFEST, /mediaType must be the same/],
    ['OCI image sent as Docker’s', image(), DOCKER_MANIFEST, /mediaType must be the same/],
    [
      'image without mediaType sent as index',
      without(image(), 'mediaType'),
      OCI_IMAGE_INDEX,
      /must not be in an index/,
    ],
    [
      'index without mediaType sent as image',
      without(index(), 'mediaType'),
      OCI_IMAGE_MANIFEST,
      /must not be in an image/,
    ],
    [
      'Docker image without mediaType',
      without(image(), 'mediaType'),
      DOCKER_MANIFEST,
      /required in a Docker manifest/,
    ],
    ['neither', without(image(), 'mediaType'), null, /mediaType is missing/],
    ['generic type', image(), 'application/json', /Content-Type application\/json is not that of a manifest/],
    ['schema 1 by header', image(), DOCKER_SCHEMA1_SIGNED_MANIFEST, /schema 1/],
    ['schema 1 by body', image({ mediaType: DOCKER_SCHEMA1_MANIFEST }), OCI_IMAGE_MANIFEST, /schema 1/],
    ['malformed header', image(), 'application', /Content-Type is malformed/],
    ['empty header', image(), '', /Content-Type is malformed/],
    [
      'two types in the header',
      image(),
      `${OCI_IMAGE_MANIFEST}, ${OCI_IMAGE_INDEX}`,
      /Content-Type is malformed/,
    ],
  ]
  for (const [name, document, contentType, pattern] of contentTypes) {
    it(`media type: ${name}`, () => {
      const result = refuse(document, contentType)
      assert.equal(result.code, 'MANIFEST_INVALID')
      assert.match(result.message, pattern)
    })
  }

  const known = {
    manifest: [
      'schemaVersion',
      'mediaType',
      'artifactType',
      'config',
      'layers',
      'manifests',
      'subject',
      'annotations',
      'fsLayers',
    ],
    config: ['mediaType', 'digest', 'size', 'urls', 'annotations', 'data', 'artifactType', 'platform'],
    platform: ['architecture', 'os', 'os.version', 'os.features', 'variant', 'features'],
  }
  it('each known field in another case', () => {
    const documents = [
      ...known.manifest.map((name) => ({ [name.toUpperCase()]: 1 })),
      ...known.config.map((name) => ({ config: { [name.toUpperCase()]: 1 } })),
      ...known.platform.map((name) => ({ manifests: [{ platform: { [name.toUpperCase()]: 1 } }] })),
    ]
    for (const document of documents) assert.match(refuse(document).message, /must be written/)
  })

  it('more layers or entries than the limits say', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, i) => descriptor(`d${i}`, OCI_LAYER_TAR_GZIP))
    assert.match(refuse(image({ layers: many(4_097) })).message, /layers has more than 4096 entries/)
    assert.match(refuse(index({ manifests: many(10_001) })).message, /more than 10000/)
  })

  it('bytes that are not UTF-8', () => {
    const latin1 = Buffer.from(JSON.stringify(image({ annotations: { a: 'é' } })), 'latin1')
    const result = parseManifest(latin1, OCI_IMAGE_MANIFEST)
    assert.ok(!result.ok)
    assert.match(result.message, /UTF-8/)
  })

  it('never throws, and what it accepts is consistent, whatever one value is replaced with', () => {
    const paths = [
      'schemaVersion',
      'mediaType',
      'config',
      'layers',
      'manifests',
      'subject',
      'annotations',
      'artifactType',
    ]
    const fields = ['mediaType', 'digest', 'size', 'urls', 'annotations', 'data', 'platform', 'artifactType']
    const property = fc.property(
      fc.constantFrom(...paths),
      fc.constantFrom(...fields),
      fc.jsonValue({ maxDepth: 3 }),
      fc.constantFrom(null, OCI_IMAGE_MANIFEST, OCI_IMAGE_INDEX),
      (name, inner, value, contentType) => {
        const documents = [
          { ...image(), [name]: value },
          { ...index(), [name]: value },
          { ...image(), config: { ...config, [inner]: value } },
          { ...index(), manifests: [{ ...config, [inner]: value }] },
        ]
        for (const document of documents) {
          const result = parseManifest(bytes(document), contentType)
          if (!result.ok) continue
          const { kind, config: parsedConfig, layers, manifests } = result.manifest
          assert.equal(kind === 'image', parsedConfig !== null)
          assert.ok(kind === 'image' ? manifests.length === 0 : layers.length === 0)
          for (const one of [...layers, ...manifests])
            assert.ok(Number.isSafeInteger(one.size) && one.size >= 0)
        }
      },
    )
    fc.assert(property, { seed: 11, numRuns: 2_000 })
  })
})

import { createHash } from 'node:crypto'
import { ociIndex, ociManifest } from '../fixture.ts'
import {
  DIGEST_INVALID,
  type Fixture,
  MANIFEST_INVALID,
  ofRegistry,
  type Parts,
  type Row,
  SIZE_INVALID,
} from './row.ts'

const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json'
const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json'
const schema1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
const configType = 'application/vnd.oci.image.config.v1+json'
const layerType = 'application/vnd.oci.image.layer.v1.tar'
const HEX = '0123456789abcdef'.repeat(4)

type Document = Record<string, unknown>
type Answer = Parameters<typeof ofRegistry>[2]

/** A valid image over the fixture's blobs, which the rows then spoil. */
function image(fixture: Fixture): Document & { config: Document; layers: Document[] } {
  const { config, layer } = fixture
  return {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: configType, digest: config.digest, size: config.content.byteLength },
    layers: [{ mediaType: layerType, digest: layer.digest, size: layer.content.byteLength }],
  }
}

function put(body: string | Uint8Array, contentType: string | null = ociManifest): Parts {
  const headers = contentType === null ? [] : [`Content-Type: ${contentType}`]
  return { method: 'PUT', target: '/v2/acme/web/manifests/bad', headers, body }
}

/** The image with these fields over its own. */
function spoiled(
  name: string,
  change: (document: ReturnType<typeof image>, fixture: Fixture) => Document,
  answer: Answer = MANIFEST_INVALID,
  contentType: string | null = ociManifest,
): Row {
  return ofRegistry(
    name,
    (fixture) => put(JSON.stringify(change(image(fixture), fixture)), contentType),
    answer,
  )
}

/** The image with its first layer changed. */
function layer(name: string, change: Document, answer: Answer): Row {
  return spoiled(
    name,
    (document) => ({ ...document, layers: [{ ...document.layers[0], ...change }] }),
    answer,
  )
}

/** The image's JSON as text, changed. */
function text(
  name: string,
  change: (json: string) => string | Uint8Array,
  answer: Answer = MANIFEST_INVALID,
): Row {
  return ofRegistry(name, (fixture) => put(change(JSON.stringify(image(fixture)))), answer)
}

function bytes(name: string, body: string | Uint8Array, answer: Answer = MANIFEST_INVALID): Row {
  return ofRegistry(name, put(body), answer)
}

function nested(depth: number): string {
  return `{"schemaVersion":2,"x":${'['.repeat(depth)}${']'.repeat(depth)}}`
}

const SYNTAX: readonly Row[] = [
  bytes('no body', ''),
  bytes('not JSON', 'hello'),
  bytes('JSON that breaks off', '{"schemaVersion":2,'),
  bytes('two documents', '{}{}'),
  bytes('null', 'null', { ...MANIFEST_INVALID, message: /manifest must be an object/ }),
  bytes('an array', '[]', { ...MANIFEST_INVALID, message: /manifest must be an object/ }),
  bytes('a trailing comma', '{"schemaVersion":2,}'),
  bytes('a comment', '{"schemaVersion":2/* */}'),
  bytes('single quotes', "{'schemaVersion':2}"),
  bytes('NaN', '{"schemaVersion":NaN}'),
  bytes('a number with a leading zero', '{"schemaVersion":02}'),
  bytes('a number without a digit before the point', '{"schemaVersion":.2}'),
  bytes('a raw line break in a string', '{"mediaType":"a\nb"}'),
  bytes('invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), {
    ...MANIFEST_INVALID,
    message: /UTF-8/,
  }),
  bytes('UTF-16', Buffer.from('{"schemaVersion":2}', 'utf16le')),
  text('a byte order mark', (json) => `\ufeff${json}`),
  text('a duplicate key', (json) => json.replace('{', '{"schemaVersion":2,'), {
    ...MANIFEST_INVALID,
    message: /duplicate key "schemaVersion"/,
  }),
  text(
    'a duplicate key in another spelling',
    (json) => json.replace('{', String.raw`{"\u0073chemaVersion":2,`),
    { ...MANIFEST_INVALID, message: /duplicate key/ },
  ),
  text('a second layers in another case', (json) => json.replace('"layers"', '"Layers":[],"layers"'), {
    ...MANIFEST_INVALID,
    message: /"Layers" must be written "layers"/,
  }),
  text('a known key in another case alone', (json) => json.replace('"config"', '"Config"'), {
    ...MANIFEST_INVALID,
    message: /must be written "config"/,
  }),
  text('a long s for the s of size', (json) => json.replace('"size"', '"ſize"'), {
    ...MANIFEST_INVALID,
    message: /must be written "size"/,
  }),
  text(
    'a case variant of digest in a descriptor',
    (json) => json.replace('"digest"', '"Digest":"x","digest"'),
    { ...MANIFEST_INVALID, message: /config\./ },
  ),
  text('a duplicate annotation', (json) => json.replace('{', '{"annotations":{"a":"1","a":"2"},'), {
    ...MANIFEST_INVALID,
    message: /annotations/,
  }),
  bytes('a lone surrogate', String.raw`{"mediaType":"\ud800"}`),
  bytes('an escaped NUL', String.raw`{"mediaType":"a\u0000"}`),
  bytes('an integer beyond 2^53', '{"schemaVersion":9007199254740993}', {
    ...MANIFEST_INVALID,
    message: /schemaVersion/,
  }),
  bytes('a number beyond a double', '{"schemaVersion":2,"x":1e999}'),
  bytes('nesting of 33', nested(33)),
  bytes('nesting of 100 000', nested(100_000)),
  bytes('objects nested 100 000 deep', '{"a":'.repeat(100_000)),
  bytes('an array of 10 001', `{"x":[${'1,'.repeat(10_000)}1]}`),
  bytes('a key of 1025', `{"${'k'.repeat(1025)}":1}`),
  bytes('10 001 keys', `{${Array.from({ length: 10_001 }, (_, n) => `"k${n}":1`).join(',')}}`),
  bytes('200 001 values', `{"x":[${Array.from({ length: 25 }, () => `[${'1,'.repeat(8999)}1]`).join(',')}]}`),
  bytes('4 MiB and one byte', Buffer.alloc(4 * 1024 * 1024 + 1, 0x20), {
    status: 413,
    code: 'MANIFEST_INVALID',
  }),
  bytes('4 MiB of spaces', Buffer.alloc(4 * 1024 * 1024, 0x20)),
  bytes('4 MiB of open brackets', Buffer.alloc(4 * 1024 * 1024, 0x5b)),
]

const FIELDS: readonly Row[] = [
  spoiled('schemaVersion 1', (document) => ({ ...document, schemaVersion: 1 }), {
    ...MANIFEST_INVALID,
    message: /schema 1/,
  }),
  spoiled('schemaVersion 3', (document) => ({ ...document, schemaVersion: 3 }), {
    ...MANIFEST_INVALID,
    message: /schemaVersion must be 2/,
  }),
  spoiled('schemaVersion as a string', (document) => ({ ...document, schemaVersion: '2' }), {
    ...MANIFEST_INVALID,
    message: /schemaVersion/,
  }),
  text('schemaVersion 2.0', (json) => json.replace('"schemaVersion":2', '"schemaVersion":2.0'), {
    ...MANIFEST_INVALID,
    message: /schemaVersion/,
  }),
  spoiled('no schemaVersion', (document) => ({ ...document, schemaVersion: undefined }), {
    ...MANIFEST_INVALID,
    message: /schemaVersion/,
  }),
  spoiled(
    'a signed schema 1 manifest',
    (document) => document,
    { ...MANIFEST_INVALID, message: /schema 1/ },
    schema1,
  ),
  spoiled('fsLayers', (document) => ({ ...document, fsLayers: [] }), {
    ...MANIFEST_INVALID,
    message: /schema 1/,
  }),
  spoiled('config is missing', (document) => ({ ...document, config: undefined }), {
    ...MANIFEST_INVALID,
    message: /config is required/,
  }),
  spoiled('config is a string', (document) => ({ ...document, config: 'x' }), {
    ...MANIFEST_INVALID,
    message: /config must be an object/,
  }),
  spoiled('config is an array', (document) => ({ ...document, config: [] }), {
    ...MANIFEST_INVALID,
    message: /config must be an object/,
  }),
  spoiled('layers are missing', (document) => ({ ...document, layers: undefined }), {
    ...MANIFEST_INVALID,
    message: /layers is required/,
  }),
  spoiled('layers are an object', (document) => ({ ...document, layers: {} }), {
    ...MANIFEST_INVALID,
    message: /layers must be an array/,
  }),
  spoiled(
    '4097 layers',
    (document) => ({ ...document, layers: Array.from({ length: 4097 }, () => document.layers[0]) }),
    { ...MANIFEST_INVALID, message: /layers has more than 4096/ },
  ),
  spoiled('both layers and manifests', (document) => ({ ...document, manifests: [] }), {
    ...MANIFEST_INVALID,
    message: /manifests must not be in an image/,
  }),
  spoiled(
    'an index with layers',
    (document) => ({ ...document, mediaType: ociIndex, manifests: [] }),
    { ...MANIFEST_INVALID, message: /must not be in an index/ },
    ociIndex,
  ),
  spoiled('annotations are a list', (document) => ({ ...document, annotations: [] }), {
    ...MANIFEST_INVALID,
    message: /annotations must be an object/,
  }),
  spoiled('an annotation is a number', (document) => ({ ...document, annotations: { a: 1 } }), {
    ...MANIFEST_INVALID,
    message: /annotations\["a"\]/,
  }),
  spoiled('a subject is a string', (document) => ({ ...document, subject: 'sha256:x' }), {
    ...MANIFEST_INVALID,
    message: /subject must be an object/,
  }),
  spoiled('artifactType is a number', (document) => ({ ...document, artifactType: 1 }), {
    ...MANIFEST_INVALID,
    message: /artifactType/,
  }),
  spoiled('artifactType of 256 characters', (document) => ({ ...document, artifactType: 'a'.repeat(256) }), {
    ...MANIFEST_INVALID,
    message: /artifactType/,
  }),
  spoiled('mediaType is a number', (document) => ({ ...document, mediaType: 2 }), {
    ...MANIFEST_INVALID,
    message: /mediaType must be a string/,
  }),
  layer(
    'a layer without a mediaType',
    { mediaType: undefined },
    { ...MANIFEST_INVALID, message: /layers\[0\]\.mediaType is required/ },
  ),
  layer(
    'a layer with a line break in its mediaType',
    { mediaType: 'a/b\r\nX: 1' },
    { ...MANIFEST_INVALID, message: /layers\[0\]\.mediaType/ },
  ),
  layer(
    'a layer without a digest',
    { digest: undefined },
    { ...MANIFEST_INVALID, message: /layers\[0\]\.digest is required/ },
  ),
  layer(
    'a layer with a number for a digest',
    { digest: 1 },
    { ...MANIFEST_INVALID, message: /layers\[0\]\.digest/ },
  ),
  layer(
    'a layer with a path for a digest',
    { digest: 'sha256:../../../../etc/passwd' },
    { ...DIGEST_INVALID, message: /layers\[0\]\.digest/ },
  ),
  layer(
    'a layer with upper-case hex',
    { digest: `sha256:${HEX.toUpperCase()}` },
    { ...DIGEST_INVALID, message: /layers\[0\]\.digest/ },
  ),
  layer(
    'a layer by md5',
    { digest: `md5:${HEX.slice(32)}` },
    { ...DIGEST_INVALID, message: /layers\[0\]\.digest/ },
  ),
  layer(
    'a layer without a size',
    { size: undefined },
    { ...SIZE_INVALID, message: /layers\[0\]\.size is required/ },
  ),
  layer('a negative size', { size: -1 }, { ...SIZE_INVALID, message: /layers\[0\]\.size/ }),
  layer('a size as a string', { size: '1000' }, { ...SIZE_INVALID, message: /layers\[0\]\.size/ }),
  layer('a size of half a byte', { size: 0.5 }, { ...MANIFEST_INVALID, message: /layers\[0\]\.size/ }),
  text('a size of 1e3', (json) => json.replace('"size":1000', '"size":1e3'), {
    ...MANIFEST_INVALID,
    message: /layers\[0\]\.size/,
  }),
  text('a size of minus zero', (json) => json.replace('"size":1000', '"size":-0'), {
    ...MANIFEST_INVALID,
    message: /layers\[0\]\.size/,
  }),
  text('a size beyond 64 bits', (json) => json.replace('"size":1000', '"size":18446744073709551616'), {
    ...MANIFEST_INVALID,
    message: /layers\[0\]\.size/,
  }),
  layer(
    'another size than the blob has',
    { size: 999 },
    { ...SIZE_INVALID, message: /has 999 bytes, it has 1000/ },
  ),
  layer(
    'a blob that is not there',
    { digest: `sha256:${HEX}` },
    { status: 404, code: 'MANIFEST_BLOB_UNKNOWN', message: new RegExp(HEX) },
  ),
  spoiled(
    'one digest with two sizes',
    (document) => ({ ...document, layers: [document.layers[0], { ...document.layers[0], size: 1 }] }),
    { ...SIZE_INVALID, message: /layers\[1\]\.size/ },
  ),
  layer(
    'data that is not base64',
    { data: '!!' },
    { ...MANIFEST_INVALID, message: /layers\[0\]\.data is not base64/ },
  ),
  layer('data of another length', { data: 'eA==' }, { ...SIZE_INVALID, message: /layers\[0\]\.data/ }),
  spoiled(
    'data that is other content',
    (document) => ({
      ...document,
      config: { ...document.config, data: Buffer.from('[]').toString('base64') },
    }),
    { ...DIGEST_INVALID, message: /config\.data is not the content/ },
  ),
  layer(
    'urls that are no list',
    { urls: 'https://x' },
    { ...MANIFEST_INVALID, message: /layers\[0\]\.urls/ },
  ),
  layer(
    'a platform that is a string',
    { platform: 'linux' },
    { ...MANIFEST_INVALID, message: /layers\[0\]\.platform/ },
  ),
  layer(
    'os.features that are no strings',
    { platform: { 'os.features': [1] } },
    { ...MANIFEST_INVALID, message: /os\.features/ },
  ),
]

const TYPES: readonly Row[] = [
  spoiled(
    'a mediaType that is not the Content-Type',
    (document) => document,
    { ...MANIFEST_INVALID, message: /mediaType must be the same/ },
    dockerManifest,
  ),
  spoiled('an index sent as an image', (document) => ({ ...document, mediaType: ociIndex }), {
    ...MANIFEST_INVALID,
    message: /mediaType/,
  }),
  spoiled(
    'Content-Type: text/html',
    (document) => document,
    { ...MANIFEST_INVALID, message: /text\/html/ },
    'text/html',
  ),
  spoiled('Content-Type: application/json', (document) => document, MANIFEST_INVALID, 'application/json'),
  spoiled('Content-Type of a layer', (document) => document, MANIFEST_INVALID, layerType),
  spoiled(
    'a malformed Content-Type',
    (document) => document,
    { ...MANIFEST_INVALID, message: /Content-Type is malformed/ },
    ';;;',
  ),
  spoiled(
    'a Content-Type with two types',
    (document) => document,
    { ...MANIFEST_INVALID, message: /malformed/ },
    `${ociManifest}, ${ociIndex}`,
  ),
  spoiled(
    'a Content-Type of 2000 characters',
    (document) => document,
    { ...MANIFEST_INVALID, message: /malformed/ },
    `${ociManifest}; x=${'a'.repeat(2000)}`,
  ),
  spoiled('an empty Content-Type', (document) => document, { ...MANIFEST_INVALID, message: /malformed/ }, ''),
  spoiled(
    'no type at all',
    (document) => ({ ...document, mediaType: undefined }),
    { ...MANIFEST_INVALID, message: /mediaType is missing/ },
    null,
  ),
  spoiled(
    'a Docker manifest without its mediaType',
    (document) => ({ ...document, mediaType: undefined }),
    { ...MANIFEST_INVALID, message: /mediaType is required/ },
    dockerManifest,
  ),
  ofRegistry(
    'an index without manifests',
    put(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex }), ociIndex),
    { ...MANIFEST_INVALID, message: /manifests is required/ },
  ),
  ofRegistry(
    'an index of a manifest that is not there',
    put(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: dockerList,
        manifests: [{ mediaType: dockerManifest, digest: `sha256:${HEX}`, size: 1 }],
      }),
      dockerList,
    ),
    { status: 404, code: 'MANIFEST_BLOB_UNKNOWN' },
  ),
  ofRegistry(
    'an index that lists a blob as a manifest',
    (fixture) =>
      put(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: ociIndex,
          manifests: [{ mediaType: ociManifest, digest: fixture.layer.digest, size: 1000 }],
        }),
        ociIndex,
      ),
    { status: 404, code: 'MANIFEST_BLOB_UNKNOWN' },
  ),
  ofRegistry(
    'an index with 10 001 entries',
    put(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: ociIndex,
        manifests: Array.from({ length: 10_001 }, (_, n) => ({
          mediaType: ociManifest,
          digest: digestOf(n),
          size: 1,
        })),
      }),
      ociIndex,
    ),
    MANIFEST_INVALID,
  ),
  ofRegistry(
    'an index with the wrong size of its manifest',
    (fixture) =>
      put(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: ociIndex,
          manifests: [{ mediaType: ociManifest, digest: fixture.manifest.digest, size: 7 }],
        }),
        ociIndex,
      ),
    { ...SIZE_INVALID, message: /has 7 bytes/ },
  ),
]

function digestOf(n: number): string {
  return `sha256:${createHash('sha256').update(String(n)).digest('hex')}`
}

/** Manifests that readers would understand in different ways, or not at all. */
export const MANIFESTS: readonly Row[] = [...SYNTAX, ...FIELDS, ...TYPES]

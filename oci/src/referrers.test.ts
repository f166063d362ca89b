import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Digest, digestOf } from './digest.ts'
import { parseManifest } from './manifest.ts'
import { OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from './media-type.ts'
import { parseTag } from './name.ts'
import { buildReferrersIndex, formatReferrersTag, parseReferrersTag } from './referrers.ts'

const bytes = Buffer.from('subject')
const sha256 = digestOf('sha256', bytes)
const sha512 = digestOf('sha512', bytes)

function text(index: Uint8Array): string {
  return Buffer.from(index).toString()
}

describe('buildReferrersIndex', () => {
  it('is an empty index for no referrers', () => {
    assert.equal(
      text(buildReferrersIndex([])),
      `{"schemaVersion":2,"mediaType":"${OCI_IMAGE_INDEX}","manifests":[]}`,
    )
  })

  it('lists what is known and leaves out what is not, in order', () => {
    const index = buildReferrersIndex([
      {
        mediaType: OCI_IMAGE_MANIFEST,
        digest: sha256,
        size: 5,
        artifactType: 'a/b',
        annotations: { k: 'v' },
      },
      { mediaType: OCI_IMAGE_INDEX, digest: sha512, size: 6, artifactType: null, annotations: null },
    ])
    assert.deepEqual(JSON.parse(text(index)).manifests, [
      {
        mediaType: OCI_IMAGE_MANIFEST,
        digest: sha256,
        size: 5,
        artifactType: 'a/b',
        annotations: { k: 'v' },
      },
      { mediaType: OCI_IMAGE_INDEX, digest: sha512, size: 6 },
    ])
    const parsed = parseManifest(index, OCI_IMAGE_INDEX)
    assert.ok(parsed.ok)
    assert.equal(parsed.manifest.children.length, 2)
  })
})

describe('referrers tag schema', () => {
  it('tells a sha256 subject whole', () => {
    const tag = formatReferrersTag(sha256)
    assert.equal(tag, sha256.replace(':', '-'))
    assert.deepEqual(parseReferrersTag(tag), {
      algorithm: 'sha256',
      hexPrefix: sha256.slice(7),
      digest: sha256,
    })
  })

  it('cuts a sha512 subject to 64 characters of hex', () => {
    const tag = formatReferrersTag(sha512)
    assert.equal(tag, `sha512-${sha512.slice(7, 71)}`)
    assert.equal(parseTag(tag), tag)
    assert.deepEqual(parseReferrersTag(tag), {
      algorithm: 'sha512',
      hexPrefix: sha512.slice(7, 71),
      digest: null,
    })
  })

  const hex = 'a'.repeat(64)
  for (const tag of [
    'latest',
    'sha256-',
    `sha256-${hex}0`,
    `sha256-${hex.slice(1)}`,
    `sha256-${hex.toUpperCase()}`,
  ]) {
    it(`does not take ${tag} for one`, () => assert.equal(parseReferrersTag(tag), null))
  }
  for (const tag of [
    `sha256-${hex}.sig`,
    `sha1-${hex}`,
    `sha256:${hex}`,
    `sha256-${hex}\n`,
    ` sha256-${hex}`,
  ]) {
    it(`does not take ${JSON.stringify(tag)} for one`, () => assert.equal(parseReferrersTag(tag), null))
  }
  it('throws for what is no digest', () =>
    assert.throws(() => formatReferrersTag('x/y' as Digest), TypeError))
})

/**
 * The cases of the official conformance suite of the OCI distribution spec, in both of its versions: every path that
 * its results name is a test here, under the same names, and the last test checks that none was left out.
 * `official.test.ts` runs the official program itself where that can be had.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pushPostPut, type Target } from './blob-push.ts'
import { expectedCases, type Version } from './cases.ts'
import { digestOf, types } from './content.ts'
import { addImage, createDataSet } from './data-sets.ts'
import { expectError, expectStatus, parseJson } from './expect.ts'
import { createLeafRecorder, type LeafRecorder } from './leaves.ts'
import { manifestPath, pushManifest } from './pull-checks.ts'
import { startRegistry } from './registry.ts'
import { defineBlobCases } from './suite-blob-cases.ts'
import {
  badDigestDataSet,
  sparseImageDataSet,
  sparseIndexDataSet,
  suiteDataSets,
  tagParameterDataSet,
} from './suite-data.ts'
import { defineDataSetCases, defineManifestErrorCases } from './suite-data-cases.ts'

const registry = await startRegistry()

for (const version of ['stable', 'dev'] satisfies Version[]) {
  const { client, credential } = await registry.openProject(`conf-${version}`)
  const basic = registry.clientOf(credential, 'basic')
  const target: Target = { client, repository: `conf-${version}/repo1`, isDev: version === 'dev' }
  const recorder = createLeafRecorder()

  describe(version, () => {
    recorder.leaf('(top)', 'ping', [null], async () => {
      expectStatus(await client.request('GET', '/v2/'), 200)
    })
    defineEmptyCases(recorder, target)
    for (const algorithm of ['sha256', 'sha512'] as const) {
      defineBlobCases(recorder, target, basic, `conf-${version}/repo2`, algorithm)
    }
    for (const set of suiteDataSets()) defineDataSetCases(recorder, target, set)
    if (target.isDev) {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        defineDataSetCases(recorder, target, tagParameterDataSet(algorithm), { hasTagParameters: true })
      }
    }
    defineDataSetCases(recorder, target, badDigestDataSet())
    const image = createDataSet('invalid-digest-format')
    addImage(image, { layers: 1 })
    defineManifestErrorCases(recorder, target, image)
    test('every case of the official suite has run', () => {
      assert.deepEqual(differences(recorder.ran, expectedCases(version)), [])
    })
  })
}

describe('sparse (off in the official suite by default)', () => {
  test('an image without one of its layers is refused everywhere', async () => {
    const { client } = await registry.openProject('sparse-image', { allowSparseIndexes: true })
    const target = { client, repository: 'sparse-image/repo1', isDev: true }
    const set = sparseImageDataSet()
    for (const [digest, content] of set.blobs) await pushPostPut(target, { digest, content })
    for (const { digest, content, mediaType } of set.manifests) {
      const request = { headers: { 'content-type': mediaType }, body: content }
      const reply = await client.request('PUT', manifestPath(target.repository, digest), request)
      expectError(reply, 404, 'MANIFEST_BLOB_UNKNOWN')
    }
  })

  test('an index without one of its platforms is taken where the project allows it', async () => {
    const { client } = await registry.openProject('sparse-index', { allowSparseIndexes: true })
    const target = { client, repository: 'sparse-index/repo1', isDev: true }
    const set = sparseIndexDataSet()
    for (const [digest, content] of set.blobs) await pushPostPut(target, { digest, content })
    for (const manifest of set.manifests) await pushManifest(target, manifest, manifest.digest)
    for (const [tag, digest] of set.tags) {
      const manifest = set.manifests.find((candidate) => candidate.digest === digest)
      if (manifest !== undefined) await pushManifest(target, manifest, tag)
    }
  })

  test('and refused where it does not', async () => {
    const { client } = await registry.openProject('strict-index')
    const target = { client, repository: 'strict-index/repo1', isDev: true }
    const { blobs, manifests } = sparseIndexDataSet()
    for (const [digest, content] of blobs) await pushPostPut(target, { digest, content })
    for (const manifest of manifests) {
      if (manifest.mediaType === types.image) await pushManifest(target, manifest, manifest.digest)
      else {
        const request = { headers: { 'content-type': manifest.mediaType }, body: manifest.content }
        const reply = await client.request('PUT', manifestPath(target.repository, manifest.digest), request)
        expectError(reply, 404, 'MANIFEST_BLOB_UNKNOWN')
      }
    }
  })
})

function defineEmptyCases(recorder: LeafRecorder, { client, repository }: Target): void {
  describe('empty', () => {
    recorder.leaf('empty', 'tag list', [null], async () => {
      expectError(await client.request('GET', `/v2/${repository}/tags/list`), 404, 'NAME_UNKNOWN')
    })
    recorder.leaf('empty', 'referrers', [digestOf('sha256', Buffer.from('none'))], async (digest) => {
      const reply = await client.request('GET', `/v2/${repository}/referrers/${digest}`)
      expectStatus(reply, 200)
      assert.equal(reply.headers['content-type'], types.index)
      assert.deepEqual(parseJson(reply), { schemaVersion: 2, mediaType: types.index, manifests: [] })
    })
  })
}

/** What ran more or less often than it should have. */
function differences(ran: ReadonlyMap<string, number>, expected: ReadonlyMap<string, number>): string[] {
  return [...new Set([...ran.keys(), ...expected.keys()])]
    .filter((name) => ran.get(name) !== expected.get(name))
    .map((name) => `${name} ran ${ran.get(name) ?? 0} times instead of ${expected.get(name) ?? 0}`)
}

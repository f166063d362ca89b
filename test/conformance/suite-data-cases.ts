import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { pushPostPut, type Target } from './blob-push.ts'
import { withQuery } from './client.ts'
import { algorithmOf, type Descriptor, digestOf, types } from './content.ts'
import type { DataSet } from './data-sets.ts'
import { expectError, expectStatus, parseJson } from './expect.ts'
import type { LeafRecorder } from './leaves.ts'
import {
  checkBlobDelete,
  checkBlobGet,
  checkBlobHead,
  checkManifestDelete,
  checkManifestGet,
  checkManifestHead,
  type Manifest,
  manifestPath,
  pushManifest,
} from './pull-checks.ts'

export type DataSetOptions = {
  /** Tags go with the push by digest, as tag parameters. */
  hasTagParameters?: boolean
}

/** One data set of the official suite: push it, list, HEAD and pull everything, and delete it in reverse. */
export function defineDataSetCases(
  { leaf }: LeafRecorder,
  target: Target,
  set: DataSet,
  { hasTagParameters = false }: DataSetOptions = {},
): void {
  const { name } = set
  const blobs = [...set.blobs].map(([digest, content]) => ({ digest, content }))
  const broken = set.manifests.filter(
    ({ digest, content }) => digestOf(algorithmOf(digest), content) !== digest,
  )
  const whole = set.manifests.filter((manifest) => !broken.includes(manifest))
  const tagged = [...set.tags].map(([tag, digest]) => ({ tag, manifest: manifestOf(set, digest) }))

  describe(name, () => {
    describe('push', () => {
      if (blobs.length > 0) leaf(`${name}/push`, 'blob-post-put', blobs, (blob) => pushPostPut(target, blob))
      leaf(`${name}/push`, 'manifest-by-digest', set.manifests, async (manifest) => {
        if (broken.includes(manifest)) return refuseManifest(target, manifest, manifest.digest)
        await pushManifest(target, manifest, manifest.digest, hasTagParameters ? tagsOf(set, manifest) : [])
      })
      if (tagged.length > 0 && !hasTagParameters) {
        leaf(`${name}/push`, 'manifest-by-tag', tagged, ({ tag, manifest }) =>
          pushManifest(target, manifest, tag),
        )
      }
    })
    leaf(name, 'tag-list', [null], () => checkTagList(target, [...set.tags.keys()]))
    describe('head', () => {
      if (tagged.length > 0) {
        leaf(`${name}/head`, 'manifest-head-by-tag', tagged, ({ tag, manifest }) =>
          checkManifestHead(target, manifest, tag),
        )
      }
      if (whole.length > 0) {
        leaf(`${name}/head`, 'manifest-head-by-digest', whole, (manifest) =>
          checkManifestHead(target, manifest, manifest.digest),
        )
      }
      if (blobs.length > 0) leaf(`${name}/head`, 'blob-head', blobs, (blob) => checkBlobHead(target, blob))
    })
    describe('pull', () => {
      if (tagged.length > 0) {
        leaf(`${name}/pull`, 'manifest-by-tag', tagged, ({ tag, manifest }) =>
          checkManifestGet(target, manifest, tag),
        )
      }
      if (whole.length > 0) {
        leaf(`${name}/pull`, 'manifest-by-digest', whole, (manifest) =>
          checkManifestGet(target, manifest, manifest.digest),
        )
      }
      if (blobs.length > 0) leaf(`${name}/pull`, 'blob-get', blobs, (blob) => checkBlobGet(target, blob))
    })
    if (set.referrers.size > 0) {
      leaf(name, 'referrers', set.referrers, ([subject, goal]) => checkReferrers(target, subject, goal))
    }
    describe('delete', () => {
      if (tagged.length > 0) {
        leaf(`${name}/delete`, 'tag-delete', tagged, ({ tag }) => checkManifestDelete(target, tag))
      }
      leaf(`${name}/delete`, 'manifest-delete', set.manifests.toReversed(), (manifest) =>
        checkManifestDelete(target, manifest.digest, whole.includes(manifest)),
      )
      if (blobs.length > 0)
        leaf(`${name}/delete`, 'blob-delete', blobs, ({ digest }) => checkBlobDelete(target, digest))
    })
  })
}

/** `missing-manifest` and `invalid-digest-format` of the official suite. */
export function defineManifestErrorCases({ leaf }: LeafRecorder, target: Target, image: DataSet): void {
  const { client, repository } = target
  const blobs = [...image.blobs].map(([digest, content]) => ({ digest, content }))
  const [manifest] = image.manifests as [Manifest]
  const badReference = 'sha256:baddigeststring'
  describe('missing-manifest', () => {
    const references = { 'by-digest': digestOf('sha256', Buffer.from('nothing')), 'by-tag': 'missing-tag' }
    for (const [name, reference] of Object.entries(references)) {
      leaf('missing-manifest', name, [reference], async () => {
        expectError(await client.request('GET', manifestPath(repository, reference)), 404, 'MANIFEST_UNKNOWN')
      })
    }
  })
  describe('invalid-digest-format', () => {
    const path = 'invalid-digest-format'
    leaf(path, 'blob-post-put', blobs, (blob) => pushPostPut(target, blob))
    leaf(path, 'manifest-put', [manifest], () => refuseManifest(target, manifest, badReference))
    leaf(path, 'manifest-get', [badReference], async () => {
      expectError(await client.request('GET', manifestPath(repository, badReference)), 400, 'DIGEST_INVALID')
    })
    describe('delete', () => {
      leaf(`${path}/delete`, 'manifest-delete', [manifest], ({ digest }) =>
        checkManifestDelete(target, digest, false),
      )
      leaf(`${path}/delete`, 'blob-delete', blobs, ({ digest }) => checkBlobDelete(target, digest))
    })
  })
}

async function refuseManifest(target: Target, manifest: Manifest, reference: string): Promise<void> {
  const { client, repository } = target
  const headers = { 'content-type': manifest.mediaType }
  const path = manifestPath(repository, reference)
  expectError(await client.request('PUT', path, { headers, body: manifest.content }), 400, 'DIGEST_INVALID')
  expectStatus(await client.request('HEAD', manifestPath(repository, manifest.digest)), 404)
}

/** The tags are listed, and `last` begins the list exactly after what it names. */
async function checkTagList({ client, repository }: Target, pushed: readonly string[]): Promise<void> {
  const path = `/v2/${repository}/tags/list`
  const list = async (target: string): Promise<string[]> => {
    const reply = await client.request('GET', target)
    expectStatus(reply, 200)
    const body = parseJson(reply) as { name: string; tags: string[] }
    assert.equal(body.name, repository)
    return body.tags
  }
  const all = await list(path)
  for (const tag of pushed) assert.ok(all.includes(tag), `${tag} is listed`)
  if (all.length < 2) return
  const half = Math.floor(all.length / 2)
  const last = all.toSorted()[half - 1] as string
  assert.deepEqual(await list(withQuery(path, { last })), all.toSorted().slice(half))
}

/** Every referrer with all that the list must say of it; and a filter answers its own, and only those. */
async function checkReferrers(
  { client, repository }: Target,
  subject: string,
  goal: Descriptor[],
): Promise<void> {
  const path = `/v2/${repository}/referrers/${subject}`
  const list = async (target: string, filters: string | undefined): Promise<Descriptor[]> => {
    const reply = await client.request('GET', target)
    expectStatus(reply, 200)
    assert.equal(reply.headers['content-type'], types.index)
    assert.equal(reply.headers['oci-filters-applied'], filters)
    const body = parseJson(reply) as { schemaVersion: number; mediaType: string; manifests: Descriptor[] }
    assert.equal(body.schemaVersion, 2)
    assert.equal(body.mediaType, types.index)
    return body.manifests
  }
  sameDescriptors(await list(path, undefined), goal)
  for (const artifactType of new Set(goal.map((descriptor) => descriptor.artifactType))) {
    if (artifactType === undefined) continue
    const expected = goal.filter((descriptor) => descriptor.artifactType === artifactType)
    sameDescriptors(await list(withQuery(path, { artifactType }), 'artifactType'), expected)
  }
}

function sameDescriptors(actual: readonly Descriptor[], expected: readonly Descriptor[]): void {
  assert.equal(actual.length, expected.length)
  for (const descriptor of expected) {
    assert.ok(
      actual.some((candidate) => isDeepStrictEqual(candidate, descriptor)),
      `${JSON.stringify(descriptor)} is not in ${JSON.stringify(actual)}`,
    )
  }
}

function manifestOf(set: DataSet, digest: string): Manifest {
  const manifest = set.manifests.find((candidate) => candidate.digest === digest)
  if (manifest === undefined) throw new Error(`${set.name}: a tag of a manifest that is not in the set`)
  return manifest
}

function tagsOf(set: DataSet, { digest }: Manifest): string[] {
  return [...set.tags].filter(([, tagged]) => tagged === digest).map(([tag]) => tag)
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pushPostOnly, type Target } from './blob-push.ts'
import { nextPage, type Reply, withQuery } from './client.ts'
import { type Algorithm, type Descriptor, describeContent, types } from './content.ts'
import { addArtifact, addImage, addIndex, createDataSet, type DataSet } from './data-sets.ts'
import { expectError, expectStatus, parseJson } from './expect.ts'
import { checkManifestDelete, type Manifest, pushManifest } from './pull-checks.ts'
import type { Project } from './registry.ts'

/** More than one page of what the registry answers without n. */
const manyReferrers = 120

/** "Listing Referrers" and "Enabling the Referrers API" of the spec, beyond what the official suite asks. */
export function defineReferrerCases({ client, namespace }: Project): void {
  const target: Target = { client, repository: `${namespace}/referrers`, isDev: true }
  describe('referrers', () => {
    defineEntries(target, namespace)
    definePages({ ...target, repository: `${namespace}/many` })
    defineTagSchema({ ...target, repository: `${namespace}/tag-schema` })
  })
}

function defineEntries(target: Target, namespace: string): void {
  const { client, repository } = target

  it('of a malformed digest are DIGEST_INVALID', async () => {
    for (const digest of ['sha256:nonsense', 'latest', `sha256:${'A'.repeat(64)}`]) {
      expectError(await client.request('GET', `/v2/${repository}/referrers/${digest}`), 400, 'DIGEST_INVALID')
    }
  })

  it('of nothing are an empty index, in any repository of the project', async () => {
    const { digest } = subjectOf('nothing')
    for (const name of [repository, `${namespace}/never-pushed`]) {
      assert.deepEqual(await list({ ...target, repository: name }, digest), [])
    }
  })

  it('have the artifactType of the manifest, else of its config; an index without one has none', async () => {
    const subject = subjectOf('types')
    const set = createDataSet('types')
    const plain = addImage(set, { subject, layers: 0 })
    const typed = addImage(set, { subject, layers: 0, artifactType: types.firstArtifact })
    const artifact = addArtifact(set, { subject, isEmpty: true })
    const index = addIndex(set, [], { subject })
    const typedIndex = addIndex(set, [], { subject, artifactType: types.secondArtifact })
    await pushAll(target, set)
    const found = new Map((await list(target, subject.digest)).map((entry) => [entry.digest, entry]))
    assert.equal(found.size, 5)
    assert.equal(found.get(plain.digest)?.artifactType, types.config)
    assert.equal(found.get(typed.digest)?.artifactType, types.firstArtifact)
    assert.equal(found.get(artifact.digest)?.artifactType, types.empty)
    assert.equal('artifactType' in (found.get(index.digest) ?? {}), false)
    assert.equal(found.get(typedIndex.digest)?.artifactType, types.secondArtifact)
  })

  it('may be there before their subject, go when they are deleted, and are of one repository', async () => {
    const subjectSet = createDataSet('late subject')
    const subject = addImage(subjectSet, { layers: 1 })
    const set = createDataSet('early referrer')
    const referrer = addArtifact(set, { subject, artifactType: types.firstArtifact, isEmpty: true })
    await pushAll(target, set)
    assert.equal((await list(target, subject.digest)).length, 1)
    await pushAll(target, subjectSet)
    assert.deepEqual(
      (await list(target, subject.digest)).map(({ digest }) => digest),
      [referrer.digest],
    )
    assert.deepEqual(await list({ ...target, repository: `${namespace}/elsewhere` }, subject.digest), [])
    await checkManifestDelete(target, referrer.digest)
    assert.deepEqual(await list(target, subject.digest), [])
  })

  it('of a subject by sha512 are listed too', async () => {
    const subject = subjectOf('sha512', 'sha512')
    const set = createDataSet('sha512 subject')
    addArtifact(set, { subject, isEmpty: true })
    await pushAll(target, set)
    assert.equal((await list(target, subject.digest)).length, 1)
  })

  it('are filtered by a type with a plus sign, encoded or not', async () => {
    const subject = subjectOf('plus')
    const set = createDataSet('plus')
    addArtifact(set, { subject, artifactType: 'application/vnd.example+json', isEmpty: true })
    addArtifact(set, { subject, artifactType: types.firstArtifact, isEmpty: true })
    await pushAll(target, set)
    for (const query of ['application/vnd.example+json', 'application%2Fvnd.example%2Bjson']) {
      const path = `/v2/${repository}/referrers/${subject.digest}?artifactType=${query}`
      const reply = await client.request('GET', path)
      assert.equal(reply.headers['oci-filters-applied'], 'artifactType')
      assert.deepEqual(
        entriesOf(reply).map((entry) => entry.artifactType),
        ['application/vnd.example+json'],
      )
    }
    const none = await client.request(
      'GET',
      `/v2/${repository}/referrers/${subject.digest}?artifactType=other/type`,
    )
    assert.deepEqual(entriesOf(none), [])
  })
}

function definePages(target: Target): void {
  const { client, repository } = target
  const subject = subjectOf('many')
  const path = `/v2/${repository}/referrers/${subject.digest}`
  const all: string[] = []

  async function collect(first: string): Promise<{ digests: string[]; pages: number }> {
    const digests: string[] = []
    let pages = 0
    for (let next: string | null = first; next !== null; pages += 1) {
      const reply: Reply = await client.request('GET', next)
      expectStatus(reply, 200)
      digests.push(...entriesOf(reply).map(({ digest }) => digest))
      next = nextPage(reply)
    }
    return { digests, pages }
  }

  it('come in pages that Link leads through', async () => {
    const set = createDataSet('many')
    for (let n = 0; n < manyReferrers; n += 1) {
      const artifactType = n % 3 === 0 ? types.firstArtifact : types.secondArtifact
      all.push(
        addArtifact(set, { subject, artifactType, isEmpty: true, annotations: { n: String(n) } }).digest,
      )
    }
    await pushAll(target, set)
    const { digests, pages } = await collect(path)
    assert.deepEqual(digests.toSorted(), all.toSorted())
    assert.ok(pages > 1)
    assert.deepEqual((await collect(withQuery(path, { n: '7' }))).digests, digests)
  })

  it('keep their filter from page to page', async () => {
    const { digests, pages } = await collect(withQuery(path, { n: '9', artifactType: types.firstArtifact }))
    assert.deepEqual(digests.toSorted(), all.filter((_, n) => n % 3 === 0).toSorted())
    assert.equal(pages, Math.ceil(manyReferrers / 3 / 9))
  })

  it('with n=0 are an empty index without Link', async () => {
    const reply = await client.request('GET', withQuery(path, { n: '0' }))
    assert.deepEqual(entriesOf(reply), [])
    assert.equal(nextPage(reply), null)
  })
}

/** What a client from before the API keeps as an index under the tag `<algorithm>-<hex>` must be listed. */
function defineTagSchema(target: Target): void {
  it('of the old tag schema are listed, beside those with a subject', async () => {
    const subject = subjectOf('tag schema')
    const set = createDataSet('tag schema')
    const old = addArtifact(set, { artifactType: types.firstArtifact, annotations: { 'org.example': 'old' } })
    const modern = addArtifact(set, { subject, artifactType: types.secondArtifact })
    const listed: Descriptor = {
      ...old,
      artifactType: types.firstArtifact,
      annotations: { 'org.example': 'old' },
    }
    addIndex(set, [listed, { ...modern, artifactType: types.secondArtifact }], {
      tag: subject.digest.replace(':', '-'),
    })
    await pushAll(target, set)
    const found = await list(target, subject.digest)
    assert.deepEqual(found.map(({ digest }) => digest).toSorted(), [old.digest, modern.digest].toSorted())
    assert.deepEqual(
      found.find(({ digest }) => digest === old.digest),
      listed,
    )
  })
}

function subjectOf(seed: string, algorithm: Algorithm = 'sha256'): Descriptor {
  return describeContent(Buffer.from(`subject ${seed}`), types.image, { algorithm })
}

async function list({ client, repository }: Target, digest: string): Promise<Descriptor[]> {
  const reply = await client.request('GET', `/v2/${repository}/referrers/${digest}`)
  assert.equal(reply.headers['oci-filters-applied'], undefined)
  return entriesOf(reply)
}

function entriesOf(reply: Reply): Descriptor[] {
  expectStatus(reply, 200)
  assert.equal(reply.headers['content-type'], types.index)
  const body = parseJson(reply) as { schemaVersion: number; mediaType: string; manifests: Descriptor[] }
  assert.equal(body.schemaVersion, 2)
  assert.equal(body.mediaType, types.index)
  return body.manifests
}

async function pushAll(target: Target, set: DataSet): Promise<void> {
  for (const [digest, content] of set.blobs) await pushPostOnly(target, { digest, content })
  for (const manifest of set.manifests) await pushManifest(target, manifest, manifest.digest)
  for (const [tag, digest] of set.tags) {
    await pushManifest(target, set.manifests.find((manifest) => manifest.digest === digest) as Manifest, tag)
  }
}

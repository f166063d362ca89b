import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mediaTypes } from '../support/images.ts'
import { blobPath, pushPostOnly, type Target } from './blob-push.ts'
import { type Reply, withQuery } from './client.ts'
import { acceptOci, describeContent, digestOf, types } from './content.ts'
import { addBlob, addImage, addImageManifest, createDataSet, type DataSet } from './data-sets.ts'
import { type ErrorCode, expectContent, expectError, expectStatus, parseJson } from './expect.ts'
import { checkManifestGet, type Manifest, manifestPath, namedTags, pushManifest } from './pull-checks.ts'
import type { Project } from './registry.ts'

const mib = 1024 * 1024

/** "Pushing manifests", "Pulling manifests" and "Deleting" of the spec, beyond what the official suite asks. */
export function defineManifestCases({ client, namespace }: Project): void {
  const target: Target = { client, repository: `${namespace}/manifests`, isDev: true }
  describe('manifests', () => {
    defineSizes(target)
    defineTagParameters(target)
    defineRefusals(target)
    defineReferences(target)
    defineConditions(target)
  })
  describe('Docker manifests', () => defineDocker({ ...target, repository: `${namespace}/docker` }))
}

function defineSizes(target: Target): void {
  it('of 4 MB are taken, above 4 MiB they are 413', async () => {
    const set = createDataSet('sizes')
    addImage(set, { annotations: { fill: 'x'.repeat(4_000_000 - 2_000) } })
    const manifest = await pushSet(target, set)
    assert.ok(manifest.content.byteLength > 3_990_000)
    const tooLarge = Buffer.concat([manifest.content, Buffer.alloc(4 * mib, ' ')]).subarray(0, 4 * mib + 1)
    const reply = await put(target, 'too-large', tooLarge, types.image)
    expectError(reply, 413, 'MANIFEST_INVALID')
  })

  it('keep their bytes, white space and order of keys included', async () => {
    const set = createDataSet('white space')
    const config = addBlob(set, Buffer.from('{}'), types.empty)
    await pushBlobs(target, set)
    const text = JSON.stringify({ layers: [], config, mediaType: types.image, schemaVersion: 2 }, null, '\t')
    const content = Buffer.from(`\n ${text}\r\n`)
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const digest = digestOf(algorithm, content)
      await pushManifest(target, { digest, mediaType: types.image, content, subject: null }, digest)
    }
  })
}

function defineTagParameters(target: Target): void {
  const { client, repository } = target

  it('take ten tags and more with one push by digest', async () => {
    const manifest = await pushSet(target, imageSet('many tags'))
    for (const count of [1, 10, 100]) {
      const tags = Array.from({ length: count }, (_, n) => `many-${count}-${n}`)
      await pushManifest(target, manifest, manifest.digest, tags)
      for (const tag of tags) await checkManifestGet(target, manifest, tag)
    }
  })

  it('refuse more tags than they take with 414, and store nothing of them', async () => {
    const manifest = await pushSet(target, imageSet('too many tags'))
    const tags = Array.from({ length: 101 }, (_, n) => `too-many-${n}`)
    const path = tags.reduce((url, tag) => withQuery(url, { tag }), manifestPath(repository, manifest.digest))
    const request = { headers: { 'content-type': manifest.mediaType }, body: manifest.content }
    expectError(await client.request('PUT', path, request), 414, 'UNSUPPORTED')
    expectError(await client.request('GET', manifestPath(repository, 'too-many-0')), 404, 'MANIFEST_UNKNOWN')
  })

  it('name a tag once in OCI-Tag that was given twice', async () => {
    const manifest = await pushSet(target, imageSet('twice'))
    const path = `${manifestPath(repository, manifest.digest)}?tag=twice&tag=twice`
    const request = { headers: { 'content-type': manifest.mediaType }, body: manifest.content }
    assert.deepEqual(namedTags(await client.request('PUT', path, request)), ['twice'])
  })

  it('refuse a tag that is none, and tags beside a push by tag', async () => {
    const { digest, content } = await pushSet(target, imageSet('bad tag'))
    const request = { headers: { 'content-type': types.image }, body: content }
    for (const tag of ['', '-x', 'a b', 'ü', 'x'.repeat(129)]) {
      const path = withQuery(manifestPath(repository, digest), { tag })
      expectError(await client.request('PUT', path, request), 400, 'MANIFEST_INVALID')
    }
    const both = withQuery(manifestPath(repository, 'one'), { tag: 'two' })
    expectError(await client.request('PUT', both, request), 400, 'UNSUPPORTED')
  })
}

function defineRefusals(target: Target): void {
  const missing = describeContent(Buffer.from('never pushed'), types.layer)

  it('that name what is not in the repository are MANIFEST_BLOB_UNKNOWN', async () => {
    const set = createDataSet('incomplete')
    const config = addBlob(set, Buffer.from('{}'), types.empty)
    addImageManifest(set, config, [missing])
    await pushBlobs(target, set)
    const [manifest] = set.manifests as [Manifest]
    const reply = await put(target, 'incomplete', manifest.content, types.image)
    assert.ok(expectError(reply, 404, 'MANIFEST_BLOB_UNKNOWN').includes(missing.digest))
  })

  it('that are the first of a repository, and name nothing in it, do not make it', async () => {
    const { client, repository } = target
    const set = createDataSet('first')
    addImageManifest(set, describeContent(Buffer.from('no config'), types.config), [])
    const [manifest] = set.manifests as [Manifest]
    const first = { ...target, repository: `${repository}-first` }
    expectError(await put(first, 'first', manifest.content, types.image), 404, 'MANIFEST_BLOB_UNKNOWN')
    expectError(await client.request('GET', `/v2/${first.repository}/tags/list`), 404, 'NAME_UNKNOWN')
  })

  it('that say a wrong size are SIZE_INVALID', async () => {
    const set = createDataSet('wrong size')
    const config = addBlob(set, Buffer.from('{}'), types.empty)
    await pushBlobs(target, set)
    addImageManifest(set, { ...config, size: 3 }, [])
    const [manifest] = set.manifests as [Manifest]
    expectError(await put(target, 'wrong-size', manifest.content, types.image), 400, 'SIZE_INVALID')
  })

  it('that are not valid are refused', async () => {
    const set = imageSet('valid')
    const { content } = await pushSet(target, set)
    const document = JSON.parse(content.toString()) as Record<string, unknown>
    const refused: [body: unknown, type: string, code: ErrorCode][] = [
      ['no json', types.image, 'MANIFEST_INVALID'],
      ['', types.image, 'MANIFEST_INVALID'],
      [[], types.image, 'MANIFEST_INVALID'],
      [document, types.index, 'MANIFEST_INVALID'],
      [document, 'text/plain', 'MANIFEST_INVALID'],
      [{ ...document, schemaVersion: 1 }, types.image, 'MANIFEST_INVALID'],
      [{ ...document, config: undefined }, types.image, 'MANIFEST_INVALID'],
      [
        { ...document, config: { mediaType: types.config, size: 2, digest: 'sha256:x' } },
        types.image,
        'DIGEST_INVALID',
      ],
      [{ ...document, manifests: [] }, types.image, 'MANIFEST_INVALID'],
    ]
    for (const [body, type, code] of refused) {
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      const reply = await put(target, 'refused', Buffer.from(text), type)
      expectStatus(reply, 400)
      assert.equal(
        (parseJson(reply) as { errors: [{ code: string }] }).errors[0].code,
        code,
        text.slice(0, 200),
      )
    }
  })
}

function defineReferences(target: Target): void {
  const { client, repository } = target

  it('stay by digest when their tag moves on or is deleted', async () => {
    const first = await pushSet(target, imageSet('moved 1'))
    const second = await pushSet(target, imageSet('moved 2'))
    await pushManifest(target, first, 'moved')
    await pushManifest(target, second, 'moved')
    await checkManifestGet(target, second, 'moved')
    await checkManifestGet(target, first, first.digest)
    expectStatus(await client.request('DELETE', manifestPath(repository, 'moved')), 202)
    expectError(await client.request('GET', manifestPath(repository, 'moved')), 404, 'MANIFEST_UNKNOWN')
    await checkManifestGet(target, second, second.digest)
  })

  it('take their tags with them when they are deleted, and come back when pushed again', async () => {
    const manifest = await pushSet(target, imageSet('deleted'))
    await pushManifest(target, manifest, 'deleted')
    expectStatus(await client.request('DELETE', manifestPath(repository, manifest.digest)), 202)
    for (const reference of ['deleted', manifest.digest]) {
      expectError(await client.request('GET', manifestPath(repository, reference)), 404, 'MANIFEST_UNKNOWN')
      expectError(
        await client.request('DELETE', manifestPath(repository, reference)),
        404,
        'MANIFEST_UNKNOWN',
      )
    }
    await pushManifest(target, manifest, 'deleted')
  })

  it('keep what they are made of: a blob of a manifest that is there cannot be deleted', async () => {
    const set = imageSet('in use')
    const manifest = await pushSet(target, set)
    for (const digest of set.blobs.keys()) {
      const message = expectError(await client.request('DELETE', blobPath(repository, digest)), 403, 'DENIED')
      assert.match(message, /sha256:/)
    }
    await checkManifestGet(target, manifest, manifest.digest)
  })

  it('of an unknown repository are NAME_UNKNOWN', async () => {
    for (const name of [`${repository}-nothing`, 'nobody/app']) {
      expectError(await client.request('GET', manifestPath(name, 'latest')), 404, 'NAME_UNKNOWN')
      expectError(await client.request('DELETE', manifestPath(name, 'latest')), 404, 'NAME_UNKNOWN')
      expectStatus(await client.request('HEAD', manifestPath(name, 'latest')), 404)
    }
  })

  it('have tags of up to 128 characters of the grammar', async () => {
    const manifest = await pushSet(target, imageSet('tags'))
    for (const tag of ['_', 'A.b-c_D', '0', 'x'.repeat(128)]) await pushManifest(target, manifest, tag)
    for (const tag of ['.x', '-x', 'x'.repeat(129), 'a%20b']) {
      expectError(await put(target, tag, manifest.content, types.image), 400, 'MANIFEST_INVALID')
    }
  })
}

function defineConditions(target: Target): void {
  const { client, repository } = target

  it('have an entity tag that works in conditions', async () => {
    const manifest = await pushSet(target, imageSet('etag'))
    await pushManifest(target, manifest, 'etag')
    for (const reference of ['etag', manifest.digest]) {
      const path = manifestPath(repository, reference)
      const etag = String((await client.request('HEAD', path)).headers['etag'])
      assert.match(etag, /^"[^"]+"$/)
      for (const method of ['GET', 'HEAD']) {
        const reply = await client.request(method, path, { headers: { 'if-none-match': etag } })
        expectStatus(reply, 304)
        assert.equal(reply.body.byteLength, 0)
        assert.equal(reply.headers['docker-content-digest'], manifest.digest)
      }
      expectStatus(await client.request('GET', path, { headers: { 'if-none-match': '"other"' } }), 200)
    }
  })

  it('are what they are, whatever Accept names', async () => {
    const manifest = await pushSet(target, imageSet('accept'))
    const docker = `${mediaTypes.docker.manifest}, ${mediaTypes.docker.index}`
    for (const accept of ['*/*', acceptOci, docker, `${docker}, ${acceptOci}`, 'application/json', '']) {
      const reply = await client.request('GET', manifestPath(repository, manifest.digest), {
        headers: { accept },
      })
      expectStatus(reply, 200)
      assert.equal(reply.headers['content-type'], types.image)
      expectContent(reply, manifest.content)
    }
  })
}

function defineDocker(target: Target): void {
  const { client, repository } = target
  const { config, layer, manifest: imageType, index: listType } = mediaTypes.docker
  const set = createDataSet('docker')
  const configDescriptor = addBlob(set, Buffer.from('{"os":"linux"}'), config)
  const layers = [addBlob(set, Buffer.from('a layer'), layer)]
  const imageBody = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: imageType, config: configDescriptor, layers }),
  )
  const entry = { ...describeContent(imageBody, imageType), platform: { os: 'linux', architecture: 'amd64' } }
  const listBody = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: listType, manifests: [entry] }))
  const documents = [
    { tag: 'image', mediaType: imageType, content: imageBody },
    { tag: 'list', mediaType: listType, content: listBody },
  ]

  it('are pushed and served with their own types', async () => {
    await pushBlobs(target, set)
    const accept = `${imageType}, ${listType}, ${acceptOci}, */*`
    for (const { tag, mediaType, content } of documents) {
      const digest = digestOf('sha256', content)
      const pushed = await put(target, tag, content, mediaType)
      expectStatus(pushed, 201)
      assert.equal(pushed.headers['docker-content-digest'], digest)
      assert.equal(pushed.headers['oci-subject'], undefined)
      for (const reference of [tag, digest]) {
        const head = await client.request('HEAD', manifestPath(repository, reference), {
          headers: { accept },
        })
        const got = await client.request('GET', manifestPath(repository, reference), { headers: { accept } })
        for (const reply of [head, got]) {
          expectStatus(reply, 200)
          assert.equal(reply.headers['content-type'], mediaType)
          assert.equal(reply.headers['content-length'], String(content.byteLength))
          assert.equal(reply.headers['docker-content-digest'], digest)
        }
        assert.ok(got.body.equals(content))
      }
    }
  })

  it('of schema 1 are refused with what to do about it', async () => {
    const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
    const body = Buffer.from(JSON.stringify({ schemaVersion: 1, name: 'x', tag: 'y', fsLayers: [] }))
    const message = expectError(await put(target, 'old', body, type), 400, 'MANIFEST_INVALID')
    assert.match(message, /schema 1/)
  })
}

function imageSet(name: string): DataSet {
  const set = createDataSet(`manifests/${name}`)
  addImage(set, { annotations: { 'org.example.name': name } })
  return set
}

async function pushBlobs(target: Target, set: DataSet): Promise<void> {
  for (const [digest, content] of set.blobs) await pushPostOnly(target, { digest, content })
}

/** Pushes the blobs and manifests of a set, and answers its last manifest. */
async function pushSet(target: Target, set: DataSet): Promise<Manifest> {
  await pushBlobs(target, set)
  for (const manifest of set.manifests) await pushManifest(target, manifest, manifest.digest)
  return set.manifests.at(-1) as Manifest
}

function put({ client, repository }: Target, reference: string, body: Buffer, type: string): Promise<Reply> {
  return client.request('PUT', manifestPath(repository, reference), {
    headers: { 'content-type': type },
    body,
  })
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { type Blob, blobPath, pushPostOnly, startUpload, type Target, uploadsPath } from './blob-push.ts'
import { locationOf, type Reply, withQuery } from './client.ts'
import { type Algorithm, digestOf, types } from './content.ts'
import { expectError, expectStatus } from './expect.ts'
import type { Project, Registry } from './registry.ts'

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/
const bytesType = { 'content-type': types.bytes }

/** "Pushing blobs" of the spec, beyond what the official suite asks. */
export function defineUploadCases(registry: Registry, project: Project): void {
  const target: Target = { client: project.client, repository: `${project.namespace}/uploads`, isDev: true }
  describe('uploads', () => {
    defineSessions(target)
    defineAlgorithms(target)
    defineChunks(target)
    defineClosing(target)
  })
  describe('mounts', () => defineMounts(registry, project, target))
}

function defineSessions(target: Target): void {
  const { client, repository } = target

  it('have a URL of their own on this registry, with a UUID in it', async () => {
    const reply = await client.request('POST', uploadsPath(repository))
    expectStatus(reply, 202)
    const location = locationOf(reply)
    assert.equal(location.origin, client.origin.origin)
    const id = uuid.exec(location.pathname)?.[0]
    assert.ok(id !== undefined, location.href)
    assert.equal(reply.headers['docker-upload-uuid'], id)
    assert.equal(reply.headers['content-length'], '0')
    await cancel(target, location)
  })

  it('start at the path without its last slash too', async () => {
    const reply = await client.request('POST', uploadsPath(repository).slice(0, -1))
    expectStatus(reply, 202)
    await cancel(target, locationOf(reply))
  })

  it('that never were, have ended or were cancelled are unknown', async () => {
    const cancelled = await startUpload(target)
    await cancel(target, cancelled)
    const ended = await startUpload(target)
    const { digest, content } = blobOf('ended')
    expectStatus(await client.request('PUT', withQuery(ended, { digest }), { body: content }), 201)
    const never = `${uploadsPath(repository)}00000000-0000-4000-8000-000000000000`
    for (const location of [cancelled, ended, never, `${uploadsPath(repository)}nonsense`]) {
      const put = withQuery(location, { digest })
      for (const reply of [
        await client.request('GET', location),
        await client.request('PATCH', location, { headers: bytesType, body: content }),
        await client.request('PUT', put, { body: content }),
        await client.request('DELETE', location),
      ]) {
        expectError(reply, 404, 'BLOB_UPLOAD_UNKNOWN')
      }
    }
  })

  it('belong to the repository that they were started in', async () => {
    const location = await startUpload(target)
    const elsewhere = location.pathname.replace(repository, `${repository}-other`)
    expectError(await client.request('GET', elsewhere), 404, 'BLOB_UPLOAD_UNKNOWN')
    await cancel(target, location)
  })
}

function defineAlgorithms(target: Target): void {
  const { client, repository } = target

  it('take the algorithm that will close them', async () => {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const { digest, content } = blobOf(`announced ${algorithm}`, algorithm)
      const started = await client.request(
        'POST',
        withQuery(uploadsPath(repository), { 'digest-algorithm': algorithm }),
      )
      expectStatus(started, 202)
      const patched = await client.request('PATCH', locationOf(started), {
        headers: bytesType,
        body: content,
      })
      expectStatus(patched, 202)
      const closed = await client.request('PUT', withQuery(locationOf(patched), { digest }))
      expectStatus(closed, 201)
      assert.equal(closed.headers['docker-content-digest'], digest)
    }
  })

  it('may be closed by another algorithm than was announced, or than the usual one', async () => {
    for (const announced of [{}, { 'digest-algorithm': 'sha256' }] as Record<string, string>[]) {
      const { digest, content } = blobOf(`not announced ${Object.keys(announced).length}`, 'sha512')
      const started = await client.request('POST', withQuery(uploadsPath(repository), announced))
      const patched = await client.request('PATCH', locationOf(started), {
        headers: bytesType,
        body: content,
      })
      expectStatus(await client.request('PUT', withQuery(locationOf(patched), { digest })), 201)
      const pulled = await client.request('GET', blobPath(repository, digest))
      assert.ok(pulled.body.equals(content))
    }
  })

  it('refuse an algorithm that they do not know', async () => {
    const path = withQuery(uploadsPath(repository), { 'digest-algorithm': 'md5' })
    expectError(await client.request('POST', path), 400, 'DIGEST_INVALID')
  })

  it('of the same bytes by both algorithms are two blobs', async () => {
    const content = seededBytes('both algorithms', 700)
    const blobs = (['sha256', 'sha512'] as const).map((algorithm) => ({
      digest: digestOf(algorithm, content),
      content,
    }))
    for (const blob of blobs) await pushPostOnly(target, blob)
    const [first, second] = blobs as [Blob, Blob]
    expectStatus(await client.request('DELETE', blobPath(repository, first.digest)), 202)
    expectStatus(await client.request('HEAD', blobPath(repository, second.digest)), 200)
  })
}

function defineChunks(target: Target): void {
  const { client } = target

  it('say after each chunk which bytes they have', async () => {
    const { digest, content } = blobOf('range', 'sha256', 3000)
    let location = await startUpload(target)
    for (const [start, end] of [
      [0, 999],
      [1000, 1000],
      [1001, 2999],
    ] as const) {
      const headers = { ...bytesType, 'content-range': `${start}-${end}` }
      const reply = await client.request('PATCH', location, {
        headers,
        body: content.subarray(start, end + 1),
      })
      expectStatus(reply, 202)
      assert.equal(reply.headers['range'], `0-${end}`)
      location = locationOf(reply)
      const status = await client.request('GET', location)
      expectStatus(status, 204)
      assert.equal(status.headers['range'], `0-${end}`)
      assert.equal(status.headers['content-length'], undefined)
    }
    expectStatus(await client.request('PUT', withQuery(location, { digest })), 201)
  })

  it('stay as they are when a chunk begins elsewhere, has another length than it says, or is malformed', async () => {
    const { digest, content } = blobOf('wrong chunks', 'sha256', 2000)
    const location = await startUpload(target)
    const send = (range: string, body: Buffer): Promise<Reply> =>
      client.request('PATCH', location, { headers: { ...bytesType, 'content-range': range }, body })
    expectStatus(await send('0-999', content.subarray(0, 1000)), 202)
    const gap = await send('1500-1999', content.subarray(1500))
    expectError(gap, 416, 'BLOB_UPLOAD_INVALID')
    assert.equal(gap.headers['range'], '0-999')
    expectError(await send('0-999', content.subarray(0, 1000)), 416, 'BLOB_UPLOAD_INVALID')
    expectError(await send('1000-1999', content.subarray(1000, 1500)), 400, 'SIZE_INVALID')
    for (const range of ['1000', '1000-', '-5', '1999-1000', 'a-b', '1000-1999, 2000-2001']) {
      expectError(await send(range, content.subarray(1000)), 400, 'BLOB_UPLOAD_INVALID')
    }
    assert.equal((await client.request('GET', location)).headers['range'], '0-999')
    expectStatus(await send('1000-1999', content.subarray(1000)), 202)
    expectStatus(await client.request('PUT', withQuery(location, { digest })), 201)
  })

  it('may have an empty chunk', async () => {
    const { digest, content } = blobOf('empty chunk')
    const location = await startUpload(target)
    expectStatus(await client.request('PATCH', location, { headers: bytesType, body: Buffer.alloc(0) }), 202)
    expectStatus(await client.request('PUT', withQuery(location, { digest }), { body: content }), 201)
  })
}

function defineClosing(target: Target): void {
  const { client } = target

  it('cannot be closed without a digest of a known algorithm', async () => {
    const location = await startUpload(target)
    const { digest, content } = blobOf('close')
    const wrong = [
      '',
      'nonsense',
      'sha256:',
      `sha256:${'A'.repeat(64)}`,
      `sha256:${'a'.repeat(63)}`,
      `md5:${'a'.repeat(32)}`,
    ]
    for (const text of wrong) {
      expectError(
        await client.request('PUT', withQuery(location, { digest: text }), { body: content }),
        400,
        'DIGEST_INVALID',
      )
    }
    expectError(await client.request('PUT', location, { body: content }), 400, 'DIGEST_INVALID')
    expectStatus(await client.request('PUT', withQuery(location, { digest }), { body: content }), 201)
  })

  it('are over after content that does not have its digest', async () => {
    const { digest, content } = blobOf('over')
    const location = await startUpload(target)
    const wrong = Buffer.concat([content, Buffer.from('!')])
    expectError(
      await client.request('PUT', withQuery(location, { digest }), { body: wrong }),
      400,
      'DIGEST_INVALID',
    )
    expectError(await client.request('GET', location), 404, 'BLOB_UPLOAD_UNKNOWN')
  })
}

function defineMounts(registry: Registry, project: Project, target: Target): void {
  const { client } = target
  const { namespace, credential } = project
  const source = { ...target, repository: `${namespace}/source` }
  const mountPath = (repository: string, parameters: Record<string, string>): string =>
    withQuery(uploadsPath(repository), parameters)

  it('with a token for the target alone are challenged for both repositories, and then work', async () => {
    const blob = blobOf('mount')
    await pushPostOnly(source, blob)
    const path = mountPath(`${namespace}/mounted`, { mount: blob.digest, from: source.repository })
    const anonymous = registry.clientOf(null)
    const token = await narrowToken(registry, project, `repository:${namespace}/mounted:pull,push`)
    for (const authorization of [undefined, `Bearer ${token}`]) {
      const reply = await anonymous.request('POST', path, authorization ? { headers: { authorization } } : {})
      expectError(reply, 401, 'UNAUTHORIZED')
      const scope = /scope="([^"]*)"/.exec(String(reply.headers['www-authenticate']))?.[1]
      assert.equal(scope, `repository:${namespace}/mounted:pull,push repository:${source.repository}:pull`)
    }
    const mounted = await client.request('POST', path)
    expectStatus(mounted, 201)
    assert.equal(locationOf(mounted).pathname, blobPath(`${namespace}/mounted`, blob.digest))
  })

  it('without a source find one that the credential may pull', async () => {
    const blob = blobOf('anonymous mount')
    await pushPostOnly(source, blob)
    const path = mountPath(`${namespace}/found`, { mount: blob.digest })
    const basic = registry.clientOf(credential, 'basic')
    expectStatus(await basic.request('POST', path), 201)
    // A token for the target says nothing of where to look: the client sends the bytes.
    const narrow = await client.request('POST', mountPath(`${namespace}/not-found`, { mount: blob.digest }))
    expectStatus(narrow, 202)
    const closed = withQuery(locationOf(narrow), { digest: blob.digest })
    expectStatus(await client.request('PUT', closed, { body: blob.content }), 201)
  })

  it('that the key may not do start an upload', async () => {
    const blob = blobOf('forbidden mount')
    await pushPostOnly(source, blob)
    const { key } = await registry.berth.createKey(project.id, { repositories: ['mine/**'] })
    const narrow = registry.clientOf({ username: 'api', password: key })
    for (const from of [source.repository, `${namespace}/nothing`, 'nobody/app']) {
      const path = mountPath(`${namespace}/mine/app`, { mount: blob.digest, from })
      const reply = await narrow.request('POST', path)
      expectStatus(reply, 202)
      await narrow.request('DELETE', locationOf(reply))
    }
  })

  it('of a malformed digest, or from a malformed name, are errors', async () => {
    const repository = `${namespace}/mounted`
    const { digest } = blobOf('mount')
    const wrong = { mount: 'sha256:nonsense', from: source.repository }
    expectError(await client.request('POST', mountPath(repository, wrong)), 400, 'DIGEST_INVALID')
    const name = { mount: digest, from: 'Not/A/Name' }
    expectError(await client.request('POST', mountPath(repository, name)), 400, 'NAME_INVALID')
  })
}

async function narrowToken(registry: Registry, project: Project, scope: string): Promise<string> {
  const basic = registry.clientOf(project.credential, 'basic')
  const reply = await basic.request(
    'GET',
    withQuery('/auth/token', { service: registry.berth.registryHost, scope }),
  )
  expectStatus(reply, 200)
  return (JSON.parse(reply.body.toString()) as { token: string }).token
}

async function cancel({ client }: Target, location: URL): Promise<void> {
  expectStatus(await client.request('DELETE', location), 204)
}

function blobOf(seed: string, algorithm: Algorithm = 'sha256', sizeBytes = 600): Blob {
  const content = seededBytes(`uploads/${seed}`, sizeBytes)
  return { digest: digestOf(algorithm, content), content }
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { blobPath, pushPostOnly, startUpload, type Target, uploadsPath } from './blob-push.ts'
import { basicAuthorization } from './client.ts'
import { digestOf, types } from './content.ts'
import { addImage, createDataSet } from './data-sets.ts'
import { type Manifest, manifestPath, pushManifest } from './pull-checks.ts'
import type { Project, Registry } from './registry.ts'
import { converse, field, type WireReply, type WireRequest } from './wire.ts'

/** Answers as RFC 9112 wants them, several on one connection: what follows an ill-formed one cannot be read. */
export function defineWireCases(registry: Registry, project: Project): void {
  const target: Target = { client: project.client, repository: `${project.namespace}/wire`, isDev: true }
  const { repository } = target
  const authorization = basicAuthorization(project.credential)
  const small = blobOf('small', 2048)
  const large = blobOf('large', 200_000)
  const set = createDataSet('wire')
  addImage(set, { tag: 'v1' })

  /** Sends each request, and after each a GET whose answer is known. */
  async function talk(...requests: WireRequest[]): Promise<WireReply[]> {
    const known: WireRequest = { method: 'GET', path: blobPath(repository, small.digest) }
    const all = requests.flatMap((request) => [request, known])
    const signed = all.map((request) => ({
      ...request,
      headers: { Authorization: authorization, ...request.headers },
    }))
    const replies = await converse(registry.berth.registryHost, signed)
    for (const [n, reply] of replies.entries()) {
      if (n % 2 === 1)
        assert.ok(reply.status === 200 && reply.body.equals(small.content), `the answer after ${n - 1}`)
    }
    return replies.filter((_, n) => n % 2 === 0)
  }

  describe('on one connection', () => {
    it('there is something to ask for', async () => {
      for (const blob of [small, large]) await pushPostOnly(target, blob)
      for (const [digest, content] of set.blobs) await pushPostOnly(target, { digest, content })
      for (const manifest of set.manifests) await pushManifest(target, manifest, 'v1')
    })

    it('416 has exactly the body that it announces', async () => {
      const ranges = ['bytes=500-0', 'bytes=999999-', 'bytes=5000000-6000000']
      for (const { digest } of [small, large]) {
        const requests = ranges.map((Range) => ({
          method: 'GET',
          path: blobPath(repository, digest),
          headers: { Range },
        }))
        for (const reply of await talk(...requests)) {
          assert.equal(reply.status, 416)
          JSON.parse(reply.body.toString())
        }
      }
    })

    it('206 has exactly its range', async () => {
      const headers = { Range: 'bytes=100-1099' }
      for (const { digest, content } of [small, large]) {
        const [reply] = await talk({ method: 'GET', path: blobPath(repository, digest), headers })
        assert.equal(reply?.status, 206)
        assert.ok(reply?.body.equals(content.subarray(100, 1100)))
      }
    })

    it('HEAD has a length and no body', async () => {
      const [manifest] = set.manifests as [Manifest]
      const known: [path: string, status: number, sizeBytes?: number][] = [
        [blobPath(repository, small.digest), 200, small.content.byteLength],
        [blobPath(repository, large.digest), 200, large.content.byteLength],
        [manifestPath(repository, 'v1'), 200, manifest.content.byteLength],
        [manifestPath(repository, manifest.digest), 200, manifest.content.byteLength],
        [`/v2/${repository}/tags/list`, 200],
        [`/v2/${repository}/referrers/${manifest.digest}`, 200],
        [manifestPath(repository, 'nothing'), 404],
        [blobPath(repository, digestOf('sha256', Buffer.from('nothing'))), 404],
        [blobPath(repository, 'sha256:nonsense'), 400],
      ]
      const replies = await talk(...known.map(([path]) => ({ method: 'HEAD', path })))
      for (const [n, [path, status, sizeBytes]] of known.entries()) {
        const reply = replies[n] as WireReply
        assert.equal(reply.status, status, path)
        if (sizeBytes !== undefined) assert.equal(field(reply, 'content-length'), String(sizeBytes), path)
      }
    })

    it('204 and 304 have no body and no length', async () => {
      const location = (await startUpload(target)).pathname
      const etag = { 'If-None-Match': `"${small.digest}"` }
      const replies = await talk(
        { method: 'GET', path: location },
        { method: 'HEAD', path: location },
        { method: 'GET', path: blobPath(repository, small.digest), headers: { 'If-None-Match': '*' } },
        { method: 'GET', path: blobPath(repository, small.digest), headers: etag },
        { method: 'GET', path: manifestPath(repository, 'v1'), headers: { 'If-None-Match': '*' } },
        { method: 'DELETE', path: location },
      )
      assert.deepEqual(
        replies.map(({ status }) => status),
        [204, 204, 304, 304, 304, 204],
      )
    })

    it('a refused body is no part of the next request', async () => {
      const body = seededBytes('refused', 100_000)
      const headers = { 'Content-Type': types.bytes }
      const wrong = digestOf('sha256', Buffer.from('something else'))
      const replies = await talk(
        { method: 'POST', path: `${uploadsPath(repository)}?digest=${wrong}`, headers, body },
        { method: 'PATCH', path: `${uploadsPath(repository)}nonsense`, headers, body },
        {
          method: 'PUT',
          path: manifestPath(repository, 'bad'),
          headers: { 'Content-Type': types.image },
          body,
        },
        {
          method: 'PUT',
          path: manifestPath(repository, 'x'),
          headers: { ...headers, Authorization: 'Bearer x' },
          body,
        },
        {
          method: 'GET',
          path: blobPath(repository, small.digest),
          body: Buffer.from('a body where none belongs'),
        },
      )
      assert.deepEqual(
        replies.map(({ status }) => status),
        [400, 404, 400, 401, 200],
      )
    })

    it('a challenge is one field', async () => {
      const [reply] = await talk({ method: 'GET', path: '/v2/', headers: { Authorization: 'Bearer x' } })
      assert.equal(reply?.status, 401)
      assert.match(String(field(reply as WireReply, 'www-authenticate')), /^Bearer realm="/)
    })
  })
}

function blobOf(seed: string, sizeBytes: number): { digest: string; content: Buffer } {
  const content = seededBytes(`wire/${seed}`, sizeBytes)
  return { digest: digestOf('sha256', content), content }
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { type Blob, blobPath, pushPostOnly, pushStream, type Target } from './blob-push.ts'
import { digestOf, types } from './content.ts'
import { expectContent, expectError, expectStatus } from './expect.ts'
import type { Project } from './registry.ts'

/** Small blobs live in the database and large ones in the blob store: to a client they must be alike. */
const sizesBytes = { small: 2048, large: 300_000, 'larger than a part': 6 * 1024 * 1024 }

/** "Pulling blobs" and "Deleting blobs" of the spec, beyond what the official suite asks. */
export function defineBlobReadCases({ client, namespace }: Project): void {
  const target: Target = { client, repository: `${namespace}/blobs`, isDev: true }
  for (const [name, sizeBytes] of Object.entries(sizesBytes)) {
    const content = seededBytes(`blobs/${name}`, sizeBytes)
    describe(`a ${name} blob`, () => defineReads(target, { digest: digestOf('sha256', content), content }))
  }
  describe('blobs', () => defineMissing(target, namespace))
}

function defineReads(target: Target, blob: Blob): void {
  const { client, repository } = target
  const { digest, content } = blob
  const path = blobPath(repository, digest)
  const size = content.byteLength

  it('is stored', () => (size < 1024 * 1024 ? pushPostOnly(target, blob) : pushStream(target, blob)))

  it('is served whole, as bytes and nothing else', async () => {
    const reply = await client.request('GET', path)
    expectStatus(reply, 200)
    expectContent(reply, content)
    assert.equal(reply.headers['content-type'], types.bytes)
    assert.equal(reply.headers['accept-ranges'], 'bytes')
    assert.equal(reply.headers['docker-content-digest'], digest)
    assert.equal(reply.headers['x-content-type-options'], 'nosniff')
    assert.equal(reply.headers['transfer-encoding'], undefined)
  })

  it('is served in ranges', async () => {
    for (const [range, start, end] of [
      ['0-0', 0, 0],
      [`0-${size - 1}`, 0, size - 1],
      [`${size - 1}-`, size - 1, size - 1],
      ['-1', size - 1, size - 1],
      [`-${size + 5}`, 0, size - 1],
      [`1000-${size * 2}`, 1000, size - 1],
    ] as const) {
      const reply = await client.request('GET', path, { headers: { range: `bytes=${range}` } })
      expectStatus(reply, 206)
      expectContent(reply, content.subarray(start, end + 1))
      assert.equal(reply.headers['content-range'], `bytes ${start}-${end}/${size}`)
      assert.equal(reply.headers['docker-content-digest'], digest)
    }
  })

  it('answers 416 to a range that it does not have', async () => {
    for (const range of [`${size}-`, `${size + 10}-${size + 20}`, '500-0', '-0']) {
      const reply = await client.request('GET', path, { headers: { range: `bytes=${range}` } })
      expectStatus(reply, 416)
      assert.equal(reply.headers['content-range'], `bytes */${size}`)
      assert.equal(reply.headers['content-length'], String(reply.body.byteLength))
    }
  })

  it('ignores what is no range of bytes, or several', async () => {
    for (const range of ['items=0-5', 'bytes', 'bytes=a-b', 'bytes=-', 'bytes=0-1,4-5']) {
      const reply = await client.request('GET', path, { headers: { range } })
      expectStatus(reply, 200)
      expectContent(reply, content)
    }
  })

  it('has an entity tag that works in conditions', async () => {
    const etag = String((await client.request('HEAD', path)).headers['etag'])
    assert.match(etag, /^"[^"]+"$/)
    for (const condition of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const reply = await client.request('GET', path, { headers: { 'if-none-match': condition } })
      expectStatus(reply, 304)
      assert.equal(reply.body.byteLength, 0)
      assert.equal(reply.headers['etag'], etag)
    }
    expectStatus(await client.request('GET', path, { headers: { 'if-none-match': '"other"' } }), 200)
    const range = 'bytes=0-9'
    expectStatus(await client.request('GET', path, { headers: { range, 'if-range': etag } }), 206)
    expectStatus(await client.request('GET', path, { headers: { range, 'if-range': '"other"' } }), 200)
  })

  it('does not answer HEAD with a range', async () => {
    const reply = await client.request('HEAD', path, { headers: { range: 'bytes=0-9' } })
    expectStatus(reply, 200)
    assert.equal(reply.headers['content-length'], String(size))
  })
}

function defineMissing({ client, repository }: Target, namespace: string): void {
  const unknown = digestOf('sha256', Buffer.from('never pushed'))

  it('that are not there are BLOB_UNKNOWN, in a repository that is not there NAME_UNKNOWN', async () => {
    for (const [name, code] of [
      [repository, 'BLOB_UNKNOWN'],
      [`${namespace}/nothing`, 'NAME_UNKNOWN'],
      ['nobody/nothing', 'NAME_UNKNOWN'],
    ] as const) {
      const path = blobPath(name, unknown)
      expectError(await client.request('GET', path), 404, code)
      expectError(await client.request('DELETE', path), 404, code)
      expectStatus(await client.request('HEAD', path), 404)
    }
  })

  it('with a malformed digest are DIGEST_INVALID', async () => {
    for (const digest of [
      'sha256:nonsense',
      `sha256:${'A'.repeat(64)}`,
      `sha1:${'a'.repeat(40)}`,
      'nonsense',
    ]) {
      for (const method of ['GET', 'DELETE']) {
        expectError(await client.request(method, blobPath(repository, digest)), 400, 'DIGEST_INVALID')
      }
    }
  })

  it('are of one repository: elsewhere they do not exist', async () => {
    const content = seededBytes('blobs/own', 500)
    const digest = digestOf('sha256', content)
    await pushPostOnly({ client, repository, isDev: true }, { digest, content })
    const other = { client, repository: `${namespace}/other`, isDev: true }
    await pushPostOnly(other, { digest: digestOf('sha256', Buffer.from('x')), content: Buffer.from('x') })
    expectError(await client.request('GET', blobPath(other.repository, digest)), 404, 'BLOB_UNKNOWN')
  })
}

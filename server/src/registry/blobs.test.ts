import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import type { BlobSource, BlobStore } from '../blobstore/blobstore.ts'
import { MIN_LEASE_LEFT_MS } from './limits.ts'
import { imageManifest, pushBlob, putManifest } from './test-content.ts'
import { basic, openTestRegion, type TestRegion } from './test-region.ts'

const KIB = 1024
const UNKNOWN = digestOf('sha256', Buffer.from('never pushed'))

let region: TestRegion
const opened = { sources: 0, closed: 0 }
before(async () => {
  region = await openTestRegion({ wrapBlobs: countSources })
  await region.createProject('acme')
  await region.createKey('acme')
})
after(() => region.close())

/** Counts opened and closed sources, to see that none leaks. */
function countSources(blobs: BlobStore): BlobStore {
  return new Proxy(blobs, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      if (name !== 'open') return value.bind(target)
      return async (...args: Parameters<BlobStore['open']>): Promise<BlobSource | null> => {
        const source = await target.open(...args)
        if (source === null) return null
        opened.sources += 1
        return {
          sizeBytes: source.sizeBytes,
          pump: (...pumpArgs) => source.pump(...pumpArgs),
          async close() {
            opened.closed += 1
            await source.close()
          },
        }
      }
    },
  })
}

for (const [where, size] of [
  ['in the database', 2048],
  ['in the blob store', 300 * KIB],
] as const) {
  describe(`a blob ${where}`, () => {
    let content: Buffer
    let path: string
    let digest: string
    before(async () => {
      const blob = await pushBlob(region, 'acme/web', randomBytes(size))
      content = blob.content
      digest = blob.digest
      path = `/v2/acme/web/blobs/${digest}`
    })

    it('is served with headers that keep it inert and private', async () => {
      const { status, headers, body } = await region.call('GET', path)
      assert.equal(status, 200)
      assert.ok(body.equals(content))
      assert.equal(headers['content-type'], 'application/octet-stream')
      assert.equal(headers['content-disposition'], 'attachment')
      assert.equal(headers['x-content-type-options'], 'nosniff')
      assert.match(String(headers['content-security-policy']), /sandbox/)
      assert.equal(headers['accept-ranges'], 'bytes')
      assert.equal(headers.etag, `"${digest}"`)
      assert.equal(headers['docker-content-digest'], digest)
      assert.match(headers['cache-control'] ?? '', /^private/)
      assert.equal(headers.vary, 'Authorization')
      assert.equal(headers['docker-distribution-api-version'], 'registry/2.0')
    })

    it('is served in ranges', async () => {
      const last = size - 1
      const ranges: [string, number, number][] = [
        ['bytes=500-1499', 500, 1499],
        ['bytes=500-', 500, last],
        ['bytes=-500', size - 500, last],
        [`bytes=${size - 48}-${size * 3}`, size - 48, last],
        ['bytes=0-0', 0, 0],
        [`bytes=-${size * 2}`, 0, last],
      ]
      for (const [range, first, end] of ranges) {
        const answer = await region.call('GET', path, { headers: { Range: range } })
        assert.equal(answer.status, 206, range)
        assert.equal(answer.headers['content-range'], `bytes ${first}-${end}/${size}`)
        assert.equal(answer.headers['content-length'], String(end - first + 1))
        assert.ok(answer.body.equals(content.subarray(first, end + 1)), range)
      }
    })

    it('answers 416 to a range that it does not have', async () => {
      for (const range of ['bytes=500-0', `bytes=${size}-${size * 2}`, 'bytes=-0']) {
        const answer = await region.call('GET', path, { headers: { Range: range } })
        assert.equal(answer.status, 416, range)
        assert.equal(answer.headers['content-range'], `bytes */${size}`)
        assert.equal(answer.headers['content-length'], String(answer.body.byteLength))
      }
    })

    it('is served whole for ranges that it does not understand, and to HEAD', async () => {
      for (const range of ['lines=1-2', 'bytes=0-1,5-6', 'bytes=x']) {
        const answer = await region.call('GET', path, { headers: { Range: range } })
        assert.equal(answer.status, 200, range)
        assert.equal(answer.body.byteLength, size)
      }
      const head = await region.call('HEAD', path, { headers: { Range: 'bytes=0-1' } })
      assert.equal(`${head.status} ${head.headers['content-length']}`, `200 ${size}`)
    })

    it('compares validators', async () => {
      const etag = `"${digest}"`
      for (const value of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
        const answer = await region.call('GET', path, { headers: { 'If-None-Match': value } })
        assert.equal(answer.status, 304, value)
        assert.equal(answer.body.byteLength, 0)
        assert.equal(answer.headers.etag, etag)
      }
      assert.equal((await region.call('GET', path, { headers: { 'If-None-Match': '"x"' } })).status, 200)
      const Range = 'bytes=0-9'
      const same = await region.call('GET', path, { headers: { Range, 'If-Range': etag } })
      assert.equal(same.status, 206)
      for (const other of ['"x"', `W/${etag}`, 'Wed, 21 Oct 2015 07:28:00 GMT']) {
        const answer = await region.call('GET', path, { headers: { Range, 'If-Range': other } })
        assert.equal(answer.status, 200, other)
      }
    })
  })
}

describe('blobs', () => {
  it('that are not there are 404, in unknown repositories too', async () => {
    for (const method of ['GET', 'HEAD', 'DELETE']) {
      const blob = await region.call(method, `/v2/acme/web/blobs/${UNKNOWN}`)
      assert.equal(blob.status, 404)
      const repository = await region.call(method, `/v2/acme/nothing/blobs/${UNKNOWN}`)
      assert.equal(repository.status, 404)
      if (method === 'HEAD') continue
      assert.equal(blob.code(), 'BLOB_UNKNOWN')
      assert.equal(repository.code(), 'NAME_UNKNOWN')
    }
  })

  it('are only where they were pushed', async () => {
    const { digest } = await pushBlob(region, 'acme/web', randomBytes(50 * KIB))
    assert.equal((await region.call('GET', `/v2/acme/web/blobs/${digest}`)).status, 200)
    await pushBlob(region, 'acme/api')
    assert.equal((await region.call('GET', `/v2/acme/api/blobs/${digest}`)).code(), 'BLOB_UNKNOWN')
  })

  it('pushed again leave one copy in the store', async () => {
    const content = randomBytes(50 * KIB)
    await pushBlob(region, 'acme/web', content)
    const before = await storedKeys()
    await pushBlob(region, 'acme/web', content)
    const { digest } = await pushBlob(region, 'acme/api', content)
    assert.deepEqual(await storedKeys(), before)
    assert.ok((await region.call('GET', `/v2/acme/api/blobs/${digest}`)).body.equals(content))
  })

  it('are deleted, and gone at once, unless a manifest needs them', async () => {
    const config = await pushBlob(region, 'acme/web')
    const layer = await pushBlob(region, 'acme/web', randomBytes(50 * KIB))
    const manifest = imageManifest(config, [layer])
    assert.equal((await putManifest(region, 'acme/web', 'needed', manifest)).status, 201)
    for (const { digest } of [config, layer]) {
      const refused = await region.call('DELETE', `/v2/acme/web/blobs/${digest}`)
      assert.equal(`${refused.status} ${refused.code()}`, '403 DENIED')
      assert.match(refused.body.toString(), new RegExp(manifest.digest))
      assert.equal((await region.call('HEAD', `/v2/acme/web/blobs/${digest}`)).status, 200)
    }
    assert.equal((await region.call('DELETE', `/v2/acme/web/manifests/${manifest.digest}`)).status, 202)
    for (const { digest } of [config, layer]) {
      assert.equal((await region.call('DELETE', `/v2/acme/web/blobs/${digest}`)).status, 202)
      assert.equal((await region.call('HEAD', `/v2/acme/web/blobs/${digest}`)).status, 404)
      assert.equal((await region.call('DELETE', `/v2/acme/web/blobs/${digest}`)).code(), 'BLOB_UNKNOWN')
    }
  })

  it('that someone may push on stay for a while after a HEAD', async () => {
    const { digest } = await pushBlob(region, 'acme/web')
    const puller = basic(await region.createKey('acme', { actions: ['pull'] }))
    const pusher = basic(await region.createKey('acme'))
    const lease = async () => {
      const { db } = region.runtime
      const query = db.reader
        .selectFrom('repository_blob')
        .select('leased_until')
        .where('digest', '=', digest)
      return (await query.executeTakeFirstOrThrow()).leased_until
    }
    const first = await lease()
    const head = (authorization: string) =>
      region.call('HEAD', `/v2/acme/web/blobs/${digest}`, { authorization })
    await head(pusher)
    assert.equal(await lease(), first, 'a long lease needs no write')
    region.advance(region.runtime.limits.blobLeaseMs - MIN_LEASE_LEFT_MS / 2)
    await head(puller)
    assert.equal(await lease(), first, 'a pull promises nothing')
    assert.equal((await head(pusher)).status, 200)
    const extended = await lease()
    assert.ok(extended - region.runtime.clock.nowMs() >= MIN_LEASE_LEFT_MS)
    await head(pusher)
    assert.equal(await lease(), extended)
  })

  it('are let go of when a client leaves in the middle', async () => {
    const { digest } = await pushBlob(region, 'acme/web', randomBytes(20 * 1024 * KIB))
    const authorization = basic(await region.createKey('acme'))
    const before = opened.closed
    const socket = connect(region.port, '127.0.0.1')
    socket.write(
      `GET /v2/acme/web/blobs/${digest} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`,
    )
    await once(socket, 'data')
    socket.pause()
    socket.destroy()
    while (opened.closed === before) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(opened.closed, opened.sources)
  })

  it('whose bytes are lost are an error of ours, and never a short answer', async () => {
    const { digest } = await pushBlob(region, 'acme/web', randomBytes(50 * KIB))
    const query = region.runtime.db.reader
      .selectFrom('blob')
      .select('storage_key')
      .where('digest', '=', digest)
    const { storage_key: key } = await query.executeTakeFirstOrThrow()
    await region.runtime.blobs.delete(key as Parameters<BlobStore['delete']>[0])
    const answer = await region.call('GET', `/v2/acme/web/blobs/${digest}`)
    assert.equal(`${answer.status} ${answer.code()}`, '500 UNKNOWN')
    assert.deepEqual(answer.json().errors[0].detail, { requestId: answer.headers['x-request-id'] })
    assert.match(region.logged(), /are missing/)
  })

  after(() => assert.equal(opened.closed, opened.sources, 'every opened source was closed'))
})

describe('mounts', () => {
  it('of what the caller may pull need no bytes', async () => {
    const { digest, content } = await pushBlob(region, 'acme/source', randomBytes(50 * KIB))
    for (const from of ['&from=acme/source', '']) {
      const target = `acme/target${from === '' ? 'anonymous' : ''}`
      const answer = await region.call('POST', `/v2/${target}/blobs/uploads/?mount=${digest}${from}`)
      assert.equal(answer.status, 201)
      assert.equal(answer.headers.location, `/v2/${target}/blobs/${digest}`)
      assert.equal(answer.headers['docker-content-digest'], digest)
      assert.ok((await region.call('GET', `/v2/${target}/blobs/${digest}`)).body.equals(content))
    }
  })

  it('that cannot or may not be done all look the same, and start an upload', async () => {
    const { digest, content } = await pushBlob(region, 'acme/secret', randomBytes(50 * KIB))
    await region.createProject('rival', { publicRepositories: ['**'] })
    await region.createKey('rival')
    const foreign = await pushBlob(region, 'rival/app', randomBytes(50 * KIB))
    const authorization = basic(await region.createKey('acme', { repositories: ['target/*'] }))
    const targets = [
      `mount=${digest}&from=acme/secret`,
      `mount=${digest}&from=acme/nothing`,
      `mount=${UNKNOWN}&from=acme/target/x`,
      `mount=${foreign.digest}&from=rival/app`,
      `mount=${digest}&from=nobody/app`,
      `mount=${digest}`,
      `mount=${foreign.digest}`,
      `mount=${UNKNOWN}`,
    ]
    const shapes = new Set<string>()
    for (const query of targets) {
      const path = `/v2/acme/target/x/blobs/uploads/?${query}`
      const answer = await region.call('POST', path, { authorization })
      const names = Object.keys(answer.headers).toSorted().join()
      shapes.add(`${answer.status} ${names} ${answer.headers.range} ${answer.body.toString()}`)
      const location = answer.headers.location ?? ''
      const put = await region.call('PUT', `${location}?digest=${digest}`, { authorization, body: content })
      assert.equal(put.status, 201, query)
      await region.call('DELETE', `/v2/acme/target/x/blobs/${digest}`)
    }
    assert.deepEqual(shapes.size, 1, [...shapes].join('\n'))
    assert.match([...shapes][0] ?? '', /^202 /)
  })
})

async function storedKeys(): Promise<string[]> {
  const keys: string[] = []
  for await (const blob of region.runtime.blobs.list()) keys.push(blob.key)
  return keys.toSorted()
}

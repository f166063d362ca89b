import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { type DigestAlgorithm, digestOf } from '@berth/oci/digest'
import { basic, type CallAnswer, openTestRegion, type TestRegion } from './test-region.ts'

const KIB = 1024
const UPLOADS = '/v2/acme/web/blobs/uploads/'
/** In the database, at its limit, just in the blob store, and several buffers long. */
const SIZES = [0, 1, 16 * KIB, 16 * KIB + 1, 3 * 1024 * KIB]

let region: TestRegion
let authorization: string
before(async () => {
  region = await openTestRegion()
  await region.createProject('acme')
  authorization = basic(await region.createKey('acme'))
})
after(() => region.close())

async function start(query = ''): Promise<string> {
  const answer = await region.call('POST', `${UPLOADS}${query}`)
  assert.equal(answer.status, 202, answer.body.toString())
  return locationOf(answer)
}

function locationOf(answer: CallAnswer): string {
  const location = String(answer.headers.location)
  assert.ok(location.startsWith('/v2/acme/'), `Location is ${location}`)
  return location
}

function patch(location: string, body: Uint8Array, offset?: number): Promise<CallAnswer> {
  const range = offset === undefined ? {} : { 'Content-Range': `${offset}-${offset + body.byteLength - 1}` }
  return region.call('PATCH', location, { body, headers: range })
}

async function assertBlob(path: string, content: Uint8Array, digest: string): Promise<void> {
  const head = await region.call('HEAD', `${path}/blobs/${digest}`)
  assert.equal(head.status, 200)
  assert.equal(head.headers['content-length'], String(content.byteLength))
  assert.equal(head.headers['docker-content-digest'], digest)
  assert.equal(head.body.byteLength, 0)
  const got = await region.call('GET', `${path}/blobs/${digest}`)
  assert.equal(got.status, 200)
  assert.equal(got.headers['content-length'], String(content.byteLength))
  assert.ok(got.body.equals(content), 'other bytes than were pushed')
}

function assertCreated(answer: CallAnswer, digest: string): void {
  assert.equal(answer.status, 201, answer.body.toString())
  assert.equal(answer.headers.location, `/v2/acme/web/blobs/${digest}`)
  assert.equal(answer.headers['docker-content-digest'], digest)
}

for (const algorithm of ['sha256', 'sha512'] as DigestAlgorithm[]) {
  describe(`uploads by ${algorithm}`, () => {
    for (const size of SIZES) {
      it(`takes ${size} bytes at once, and after a POST`, async () => {
        const content = randomBytes(size)
        const digest = digestOf(algorithm, content)
        assertCreated(await region.call('POST', `${UPLOADS}?digest=${digest}`, { body: content }), digest)
        await assertBlob('/v2/acme/web', content, digest)

        const other = randomBytes(size)
        const otherDigest = digestOf(algorithm, other)
        const put = await region.call('PUT', `${await start()}?digest=${otherDigest}`, { body: other })
        assertCreated(put, otherDigest)
        await assertBlob('/v2/acme/web', other, otherDigest)
      })

      it(`takes ${size} bytes as a stream of unknown length`, async () => {
        const content = randomBytes(size)
        const digest = digestOf(algorithm, content)
        const location = await start(`?digest-algorithm=${algorithm}`)
        const patched = await region.call('PATCH', location, { body: content, chunked: true })
        assert.equal(patched.status, 202)
        assert.equal(patched.headers.range, `0-${Math.max(0, size - 1)}`)
        assertCreated(await region.call('PUT', `${locationOf(patched)}?digest=${digest}`), digest)
        await assertBlob('/v2/acme/web', content, digest)
      })
    }

    it('takes chunks, the last one with the closing PUT', async () => {
      for (const chunk of [1000, 10 * KIB, 700 * KIB]) {
        const content = randomBytes(3 * chunk)
        const digest = digestOf(algorithm, content)
        const location = await start()
        for (const offset of [0, chunk]) {
          const answer = await patch(location, content.subarray(offset, offset + chunk), offset)
          assert.equal(answer.status, 202)
          assert.equal(answer.headers.range, `0-${offset + chunk - 1}`)
          assert.ok(location.endsWith(String(answer.headers['docker-upload-uuid'])))
        }
        const put = await region.call('PUT', `${location}?digest=${digest}`, {
          body: content.subarray(2 * chunk),
          headers: { 'Content-Range': `${2 * chunk}-${3 * chunk - 1}` },
        })
        assertCreated(put, digest)
        await assertBlob('/v2/acme/web', content, digest)
      }
    })

    it('refuses content of another digest and forgets the upload', async () => {
      const wrong = digestOf(algorithm, Buffer.from('something else'))
      for (const content of [Buffer.from('little'), randomBytes(100 * KIB)]) {
        const atOnce = await region.call('POST', `${UPLOADS}?digest=${wrong}`, { body: content })
        assert.equal(`${atOnce.status} ${atOnce.code()}`, '400 DIGEST_INVALID')

        const afterPost = await start()
        const put = await region.call('PUT', `${afterPost}?digest=${wrong}`, { body: content })
        assert.equal(`${put.status} ${put.code()}`, '400 DIGEST_INVALID')

        const chunked = await start()
        await patch(chunked, content)
        const close = await region.call('PUT', `${chunked}?digest=${wrong}`)
        assert.equal(`${close.status} ${close.code()}`, '400 DIGEST_INVALID')
        assert.equal((await region.call('GET', chunked)).code(), 'BLOB_UPLOAD_UNKNOWN')
      }
      assert.equal((await region.call('HEAD', `/v2/acme/web/blobs/${wrong}`)).status, 404)
    })
  })
}

describe('upload sessions', () => {
  it('refuse a chunk that is out of order and stay as they were', async () => {
    const content = randomBytes(60 * KIB)
    const digest = digestOf('sha256', content)
    const location = await start()
    for (const offset of [0, 20 * KIB, 40 * KIB]) {
      const chunk = content.subarray(offset, offset + 20 * KIB)
      for (const method of ['PATCH', 'PUT']) {
        const target = method === 'PUT' ? `${location}?digest=${digest}` : location
        const wrong = await region.call(method, target, {
          body: chunk,
          headers: { 'Content-Range': `${offset + 1}-${offset + chunk.byteLength}` },
        })
        assert.equal(`${wrong.status} ${wrong.code()}`, '416 BLOB_UPLOAD_INVALID')
        assert.equal(wrong.headers.range, `0-${Math.max(0, offset - 1)}`)
        assert.equal(wrong.headers.location, location)
      }
      const status = await region.call('GET', location)
      assert.equal(status.status, 204)
      assert.equal(status.headers.range, `0-${Math.max(0, offset - 1)}`)
      assert.equal(status.headers.location, location)
      assert.equal((await patch(location, chunk, offset)).status, 202)
    }
    assertCreated(await region.call('PUT', `${location}?digest=${digest}`), digest)
    await assertBlob('/v2/acme/web', content, digest)
  })

  it('refuse ranges that contradict themselves', async () => {
    const location = await start()
    const body = Buffer.from('0123456789')
    for (const [range, expected] of [
      ['nonsense', '400 BLOB_UPLOAD_INVALID'],
      ['9-0', '400 BLOB_UPLOAD_INVALID'],
      ['0-99', '400 SIZE_INVALID'],
      ['0-4', '400 SIZE_INVALID'],
    ] as const) {
      const answer = await region.call('PATCH', location, { body, headers: { 'Content-Range': range } })
      assert.equal(`${answer.status} ${answer.code()}`, expected, range)
    }
    const long = await region.call('PATCH', location, {
      body,
      chunked: true,
      headers: { 'Content-Range': '0-3' },
    })
    assert.equal(`${long.status} ${long.code()}`, '400 SIZE_INVALID')
    assert.equal((await region.call('GET', location)).headers.range, '0-0')
    assert.equal((await patch(location, body, 0)).status, 202)
  })

  it('can be cancelled', async () => {
    for (const size of [10, 100 * KIB]) {
      const location = await start()
      await patch(location, randomBytes(size))
      assert.equal((await region.call('DELETE', location)).status, 204)
      for (const method of ['GET', 'PATCH', 'DELETE']) {
        const answer = await region.call(method, location)
        assert.equal(`${answer.status} ${answer.code()}`, '404 BLOB_UPLOAD_UNKNOWN')
      }
    }
  })

  it('end with their upload', async () => {
    const location = await start()
    const content = Buffer.from('once')
    const target = `${location}?digest=${digestOf('sha256', content)}`
    assert.equal((await region.call('PUT', target, { body: content })).status, 201)
    assert.equal((await region.call('PUT', target, { body: content })).code(), 'BLOB_UPLOAD_UNKNOWN')
    assert.equal(await region.runtime.sessions.load(location.split('/').at(-1) ?? ''), null)
  })

  it('expire', async () => {
    const location = await start()
    region.advance(region.runtime.limits.uploadTtlMs + 1)
    assert.equal((await patch(location, Buffer.from('x'))).code(), 'BLOB_UPLOAD_UNKNOWN')
  })

  it('take one of two chunks that come at the same time', async () => {
    for (const size of [100, 200 * KIB]) {
      const location = await start()
      const chunks = Array.from({ length: 4 }, () => randomBytes(size))
      const answers = await Promise.all(chunks.map((chunk) => patch(location, chunk, 0)))
      const statuses = answers.map((answer) => answer.status)
      assert.deepEqual(
        statuses.toSorted((a, b) => a - b),
        [202, 416, 416, 416],
        'exactly one writer',
      )
      const won = chunks[statuses.indexOf(202)] ?? Buffer.alloc(0)
      const digest = digestOf('sha256', won)
      assertCreated(await region.call('PUT', `${location}?digest=${digest}`), digest)
      await assertBlob('/v2/acme/web', won, digest)
    }
  })

  it('refuse a chunk that was checked before another one went in', async () => {
    const held = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    let isFirst = true
    const slow = await openTestRegion({
      wrapSessions: (sessions) =>
        new Proxy(sessions, {
          get(target, name) {
            const value: unknown = Reflect.get(target, name, target)
            if (typeof value !== 'function') return value
            if (name !== 'claim' || !isFirst) return value.bind(target)
            return async (...args: unknown[]) => {
              isFirst = false
              reached.resolve()
              await held.promise
              return Reflect.apply(value, target, args)
            }
          },
        }),
    })
    try {
      await slow.createProject('acme')
      await slow.createKey('acme')
      const location = String((await slow.call('POST', UPLOADS)).headers.location)
      const late = slow.call('PATCH', location, { body: 'late', headers: { 'Content-Range': '0-3' } })
      await reached.promise
      const early = await slow.call('PATCH', location, { body: 'early', headers: { 'Content-Range': '0-4' } })
      assert.equal(early.status, 202)
      held.resolve()
      const refused = await late
      assert.equal(`${refused.status} ${refused.code()}`, '416 BLOB_UPLOAD_INVALID')
      assert.equal(refused.headers.range, '0-4')
    } finally {
      await slow.close()
    }
  })

  it('are finished once by two PUTs that come at the same time', async () => {
    const content = randomBytes(50 * KIB)
    const digest = digestOf('sha256', content)
    const location = await start()
    await patch(location, content)
    const puts = await Promise.all([1, 2, 3].map(() => region.call('PUT', `${location}?digest=${digest}`)))
    assert.equal(puts.filter((put) => put.status === 201).length, 1)
    for (const put of puts) assert.ok([201, 404, 416].includes(put.status), `status ${put.status}`)
    await assertBlob('/v2/acme/web', content, digest)
  })

  it('stay as they were when the client goes away in the middle of a chunk', async () => {
    const content = randomBytes(300 * KIB)
    const digest = digestOf('sha256', content)
    const location = await start()
    await patch(location, content.subarray(0, 100 * KIB))
    await abortedPatch(location, content.subarray(100 * KIB), 150 * KIB)
    const status = await region.call('GET', location)
    assert.equal(status.headers.range, `0-${100 * KIB - 1}`)
    assert.equal((await patch(location, content.subarray(100 * KIB), 100 * KIB)).status, 202)
    assertCreated(await region.call('PUT', `${location}?digest=${digest}`), digest)
    await assertBlob('/v2/acme/web', content, digest)
  })

  it('survive a restart of the process, with and without bytes in the blob store', async () => {
    for (const size of [5 * KIB, 200 * KIB]) {
      const content = randomBytes(2 * size)
      const digest = digestOf('sha256', content)
      const location = await start()
      await patch(location, content.subarray(0, size))
      await region.restart()
      assert.equal((await patch(location, content.subarray(size), size)).status, 202)
      await region.restart()
      assertCreated(await region.call('PUT', `${location}?digest=${digest}`), digest)
      await assertBlob('/v2/acme/web', content, digest)
    }
  })

  it('are read again when the closing digest has another algorithm', async () => {
    for (const size of [5 * KIB, 200 * KIB]) {
      const content = randomBytes(size)
      const digest = digestOf('sha512', content)
      const location = await start()
      await patch(location, content)
      assertCreated(await region.call('PUT', `${location}?digest=${digest}`), digest)
      await assertBlob('/v2/acme/web', content, digest)
    }
  })

  it('belong to one key, one repository and one project', async () => {
    await region.createProject('other')
    const stranger = basic(await region.createKey('other'))
    const colleague = basic(await region.createKey('acme'))
    authorization = basic(await region.createKey('acme'))
    const owner = authorization
    const location = await start()
    const id = location.split('/').at(-1)
    const attempts: [path: string, authorization: string, expected: string][] = [
      [location, colleague, '404 BLOB_UPLOAD_UNKNOWN'],
      [`/v2/acme/api/blobs/uploads/${id}`, owner, '404 BLOB_UPLOAD_UNKNOWN'],
      [`/v2/other/web/blobs/uploads/${id}`, stranger, '404 BLOB_UPLOAD_UNKNOWN'],
      [location, stranger, '404 NAME_UNKNOWN'],
    ]
    for (const [path, as, expected] of attempts) {
      for (const method of ['GET', 'PATCH', 'DELETE', 'PUT']) {
        const digest = digestOf('sha256', Buffer.from('x'))
        const target = method === 'PUT' ? `${path}?digest=${digest}` : path
        const body = method === 'PATCH' || method === 'PUT' ? { body: 'x' } : {}
        const answer = await region.call(method, target, { authorization: as, ...body })
        assert.equal(`${answer.status} ${answer.code()}`, expected, `${method} ${path}`)
      }
    }
    assert.equal((await region.call('GET', location, { authorization: owner })).status, 204)
  })
})

/** Sends part of a body that was announced whole, then drops the connection; resolves when the server has noticed. */
async function abortedPatch(location: string, body: Uint8Array, sentBytes: number): Promise<void> {
  const socket = connect(region.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(
    `PATCH ${location} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Length: ${body.byteLength}\r\n\r\n`,
  )
  socket.write(body.subarray(0, sentBytes))
  await untilClaimed(location, true)
  socket.destroy()
  await untilClaimed(location, false)
}

async function untilClaimed(location: string, isClaimed: boolean): Promise<void> {
  const id = location.split('/').at(-1) ?? ''
  while (true) {
    const session = await region.runtime.sessions.load(id)
    if ((session?.claimed_by !== null) === isClaimed) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

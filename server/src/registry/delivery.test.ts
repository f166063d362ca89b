import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import type { BlobStore } from '../blobstore/blobstore.ts'
import { pushBlob } from './test-content.ts'
import { basic, openTestRegion, type TestRegion, type TestRegionOptions } from './test-region.ts'

const KIB = 1024

async function withRegion(
  options: TestRegionOptions,
  use: (region: TestRegion) => Promise<void>,
): Promise<void> {
  const region = await openTestRegion(options)
  try {
    await region.createProject('acme')
    await region.createKey('acme')
    await use(region)
  } finally {
    await region.close()
  }
}

describe('delivery by nginx', () => {
  it('names the file below the prefix, for content that is in a file', async () => {
    await withRegion({ delivery: { mode: 'accel', prefix: '/_berth/blobs/local/' } }, async (region) => {
      const large = await pushBlob(region, 'acme/web', randomBytes(100 * KIB))
      const small = await pushBlob(region, 'acme/web')
      const answer = await region.call('GET', `/v2/acme/web/blobs/${large.digest}`)
      assert.equal(answer.status, 200)
      assert.equal(answer.body.byteLength, 0)
      assert.equal(answer.headers['docker-content-digest'], large.digest)
      assert.equal(answer.headers['content-type'], 'application/octet-stream')
      const target = String(answer.headers['x-accel-redirect'])
      const row = await region.runtime.db.reader
        .selectFrom('blob')
        .select('storage_key')
        .where('digest', '=', large.digest)
        .executeTakeFirstOrThrow()
      const path = region.runtime.blobs.filePath(row.storage_key as Parameters<BlobStore['filePath']>[0])
      assert.equal(target, `/_berth/blobs/local/${path}`)

      const head = await region.call('HEAD', `/v2/acme/web/blobs/${large.digest}`)
      assert.equal(head.headers['content-length'], String(100 * KIB))
      assert.equal(head.headers['x-accel-redirect'], undefined)
      const inline = await region.call('GET', `/v2/acme/web/blobs/${small.digest}`)
      assert.ok(inline.body.equals(small.content))
      assert.equal(inline.headers['x-accel-redirect'], undefined)
    })
  })
})

describe('delivery by the object store', () => {
  it('sends to a presigned URL, and serves what the store cannot presign', async () => {
    let canPresign = true
    const presigning = (blobs: BlobStore): BlobStore =>
      new Proxy(blobs, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target)
          if (typeof value !== 'function') return value
          if (name !== 'presign') return value.bind(target)
          return async (
            key: string,
            { expiresSeconds, fileName }: { expiresSeconds: number; fileName: string },
          ) =>
            canPresign ? new URL(`http://store.example/${key}?for=${expiresSeconds}&name=${fileName}`) : null
        },
      })
    const options: TestRegionOptions = {
      delivery: { mode: 'redirect', expiresSeconds: 45 },
      wrapBlobs: presigning,
    }
    await withRegion(options, async (region) => {
      const { digest, content } = await pushBlob(region, 'acme/web', randomBytes(100 * KIB))
      const path = `/v2/acme/web/blobs/${digest}`
      const answer = await region.call('GET', path, { headers: { Range: 'bytes=0-9' } })
      assert.equal(answer.status, 307)
      assert.match(
        String(answer.headers.location),
        /^http:\/\/store\.example\/.*\?for=45&name=sha256-[0-9a-f]{64}$/,
      )
      assert.equal(answer.headers['cache-control'], 'no-store')
      const head = await region.call('HEAD', path)
      assert.equal(`${head.status} ${head.headers['content-length']}`, `200 ${100 * KIB}`)
      canPresign = false
      assert.ok((await region.call('GET', path)).body.equals(content))
    })
  })
})

/** Resolves when the socket has closed, by an error or not. */
function closing(socket: Socket): Promise<void> {
  socket.on('error', () => undefined)
  return new Promise((resolve) => {
    socket.on('close', () => resolve())
  })
}

describe('clients that are too slow', () => {
  /** Writes what it is given now and then, until the server has enough of it. Answers what the server said. */
  async function trickle(socket: Socket, bytes: string): Promise<string> {
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1')
    })
    const closed = closing(socket)
    const timer = setInterval(() => socket.write(bytes), 5)
    await closed
    clearInterval(timer)
    return answer
  }

  it('are told so when they send, and cut', async () => {
    await withRegion({ limits: { progressWindowMs: 40 } }, async (region) => {
      const authorization = basic(await region.createKey('acme'))
      const digest = digestOf('sha256', Buffer.from('x'))
      const socket = connect(region.port, '127.0.0.1')
      socket.write(
        `POST /v2/acme/web/blobs/uploads/?digest=${digest} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n` +
          `Content-Length: ${1000 * KIB}\r\n\r\n`,
      )
      assert.match(await trickle(socket, 'x'), /^HTTP\/1.1 408 /)
      assert.equal(await region.runtime.sessions.count(), 0)
    })
  })

  it('are cut when they do not take what they asked for', async () => {
    await withRegion({ limits: { progressWindowMs: 40 } }, async (region) => {
      const { digest } = await pushBlob(region, 'acme/web', randomBytes(30 * KIB * KIB))
      const authorization = basic(await region.createKey('acme'))
      const socket = connect(region.port, '127.0.0.1')
      socket.write(
        `GET /v2/acme/web/blobs/${digest} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`,
      )
      let received = 0
      let isReading = false
      socket.on('data', (chunk: Buffer) => {
        received += chunk.byteLength
        if (!isReading) socket.pause()
      })
      const closed = closing(socket)
      await once(socket, 'data')
      // A paused socket does not see the end: what tells is that the server has one connection less.
      while ((await region.connections()) > 0) await new Promise((resolve) => setImmediate(resolve))
      isReading = true
      socket.resume()
      await closed
      assert.ok(received < 30 * KIB * KIB, 'not all of it came')
    })
  })
})

describe('trusted proxies', () => {
  it('tell the scheme and the address of the client, and nobody else does', async () => {
    const headers = {
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-For': '198.51.100.7',
      'X-Forwarded-Host': 'evil',
    }
    for (const trustedProxies of [['127.0.0.1'], ['192.0.2.0/24']]) {
      await withRegion({ trustedProxies }, async (region) => {
        const answer = await region.call('GET', '/v2/', { authorization: null, headers })
        const scheme = trustedProxies[0] === '127.0.0.1' ? 'https' : 'http'
        const realm = `realm="${scheme}://127.0.0.1:${region.port}/auth/token"`
        assert.ok(String(answer.headers['www-authenticate']).includes(realm))
      })
    }
  })
})

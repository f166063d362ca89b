import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import { formatBytes } from './refusals.ts'
import { describeContent, imageManifest, pushBlob, pushImage, putManifest } from './test-content.ts'
import { basic, openTestRegion, type TestRegion } from './test-region.ts'

const KIB = 1024
const QUOTA_BYTES = 1000 * KIB

let region: TestRegion
before(async () => {
  region = await openTestRegion({ limits: { maxUploadsPerKey: 3, maxBlobBytes: 5000 * KIB } })
})
after(() => region.close())

async function withQuota(namespace: string): Promise<string> {
  const id = await region.createProject(namespace, { quotaBytes: QUOTA_BYTES })
  await region.createKey(namespace)
  return id
}

async function usedBytes(projectId: string): Promise<number> {
  const query = region.runtime.db.reader.selectFrom('project_usage').select('used_bytes')
  return (await query.where('project_id', '=', projectId).executeTakeFirst())?.used_bytes ?? 0
}

describe('the quota', () => {
  it('refuses before the body what cannot fit, with limit and numbers', async () => {
    await withQuota('early')
    const { digest } = describeContent(randomBytes(10), '')
    const body = randomBytes(QUOTA_BYTES + 1)
    for (const path of ['POST', 'PUT', 'PATCH']) {
      const start = await region.call('POST', '/v2/early/app/blobs/uploads/')
      const location = String(start.headers.location)
      const target = {
        POST: `/v2/early/app/blobs/uploads/?digest=${digest}`,
        PUT: `${location}?digest=${digest}`,
        PATCH: location,
      }[path]
      const answer = await region.call(path, target ?? '', { body })
      assert.equal(`${answer.status} ${answer.code()}`, '403 DENIED', path)
      const { message, detail } = answer.json().errors[0]
      assert.match(message, /quota of 1000 KiB/)
      const { requestId, ...limit } = detail
      assert.equal(requestId, answer.headers['x-request-id'])
      assert.deepEqual(limit, {
        limit: 'quota',
        quotaBytes: QUOTA_BYTES,
        usedBytes: 0,
        neededBytes: QUOTA_BYTES + 1,
      })
      await region.call('DELETE', location)
    }
  })

  it('is asked before a client is told to send', async () => {
    await region.createProject('expect', { quotaBytes: QUOTA_BYTES })
    const authorization = basic(await region.createKey('expect'))
    const start = await region.call('POST', '/v2/expect/app/blobs/uploads/')
    const socket = connect(region.port, '127.0.0.1')
    socket.write(
      `PATCH ${String(start.headers.location)} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n` +
        `Expect: 100-continue\r\nContent-Length: ${QUOTA_BYTES + 1}\r\n\r\n`,
    )
    const [answer] = (await once(socket, 'data')) as [Buffer]
    assert.match(answer.toString(), /^HTTP\/1.1 403 /)
    socket.destroy()
  })

  it('stops a stream of unknown length when it is reached', async () => {
    const id = await withQuota('stream')
    const start = await region.call('POST', '/v2/stream/app/blobs/uploads/')
    const location = String(start.headers.location)
    const tooMuch = await region.call('PATCH', location, {
      body: randomBytes(QUOTA_BYTES + KIB),
      chunked: true,
    })
    assert.equal(`${tooMuch.status} ${tooMuch.code()}`, '403 DENIED')
    const content = randomBytes(QUOTA_BYTES - KIB)
    assert.equal((await region.call('PATCH', location, { body: content, chunked: true })).status, 202)
    const put = await region.call('PUT', `${location}?digest=${digestOf('sha256', content)}`)
    assert.equal(put.status, 201, put.body.toString())
    assert.match(String(put.headers['warning']), /^299 - "the project uses 999 KiB of its storage quota/)
    assert.equal(await usedBytes(id), content.byteLength)
    const full = await pushSmall('stream', 2 * KIB)
    assert.equal(full.code(), 'DENIED')
  })

  it('holds against uploads at the same time, and counts what was acknowledged', async () => {
    const id = await withQuota('race')
    for (const size of [90 * KIB, 10 * KIB]) {
      const contents = Array.from({ length: 30 }, () => randomBytes(size))
      const answers = await Promise.all(
        contents.map((body) =>
          region.call('POST', `/v2/race/app/blobs/uploads/?digest=${digestOf('sha256', body)}`, { body }),
        ),
      )
      for (const { status } of answers) assert.ok([201, 403, 429].includes(status), `status ${status}`)
    }
    const reader = region.runtime.db.reader
    const blobs = await reader.selectFrom('blob').select('size_bytes').where('project_id', '=', id).execute()
    const stored = blobs.reduce((sum, blob) => sum + blob.size_bytes, 0)
    assert.ok(stored > QUOTA_BYTES / 2 && stored <= QUOTA_BYTES, `${stored} bytes`)
    assert.equal(await usedBytes(id), stored)
    assert.equal(await region.runtime.sessions.reservedBytes(id), 0)
  })

  it('counts manifests, and the same content once', async () => {
    const id = await withQuota('count')
    const image = await pushImage(region, 'count/app', 'v1')
    const once = image.content.byteLength + image.config.content.byteLength + image.layer.content.byteLength
    assert.equal(await usedBytes(id), once)
    await pushBlob(region, 'count/app', image.layer.content)
    await pushBlob(region, 'count/other', image.layer.content)
    await putManifest(region, 'count/app', 'v2', image)
    assert.equal(await usedBytes(id), once)
    const fat = imageManifest(image.config, [], { annotations: { pad: 'x'.repeat(QUOTA_BYTES) } })
    const refused = await putManifest(region, 'count/app', 'fat', fat)
    assert.equal(refused.code(), 'DENIED')
    assert.equal(await usedBytes(id), once)
    assert.equal((await region.call('HEAD', '/v2/count/app/manifests/fat')).status, 404)
  })
})

function pushSmall(namespace: string, size: number) {
  const body = randomBytes(size)
  return region.call('POST', `/v2/${namespace}/app/blobs/uploads/?digest=${digestOf('sha256', body)}`, {
    body,
  })
}

describe('limits', () => {
  it('of open uploads count for each key', async () => {
    await region.createProject('many')
    await region.createKey('many')
    const locations: string[] = []
    for (let count = 0; count < 3; count += 1) {
      const answer = await region.call('POST', '/v2/many/app/blobs/uploads/')
      assert.equal(answer.status, 202)
      locations.push(String(answer.headers.location))
    }
    const refused = await region.call('POST', '/v2/many/app/blobs/uploads/')
    assert.equal(`${refused.status} ${refused.code()}`, '429 TOOMANYREQUESTS')
    assert.ok(Number(refused.headers['retry-after']) > 0)
    assert.equal((await region.call('DELETE', locations[0] ?? '')).status, 204)
    assert.equal((await region.call('POST', '/v2/many/app/blobs/uploads/')).status, 202)
    await region.createKey('many')
    assert.equal((await region.call('POST', '/v2/many/app/blobs/uploads/')).status, 202)
  })

  it('of a blob are told before its body, or when it is passed', async () => {
    await region.createProject('large')
    await region.createKey('large')
    const body = randomBytes(5001 * KIB)
    for (const chunked of [false, true]) {
      const path = `/v2/large/app/blobs/uploads/?digest=${digestOf('sha256', body)}`
      const answer = await region.call('POST', path, { body, chunked })
      assert.equal(`${answer.status} ${answer.code()}`, '413 SIZE_INVALID')
    }
  })

  it('are told before the body to a client that waits for that', async () => {
    const authorization = basic(await region.createKey('large'))
    const socket = connect(region.port, '127.0.0.1')
    socket.write(
      `POST /v2/large/app/blobs/uploads/?digest=${digestOf('sha256', Buffer.from('x'))} HTTP/1.1\r\nHost: x\r\n` +
        `Authorization: ${authorization}\r\nExpect: 100-continue\r\nContent-Length: ${6000 * KIB}\r\n\r\n`,
    )
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    await once(socket, 'end')
    assert.match(Buffer.concat(chunks).toString(), /^HTTP\/1.1 413 [^]*connection: close/i)
  })
})

describe('a nearly full disk', () => {
  it('refuses new uploads, and nothing else', async () => {
    const full = await openTestRegion({ limits: { diskReserveBytes: 0 } })
    try {
      await full.createProject('acme')
      await full.createKey('acme')
      const image = await pushImage(full, 'acme/app', 'v1')
      const started = await full.call('POST', '/v2/acme/app/blobs/uploads/')
      Object.assign(full.runtime.limits, { diskReserveBytes: Number.MAX_SAFE_INTEGER })
      full.advance(2000)
      for (const query of ['', `?digest=${digestOf('sha256', Buffer.from('y'))}`]) {
        const body = query === '' ? {} : { body: 'y' }
        const refused = await full.call('POST', `/v2/acme/app/blobs/uploads/${query}`, body)
        assert.equal(`${refused.status} ${refused.code()}`, '403 DENIED')
        assert.match(refused.body.toString(), /disk is nearly full/)
      }
      const location = String(started.headers.location)
      assert.equal((await full.call('PATCH', location, { body: 'z' })).status, 202)
      assert.equal((await full.call('GET', '/v2/acme/app/manifests/v1')).status, 200)
      assert.equal((await full.call('GET', `/v2/acme/app/blobs/${image.layer.digest}`)).status, 200)
      assert.equal((await full.call('DELETE', `/v2/acme/app/manifests/${image.digest}`)).status, 202)
    } finally {
      await full.close()
    }
  })
})

describe('a request that is refused midway', () => {
  it('gets its answer, and the connection goes on', async () => {
    await region.createProject('drain')
    const authorization = basic(await region.createKey('drain'))
    const socket = connect(region.port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    const body = randomBytes(3000 * KIB)
    socket.write(
      `PUT /v2/drain/app/blobs/nonsense HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n` +
        `Content-Length: ${body.byteLength}\r\n\r\n`,
    )
    socket.write(body)
    socket.write(
      `GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nConnection: close\r\n\r\n`,
    )
    await once(socket, 'end')
    assert.match(text, /^HTTP\/1.1 405 [^]*HTTP\/1.1 200 /)
  })

  it('gets its answer also when part of the body was read already', async () => {
    await region.createProject('midway')
    const authorization = basic(await region.createKey('midway'))
    const socket = connect(region.port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    const chunk = randomBytes(6000 * KIB)
    socket.write(
      `PUT /v2/midway/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n` +
        `Transfer-Encoding: chunked\r\n\r\n${chunk.byteLength.toString(16)}\r\n`,
    )
    socket.write(chunk)
    socket.write(
      `\r\n0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nConnection: close\r\n\r\n`,
    )
    await once(socket, 'end')
    assert.match(text, /^HTTP\/1.1 413 [^]*HTTP\/1.1 200 /)
  })
})

describe('formatBytes', () => {
  it('writes sizes for people', () => {
    assert.deepEqual([0, 1023, 1024, 1536, 1024 ** 3, 2.5 * 1024 ** 4].map(formatBytes), [
      '0 bytes',
      '1023 bytes',
      '1 KiB',
      '1.5 KiB',
      '1 GiB',
      '2.5 TiB',
    ])
  })
})

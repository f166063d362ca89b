/** Limits hold, say what they are, and bind nobody but the one who exceeds them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { Berth, KeyAnswer, ProjectAnswer } from '../support/berth.ts'
import { basicAuthorization } from '../support/berth.ts'
import { waitFor } from '../support/process.ts'
import {
  type Blob,
  blobOf,
  call,
  callFor,
  imageOf,
  logLines,
  ociManifest,
  openFiles,
  openUpload,
  portOf,
  pushBlob,
  pushImage,
  randomBlob,
  residentBytes,
  startHostileBerth,
} from './fixture.ts'
import { openRawConnection, type RawConnection } from './raw-connection.ts'

const MIB = 1024 * 1024
const MAX_UPLOADS = 3
const SETTLE_TIMEOUT_MS = 60_000
const FILES_ALLOWANCE = 5
const MEMORY_ALLOWANCE_BYTES = 300 * MIB

let berth: Berth
let project: ProjectAnswer
let key: KeyAnswer
/** Of processes that have ended. */
const logs: string[] = []
const image = imageOf(randomBlob(5000))
const large = randomBlob(64 * MIB)

before(async () => {
  berth = await startHostileBerth({
    env: { BERTH_MAX_UPLOADS_PER_KEY: String(MAX_UPLOADS), BERTH_MAX_BLOB_SIZE: '64MiB' },
  })
  project = await berth.createProject('acme')
  key = await newKey()
  await pushImage(berth, key, 'acme/web', 'v1', image)
  await pushBlob(berth, key, 'acme/web', large)
})
after(async () => berth?.[Symbol.asyncDispose]())

function newKey(): Promise<KeyAnswer> {
  return berth.createKey(project.id, { actions: ['pull', 'push', 'delete'] })
}

interface OciErrorBody {
  readonly errors: readonly { readonly code: string; readonly message: string; readonly detail: unknown }[]
}

function errorOf({ body }: { readonly body: Buffer }) {
  const [error] = (JSON.parse(body.toString()) as OciErrorBody).errors
  if (error === undefined) throw new Error('an error answer without an error')
  return error
}

function head(method: string, target: string, headers: readonly string[] = [], by: KeyAnswer = key): string {
  const lines = [`Host: ${berth.registryHost}`, `Authorization: ${by.authorization}`, ...headers]
  return `${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}

async function withConnection<T>(act: (connection: RawConnection) => Promise<T>): Promise<T> {
  const connection = await openRawConnection(portOf(berth.registryUrl))
  try {
    return await act(connection)
  } finally {
    connection.destroy()
  }
}

/** A socket that never reads. */
async function openUnread(): Promise<Socket> {
  const socket = connect({ port: portOf(berth.registryUrl), host: '127.0.0.1' })
  socket.pause()
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

async function filesSettle(filesBefore: number): Promise<void> {
  await waitFor(
    'files and sockets to be closed',
    async () => openFiles(berth.pid) <= filesBefore + FILES_ALLOWANCE,
    SETTLE_TIMEOUT_MS,
  )
}

describe('slow clients', () => {
  test('cannot starve a fast one', async () => {
    const slow: Socket[] = []
    const filesBefore = openFiles(berth.pid)
    const memoryBefore = residentBytes(berth.pid)
    try {
      for (let i = 0; i < 100; i++) {
        const socket = await openUnread()
        socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow')
        slow.push(socket)
      }
      for (let i = 0; i < 20; i++) {
        const by = await newKey()
        const path = await openUpload(berth, by, 'acme/slow')
        const socket = await openUnread()
        socket.write(head('PATCH', path, ['Content-Length: 1000000'], by))
        socket.write(Buffer.alloc(10_000))
        slow.push(socket)
      }
      for (let i = 0; i < 20; i++) {
        const socket = await openUnread()
        socket.write(head('GET', `/v2/acme/web/blobs/${large.digest}`))
        await once(socket, 'readable')
        slow.push(socket)
      }
      let completed = 0
      for (let i = 0; i < 50; i++) {
        const blob = randomBlob(1000)
        await pushBlob(berth, key, 'acme/fast', blob)
        const read = await callFor(200, berth, 'GET', `/v2/acme/fast/blobs/${blob.digest}`, {
          authorization: key.authorization,
        })
        assert.equal(blobOf(read.body).digest, blob.digest)
        await callFor(200, berth, 'GET', '/v2/acme/web/manifests/v1', { authorization: key.authorization })
        await callFor(200, berth, 'GET', '/readyz')
        completed += 4
      }
      assert.equal(completed, 200)
      const grownBytes = residentBytes(berth.pid) - memoryBefore
      assert.ok(
        grownBytes < MEMORY_ALLOWANCE_BYTES,
        `${Math.round(grownBytes / MIB)} MiB more for slow readers`,
      )
      const hanging = slow.filter((socket) => !socket.destroyed && !socket.readableEnded)
      assert.ok(hanging.length >= 40, `${hanging.length} slow clients were still there`)
    } finally {
      for (const socket of slow) socket.destroy()
    }
    await filesSettle(filesBefore)
  })

  test('get every byte in the end, when they read on', async () => {
    const socket = await openUnread()
    socket.write(head('GET', `/v2/acme/web/blobs/${large.digest}`, ['Connection: close']))
    await once(socket, 'readable')
    for (let i = 0; i < 20; i++) await callFor(200, berth, 'GET', '/readyz')
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk as Buffer)
    const received = Buffer.concat(chunks)
    const start = received.indexOf('\r\n\r\n') + 4
    assert.equal(blobOf(received.subarray(start)).digest, large.digest)
  })
})

describe('clients that go away', () => {
  test('in the middle of a download leave no file open', async () => {
    const filesBefore = openFiles(berth.pid)
    for (let i = 0; i < 30; i++) {
      const socket = await openUnread()
      socket.write(head('GET', `/v2/acme/web/blobs/${large.digest}`))
      await once(socket, 'readable')
      socket.destroy()
    }
    await filesSettle(filesBefore)
  })

  test('in the middle of an upload leave no file open, and can go on with it', async () => {
    const filesBefore = openFiles(berth.pid)
    const blob = randomBlob(3 * MIB)
    const by = await newKey()
    const paths: string[] = []
    for (let i = 0; i < MAX_UPLOADS; i++) {
      const path = await openUpload(berth, by, 'acme/web')
      const socket = await openUnread()
      socket.write(head('PATCH', path, [`Content-Length: ${blob.content.byteLength}`], by))
      await new Promise((resolve) => socket.write(blob.content.subarray(0, 2 * MIB), resolve))
      socket.destroy()
      paths.push(path)
    }
    await filesSettle(filesBefore)
    for (const path of paths) await finish(path, blob, by)
  })

  /** From where the server says that it stands. */
  async function finish(path: string, blob: Blob, { authorization }: KeyAnswer): Promise<void> {
    let status = 0
    let offset = 0
    // The broken request may hold the upload for a moment after its connection ended.
    await waitFor('the upload to go on', async () => {
      const stands = await callFor(204, berth, 'GET', path, { authorization })
      const last = Number(/^0-(\d+)$/.exec(stands.headers.get('range') ?? '')?.[1])
      offset = last === 0 ? 0 : last + 1
      const answer = await call(berth, 'PATCH', path, {
        authorization,
        headers: { 'content-range': `${offset}-${blob.content.byteLength - 1}` },
        body: new Uint8Array(blob.content.subarray(offset)),
      })
      status = answer.status
      return status !== 416
    })
    assert.equal(status, 202)
    await callFor(201, berth, 'PUT', `${path}?digest=${blob.digest}`, { authorization })
  }

  test('and leave garbage behind never get it into an answer', async () => {
    for (let i = 0; i < 5; i++) {
      const socket = await openUnread()
      socket.write(head('GET', `/v2/acme/web/blobs/${large.digest}`))
      await once(socket, 'readable')
      socket.write('\0\0garbage\r\n\r\n')
      const received = await readAll(socket)
      const body = received.subarray(received.indexOf('\r\n\r\n') + 4)
      assert.ok(body.byteLength > 0)
      const expected = large.content.subarray(0, body.byteLength)
      assert.ok(body.equals(expected), `something else is in the ${body.byteLength} bytes that came`)
    }
  })

  test('and never close what was refused leave no socket open', async () => {
    const filesBefore = openFiles(berth.pid)
    const connections = await Promise.all(
      Array.from({ length: 30 }, () => openRawConnection(portOf(berth.registryUrl))),
    )
    for (const connection of connections) {
      connection.send('nonsense\r\n\r\n')
      assert.equal((await connection.readAnswer('GET')).status, 400)
    }
    await filesSettle(filesBefore)
    for (const connection of connections) connection.destroy()
  })

  async function readAll(socket: Socket): Promise<Buffer> {
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    await once(socket, 'close')
    return Buffer.concat(chunks)
  }
})

describe('uploads of one key', () => {
  test('are limited, with 429 and Retry-After; other keys and small blobs go on', async () => {
    const [limited, other] = [await newKey(), await newKey()]
    const paths: string[] = []
    for (let i = 0; i < MAX_UPLOADS; i++) paths.push(await openUpload(berth, limited, 'acme/web'))
    const start = (by: KeyAnswer) =>
      call(berth, 'POST', '/v2/acme/web/blobs/uploads/', { authorization: by.authorization })
    const refused = await start(limited)
    assert.equal(refused.status, 429)
    assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
    const requestId = refused.headers.get('x-request-id')
    assert.deepEqual(errorOf(refused), {
      code: 'TOOMANYREQUESTS',
      message: `this key has ${MAX_UPLOADS} uploads open already`,
      detail: { limit: 'uploads', maxUploads: MAX_UPLOADS, requestId },
    })
    const atOnce = randomBlob(100_000)
    const large = await call(berth, 'POST', `/v2/acme/web/blobs/uploads/?digest=${atOnce.digest}`, {
      authorization: limited.authorization,
      body: new Uint8Array(atOnce.content),
    })
    assert.equal(large.status, 429)
    await pushBlob(berth, limited, 'acme/web', randomBlob(100))
    assert.equal((await start(other)).status, 202)
    await callFor(204, berth, 'DELETE', paths[0] as string, { authorization: limited.authorization })
    await pushBlob(berth, limited, 'acme/web', atOnce)
    assert.equal((await start(limited)).status, 202)
    assert.equal((await start(limited)).status, 429)
  })
})

describe('failed logins', () => {
  const headers = { 'x-forwarded-for': '203.0.113.77' }

  test('of the registry: 429 with Retry-After, while the right key goes on', async () => {
    const wrong = basicAuthorization(`${key.key.slice(0, -1)}${key.key.endsWith('0') ? '1' : '0'}`)
    const ask = (authorization: string, path = '/v2/') => call(berth, 'GET', path, { authorization, headers })
    const statuses: number[] = []
    for (let i = 0; i < 11; i++) statuses.push((await ask(wrong)).status)
    assert.deepEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429])
    const refused = await ask(wrong, '/auth/token')
    assert.equal(refused.status, 429)
    assert.equal(errorOf(refused).code, 'TOOMANYREQUESTS')
    assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d?$/)
    for (let i = 0; i < 20; i++) assert.equal((await ask(key.authorization)).status, 200)
    const elsewhere = await call(berth, 'GET', '/v2/', {
      authorization: wrong,
      headers: { 'x-forwarded-for': '203.0.113.78' },
    })
    assert.equal(elsewhere.status, 401, 'another address is not limited')
  })

  test('of the registry: many different guesses of one address are limited too', async () => {
    const from = { 'x-forwarded-for': '203.0.113.79' }
    const statuses: number[] = []
    for (let i = 0; i < 51; i++) {
      const authorization = basicAuthorization(`guess ${i}`)
      statuses.push((await call(berth, 'GET', '/v2/', { authorization, headers: from })).status)
    }
    assert.equal(statuses.indexOf(429), 50)
    const right = await call(berth, 'GET', '/v2/', { authorization: key.authorization, headers: from })
    assert.equal(right.status, 200)
  })

  test('of the console: 429 with Retry-After, while the operator goes on', async () => {
    const console_ = { registryUrl: berth.consoleUrl }
    const ask = (token: string) =>
      call(console_, 'GET', '/api/v1/whoami', { authorization: `Bearer ${token}`, headers })
    const statuses: number[] = []
    for (let i = 0; i < 11; i++) statuses.push((await ask('wrong')).status)
    assert.deepEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429])
    const refused = await ask('wrong')
    assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d?$/)
    assert.equal((JSON.parse(refused.body.toString()) as { code: string }).code, 'rate_limited')
    assert.equal((await ask(berth.operatorToken)).status, 200)
  })
})

describe('bodies', () => {
  test('a manifest of 4 MiB is read, of one byte more refused before it is sent', async () => {
    const whole = await call(berth, 'PUT', '/v2/acme/web/manifests/x', {
      authorization: key.authorization,
      headers: { 'content-type': ociManifest },
      body: new Uint8Array(4 * MIB).fill(0x20),
    })
    assert.equal(whole.status, 400)
    await withConnection(async (connection) => {
      const length = [`Content-Length: ${4 * MIB + 1}`, 'Expect: 100-continue']
      connection.send(head('PUT', '/v2/acme/web/manifests/x', length))
      const answer = await connection.readAnswer('PUT')
      assert.equal(answer.status, 413)
      assert.deepEqual(answer.interim, [], 'the body was not asked for')
      assert.equal(errorOf(answer).code, 'MANIFEST_INVALID')
      assert.equal((await connection.readRest()).byteLength, 0)
    })
  })

  test('a blob above the limit is refused by its length before it is sent', async () => {
    await withConnection(async (connection) => {
      const target = `/v2/acme/web/blobs/uploads/?digest=${large.digest}`
      connection.send(head('POST', target, [`Content-Length: ${64 * MIB + 1}`, 'Expect: 100-continue']))
      const answer = await connection.readAnswer('POST')
      assert.equal(answer.status, 413)
      assert.deepEqual(answer.interim, [])
      assert.deepEqual(errorOf(answer), {
        code: 'SIZE_INVALID',
        message: 'a blob may have at most 64 MiB',
        detail: null,
      })
    })
  })

  test('a blob above the limit is refused while it comes, when its length is not known', async () => {
    logs.push(berth.log())
    await berth.restart({ BERTH_MAX_BLOB_SIZE: '1MiB' })
    try {
      const by = await newKey()
      const own = await openUpload(berth, by, 'acme/web')
      await withConnection(async (connection) => {
        connection.send(head('PATCH', own, ['Transfer-Encoding: chunked'], by))
        connection.send(`100000\r\n`)
        connection.send(Buffer.alloc(MIB))
        connection.send('\r\n1\r\nx\r\n0\r\n\r\n')
        const answer = await connection.readAnswer('PATCH')
        assert.equal(answer.status, 413, answer.body.toString())
        assert.equal(errorOf(answer).code, 'SIZE_INVALID')
      })
      const stands = await callFor(204, berth, 'GET', own, { authorization: by.authorization })
      assert.equal(stands.headers.get('range'), '0-0')
    } finally {
      await berth.restart()
    }
  })
})

describe('a quota', () => {
  const QUOTA = 100_000
  let owner: KeyAnswer
  let quotaProject: ProjectAnswer

  before(async () => {
    quotaProject = await berth.createProject('small', { quotaBytes: QUOTA })
    owner = await berth.createKey(quotaProject.id, { actions: ['pull', 'push', 'delete'] })
  })

  function checkRefusal(answer: { readonly status: number; readonly body: Buffer }): void {
    assert.equal(answer.status, 403, answer.body.toString())
    const { code, message, detail } = errorOf(answer)
    assert.equal(code, 'DENIED')
    assert.match(message, /storage quota of 97\.7 KiB/)
    const { limit, quotaBytes } = detail as { limit: string; quotaBytes: number }
    assert.deepEqual({ limit, quotaBytes }, { limit: 'quota', quotaBytes: QUOTA })
  }

  test('is refused at the start, before the body is sent, and names the limit', async () => {
    const path = await openUpload(berth, owner, 'small/web')
    for (const [method, target] of [
      ['POST', `/v2/small/web/blobs/uploads/?digest=${large.digest}`],
      ['PATCH', path],
      ['PUT', `${path}?digest=${large.digest}`],
    ] as const) {
      await withConnection(async (connection) => {
        const headers = [`Content-Length: ${QUOTA + 1}`, 'Expect: 100-continue']
        connection.send(head(method, target, headers, owner))
        const answer = await connection.readAnswer(method)
        checkRefusal(answer)
        assert.deepEqual(answer.interim, [], `${method}: the body was not asked for`)
      })
    }
  })

  test('holds for bodies of unknown length', async () => {
    const path = await openUpload(berth, owner, 'small/web')
    await withConnection(async (connection) => {
      connection.send(head('PATCH', path, ['Transfer-Encoding: chunked'], owner))
      connection.send(`${(QUOTA + 1).toString(16)}\r\n`)
      connection.send(Buffer.alloc(QUOTA + 1))
      connection.send('\r\n0\r\n\r\n')
      checkRefusal(await connection.readAnswer('PATCH'))
    })
    await callFor(204, berth, 'DELETE', path, { authorization: owner.authorization })
  })

  test('counts what is under way, and what is used; pulls and deletes go on; more quota helps', async () => {
    const { authorization } = owner
    const path = await openUpload(berth, owner, 'small/web')
    await callFor(202, berth, 'PATCH', path, { authorization, body: new Uint8Array(60_000) })
    const blob = randomBlob(60_000)
    const push = (content: Blob) =>
      call(berth, 'POST', `/v2/small/web/blobs/uploads/?digest=${content.digest}`, {
        authorization,
        body: new Uint8Array(content.content),
      })
    checkRefusal(await push(blob))
    await callFor(204, berth, 'DELETE', path, { authorization })
    assert.equal((await push(blob)).status, 201)
    checkRefusal(await push(randomBlob(60_000)))
    const read = await callFor(200, berth, 'GET', `/v2/small/web/blobs/${blob.digest}`, { authorization })
    assert.equal(blobOf(read.body).digest, blob.digest)
    const more = await berth.api('PATCH', `/projects/${quotaProject.id}`, { quotaBytes: 2 * QUOTA })
    assert.equal(more.status, 200)
    const second = randomBlob(60_000)
    const { config, manifest } = imageOf(second)
    for (const content of [second, config]) assert.equal((await push(content)).status, 201)
    await berth.api('PATCH', `/projects/${quotaProject.id}`, { quotaBytes: QUOTA })
    checkRefusal(await push(randomBlob(20_000)))
    const pushed = await call(berth, 'PUT', '/v2/small/web/manifests/v1', {
      authorization,
      headers: { 'content-type': ociManifest },
      body: new Uint8Array(manifest.content),
    })
    checkRefusal(pushed)
    await callFor(202, berth, 'DELETE', `/v2/small/web/blobs/${second.digest}`, { authorization })
  })
})

test('no file had to be closed by the garbage collector, and nothing failed', () => {
  assert.doesNotMatch(logs.join('') + berth.log(), /garbage collection|MaxListenersExceeded/)
  assert.deepEqual(logLines(berth, 'error'), [])
})

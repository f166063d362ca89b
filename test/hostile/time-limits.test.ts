// @tier full
/** Clients that stop in the middle are cut in the end, with an answer where one is possible. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { Berth, KeyAnswer } from '../support/berth.ts'
import { waitFor } from '../support/process.ts'
import { callFor, openFiles, openUpload, portOf, pushBlob, randomBlob, startHostileBerth } from './fixture.ts'

const MIB = 1024 * 1024
/** Longer than every limit, with the pauses between the looks at them. */
const PATIENCE_MS = 150_000
const FILES_ALLOWANCE = 3

let berth: Berth
let key: KeyAnswer
let filesBefore: number
const large = randomBlob(32 * MIB)

before(async () => {
  berth = await startHostileBerth()
  const project = await berth.createProject('acme')
  key = await berth.createKey(project.id)
  await pushBlob(berth, key, 'acme/web', large)
  filesBefore = openFiles(berth.pid)
})
after(async () => berth?.[Symbol.asyncDispose]())

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** All that comes until the server ends the connection. */
async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'end', { signal: AbortSignal.timeout(PATIENCE_MS) })
  socket.destroy()
  return Buffer.concat(chunks).toString()
}

function head(method: string, target: string, more: string): string {
  return `${method} ${target} HTTP/1.1\r\nHost: ${berth.registryHost}\r\nAuthorization: ${key.authorization}\r\n${more}\r\n`
}

describe('who stops in the middle', { concurrency: true, timeout: 2 * PATIENCE_MS }, () => {
  test('of a header, on the registry', async () => {
    const socket = await open(portOf(berth.registryUrl))
    socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow')
    const answer = await readAll(socket)
    assert.match(answer, /^HTTP\/1\.1 408 Request Timeout\r\n/)
    assert.match(answer, /"code":"UNSUPPORTED","message":"the header took too long to arrive"/)
  })

  test('of a header, on the console', async () => {
    const socket = await open(portOf(berth.consoleUrl))
    socket.write('GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nX-Slow')
    const answer = await readAll(socket)
    assert.match(answer, /^HTTP\/1\.1 408 Request Timeout\r\n/)
    assert.match(answer, /"code":"request_timeout"/)
  })

  test('of a JSON body', async () => {
    const socket = await open(portOf(berth.consoleUrl))
    socket.write(
      `POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${berth.operatorToken}\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"na`,
    )
    const answer = await readAll(socket)
    assert.match(answer, /^HTTP\/1\.1 408 /)
    assert.match(answer, /"code":"request_timeout"/)
  })

  test('of a manifest', async () => {
    const socket = await open(portOf(berth.registryUrl))
    socket.write(head('PUT', '/v2/acme/web/manifests/x', 'Content-Length: 1000\r\n'))
    socket.write('{')
    assert.match(await readAll(socket), /^HTTP\/1\.1 408 [^]*"message":"the body came too slowly"/)
  })

  test('of a chunk: what came before it stays', async () => {
    const path = await openUpload(berth, key, 'acme/web')
    const { authorization } = key
    await callFor(202, berth, 'PATCH', path, { authorization, body: '01234' })
    const socket = await open(portOf(berth.registryUrl))
    socket.write(head('PATCH', path, 'Content-Range: 5-999\r\nContent-Length: 995\r\n'))
    socket.write('5')
    assert.match(await readAll(socket), /^HTTP\/1\.1 408 /)
    const stands = await callFor(204, berth, 'GET', path, { authorization })
    assert.equal(stands.headers.get('range'), '0-4')
    const range = { 'content-range': '5-5' }
    await callFor(202, berth, 'PATCH', path, { authorization, headers: range, body: '5' })
  })

  test('of reading an answer: no file stays open', async () => {
    const sockets: Socket[] = []
    for (let i = 0; i < 10; i++) {
      const socket = await open(portOf(berth.registryUrl))
      socket.pause()
      socket.write(head('GET', `/v2/acme/web/blobs/${large.digest}`, ''))
      await once(socket, 'readable')
      sockets.push(socket)
    }
    assert.ok(openFiles(berth.pid) >= filesBefore + 10)
    await waitFor(
      'the slow readers to be cut',
      async () => openFiles(berth.pid) <= filesBefore + FILES_ALLOWANCE,
      PATIENCE_MS,
    )
    for (const socket of sockets) socket.destroy()
  })
})

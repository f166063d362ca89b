/**
 * Malformed input of every kind, byte for byte over a socket, against a real server. Each row has its exact status and
 * error code; whatever comes, the answer is well-formed HTTP in the words of its surface and tells nothing, and the
 * server is as well afterwards as before.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { OCI_ERRORS } from '@berth/oci/errors'
import { problem, PROBLEM_MEDIA_TYPE } from '@berth/api/problem'
import type { Berth } from '../support/berth.ts'
import { waitFor } from '../support/process.ts'
import { blobOf, call, callFor, logLines, openFiles, residentBytes, startHostileBerth } from './fixture.ts'
import { findLeaks } from './leaks.ts'
import { AREAS, prepareFixture, REGIONS, sendRow } from './malformed/areas.ts'
import type { Fixture, Row } from './malformed/row.ts'
import type { RawAnswer, RawConnection } from './raw-connection.ts'

const MIN_ROWS = 250
const FILES_ALLOWANCE = 5
const MEMORY_ALLOWANCE_BYTES = 256 * 1024 * 1024
const SETTLE_TIMEOUT_MS = 30_000

let berth: Berth
let fixture: Fixture
let secrets: readonly string[]
let filesBefore: number
let memoryBefore: number

before(async () => {
  berth = await startHostileBerth({ regions: REGIONS })
  fixture = await prepareFixture(berth)
  secrets = [
    fixture.keyText,
    fixture.keyText.split('_')[3] as string,
    berth.operatorToken,
    fixture.accessToken,
    fixture.refreshToken,
    fixture.foreignToken,
    fixture.basic.slice('Basic '.length),
  ]
  filesBefore = openFiles(berth.pid)
  memoryBefore = residentBytes(berth.pid)
})
after(async () => berth?.[Symbol.asyncDispose]())

test('the tables are large enough, and every row has a name of its own', () => {
  const rows = Object.values(AREAS).flat()
  assert.ok(rows.length >= MIN_ROWS, String(rows.length))
  for (const [area, list] of Object.entries(AREAS)) {
    const names = list.map((row) => `${row.surface}: ${row.name}`)
    const twice = names.filter((name, n) => names.indexOf(name) !== n)
    assert.deepEqual(twice, [], area)
  }
  assert.deepEqual(
    rows.filter((row) => row.status >= 500).map((row) => row.name),
    [],
  )
})

for (const [area, rows] of Object.entries(AREAS)) {
  describe(area, () => {
    for (const row of rows) {
      const outcome = `${row.status}${row.code === null ? '' : ` ${row.code}`}`
      test(`${row.surface}: ${row.name} → ${outcome}`, () => check(row))
    }
  })
}

async function check(row: Row): Promise<void> {
  const { method, answer, connection } = await sendRow(row, fixture)
  try {
    checkAnswer(row, method, answer)
    if (row.unfinished !== true) await checkConnection(row, connection, answer)
  } finally {
    connection.destroy()
  }
}

function checkAnswer(row: Row, method: string, answer: RawAnswer): void {
  const text = answer.body.toString('utf8')
  assert.equal(answer.status, row.status, text.slice(0, 500))
  if (row.code !== null) {
    const { code, message, fields } = row.surface === 'registry' ? readOci(answer) : readProblem(answer)
    assert.equal(code, row.code, text)
    if (row.message !== undefined) assert.match(message, row.message)
    if (row.fields !== undefined) assert.deepEqual(fields.sort(), [...row.fields].sort())
  }
  for (const [name, pattern] of Object.entries(row.headers ?? {})) {
    const value = answer.headers.get(name)
    if (pattern === null) assert.equal(value, undefined, name)
    else assert.match(value ?? '(absent)', pattern, name)
  }
  if (row.body !== undefined) assert.ok(answer.body.equals(row.body(fixture)), text.slice(0, 200))
  if (method === 'HEAD') assert.equal(answer.body.byteLength, 0)
  const shown = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join('\n')
  const ours = row.code === null ? shown : `${shown}\n${text}`
  // The token endpoint hands out tokens of its own, which are not any of the secrets that are looked for.
  assert.deepEqual(findLeaks(ours, { secrets, folders: [berth.dataDir, process.cwd()] }), [])
  assert.doesNotMatch(ours, /evil/)
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
}

interface Refusal {
  readonly code: string
  readonly message: string
  readonly fields: string[]
}

function readOci(answer: RawAnswer): Refusal {
  assert.equal(answer.headers.get('content-type'), 'application/json')
  const body = JSON.parse(answer.body.toString('utf8')) as { errors: Record<string, unknown>[] }
  assert.deepEqual(Object.keys(body), ['errors'])
  assert.equal(body.errors.length, 1)
  const [error = {}] = body.errors
  assert.deepEqual(Object.keys(error).sort(), ['code', 'detail', 'message'])
  const { code, message } = error as { code: string; message: string }
  assert.ok(code in OCI_ERRORS, code)
  assert.ok(typeof message === 'string' && message.length > 0 && message.length < 1000)
  return { code, message, fields: [] }
}

function readProblem(answer: RawAnswer): Refusal {
  assert.equal(answer.headers.get('content-type'), PROBLEM_MEDIA_TYPE)
  const { code, detail, errors, status, requestId } = problem.parse(JSON.parse(answer.body.toString('utf8')))
  assert.equal(status, answer.status)
  assert.equal(requestId, answer.headers.get('x-request-id'))
  assert.ok(detail.length > 0 && detail.length < 1000)
  return { code, message: detail, fields: errors.map(({ path }) => path) }
}

/** It either ends cleanly, as it says, or is good for one more request, whose answer is the only thing that comes. */
async function checkConnection(row: Row, connection: RawConnection, answer: RawAnswer): Promise<void> {
  if (answer.headers.get('connection') !== 'close') {
    const path = row.surface === 'registry' ? '/v2/' : '/api/v1/whoami'
    const authorization = row.surface === 'registry' ? fixture.basic : `Bearer ${fixture.operatorToken}`
    connection.send(
      `GET ${path} HTTP/1.1\r\nHost: ${fixture.host}\r\nAuthorization: ${authorization}\r\nConnection: close\r\n\r\n`,
    )
    const next = await connection.readAnswer('GET')
    assert.equal(next.status, 200, `the next request on the connection: ${next.body.toString()}`)
    const body = JSON.parse(next.body.toString()) as object
    assert.deepEqual(
      Object.keys(body),
      row.surface === 'registry' ? [] : ['principal', 'installation'],
      next.body.toString(),
    )
  }
  const rest = await connection.readRest()
  assert.equal(rest.toString('latin1'), '', 'something came that nobody asked for')
}

describe('after all of them', () => {
  test('the server is ready, and what was pushed is as it was', async () => {
    const ready = await call(berth, 'GET', '/readyz')
    assert.equal(ready.status, 200)
    const manifest = await callFor(200, berth, 'GET', '/v2/acme/web/manifests/latest', {
      authorization: fixture.basic,
    })
    assert.equal(blobOf(manifest.body).digest, fixture.manifest.digest)
    const tags = await callFor(200, berth, 'GET', '/v2/acme/web/tags/list', { authorization: fixture.basic })
    assert.deepEqual(JSON.parse(tags.body.toString()), { name: 'acme/web', tags: ['latest'] })
    const catalog = await callFor(200, berth, 'GET', '/v2/_catalog', { authorization: fixture.basic })
    assert.deepEqual(JSON.parse(catalog.body.toString()), { repositories: ['acme/web'] })
    const { body } = await berth.api('GET', '/projects')
    const { items } = body as { items: { namespace: string }[] }
    assert.deepEqual(
      items.map(({ namespace }) => namespace),
      ['acme'],
    )
  })

  test('nothing failed in the log, and no secret is in it', () => {
    assert.deepEqual(logLines(berth, 'error'), [])
    assert.deepEqual(
      findLeaks(berth.log(), { secrets, folders: [] }).filter((leak) => leak.startsWith('secret')),
      [],
    )
  })

  test('files and sockets are closed again', async () => {
    await waitFor(
      'files to be closed',
      async () => openFiles(berth.pid) <= filesBefore + FILES_ALLOWANCE,
      SETTLE_TIMEOUT_MS,
    )
  })

  test('memory is bounded', () => {
    const grownBytes = residentBytes(berth.pid) - memoryBefore
    assert.ok(grownBytes < MEMORY_ALLOWANCE_BYTES, `${Math.round(grownBytes / 1024 / 1024)} MiB more`)
  })
})

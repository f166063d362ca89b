import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { compileLoader, type LoadResult, runLoad } from './loader.ts'
import type { Plan, PlannedRequest } from './plan.ts'

const skip = spawnSync('gcc', ['--version']).status === 0 ? false : 'gcc is not installed'

/** Runs a plan against a server made for it; `files` become body segments named by their keys. */
async function load(
  plan: (path: (name: string) => string) => Plan,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  files: Record<string, Buffer> = {},
): Promise<LoadResult> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-load-test-'))
  const server = createServer(handler)
  try {
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const program = await compileLoader()
    return await runLoad(
      program,
      join(folder, 'plan'),
      plan((name) => join(folder, name)),
      port,
    )
  } finally {
    server.close()
    server.closeAllConnections()
    await rm(folder, { recursive: true })
  }
}

function get(target: string, expected: Partial<PlannedRequest> = {}): PlannedRequest {
  return { label: 'get', method: 'GET', target, headers: { Host: 'test' }, expect: [200], ...expected }
}

test('sends bodies of several parts whole, with a length and in frames', { skip }, async () => {
  const bytes = randomBytes(300_000)
  const wanted = createHash('sha256')
    .update(bytes.subarray(7, 250_000))
    .update(bytes.subarray(1, 12))
    .digest('hex')
  for (const frameBytes of [undefined, 13, 1000, 32_768, 400_000]) {
    const seen: string[] = []
    const encodings: (string | undefined)[] = []
    const result = await load(
      (path) => ({
        connections: 3,
        jobs: Array.from({ length: 4 }, () => [
          {
            label: 'put',
            method: 'PUT',
            target: '/a',
            headers: { Host: 'test' },
            expect: [201],
            body: [
              { path: path('one'), offsetBytes: 7, sizeBytes: 249_993 },
              { path: path('two'), offsetBytes: 1, sizeBytes: 11 },
            ],
            ...(frameBytes === undefined ? {} : { frameBytes }),
          },
        ]),
      }),
      (request, response) => {
        const hash = createHash('sha256')
        encodings.push(request.headers['transfer-encoding'])
        request.on('data', (part: Buffer) => hash.update(part))
        request.on('end', () => {
          seen.push(hash.digest('hex'))
          response.writeHead(201, { 'content-length': 0 }).end()
        })
      },
      { one: bytes, two: bytes },
    )
    assert.deepEqual(seen, Array(4).fill(wanted), `frames of ${frameBytes}`)
    assert.deepEqual(encodings, Array(4).fill(frameBytes === undefined ? undefined : 'chunked'))
    assert.equal(result.bodyBytesOut, 4 * 250_004)
  }
})

test('follows Location, absolute or relative, and adds a parameter to it', { skip }, async () => {
  const seen: string[] = []
  const step = { label: 'step', method: 'PUT', headers: { Host: 'test' }, expect: [202] } as const
  await load(
    () => ({
      connections: 1,
      jobs: [
        [
          { ...step, method: 'POST', target: '/start' },
          { ...step, target: '@' },
          { ...step, target: '@?digest=sha256:00' },
        ],
      ],
    }),
    (request, response) => {
      seen.push(`${request.method} ${request.url}`)
      const location = request.method === 'POST' ? 'http://elsewhere:1/first?state=1' : '/second?state=2'
      response.writeHead(202, { location, 'content-length': 0 }).end()
    },
  )
  assert.deepEqual(seen, ['POST /start', 'PUT /first?state=1', 'PUT /second?state=2&digest=sha256:00'])
})

test('reads answers with a length, in frames and to HEAD, and reconnects after Connection: close', {
  skip,
}, async () => {
  const body = randomBytes(3_000_000)
  const result = await load(
    () => ({
      connections: 2,
      passes: 3,
      jobs: [
        [
          get('/length', { responseBytes: body.length }),
          get('/frames', { responseBytes: body.length }),
          get('/head', { method: 'HEAD', responseBytes: body.length }),
          get('/close', { responseBytes: 5 }),
        ],
      ],
    }),
    (request, response) => {
      if (request.url === '/close')
        response.writeHead(200, { connection: 'close', 'content-length': 5 }).end('12345')
      else if (request.url === '/frames') {
        response.write(body.subarray(0, 10))
        response.end(body.subarray(10))
      } else response.writeHead(200, { 'content-length': body.length }).end(body)
    },
  )
  assert.equal(result.requests, 12)
  assert.equal(result.bodyBytesIn, 3 * (2 * body.length + 5))
  assert.deepEqual(result.statuses, { 200: 12 })
})

test('goes round the jobs until the duration is over', { skip }, async () => {
  const result = await load(
    () => ({ connections: 2, durationMs: 100, jobs: [[get('/')]] }),
    (_request, response) => void response.writeHead(200, { 'content-length': 0 }).end(),
  )
  assert.ok(result.jobs > 2)
  assert.equal(result.latencies['get']?.count, result.requests)
})

const wrongAnswers: Record<string, { handler: (response: ServerResponse) => void; says: RegExp }> = {
  'another status': {
    handler: (response) => response.writeHead(500, { 'content-length': 4 }).end('oops'),
    says: /statuses {"500":1}.*\n\s+GET \/: status 500 oops/,
  },
  'another size': {
    handler: (response) => response.writeHead(200, { 'content-length': 4 }).end('oops'),
    says: /GET \/: 4 bytes, not 3/,
  },
  'a closed connection': {
    handler: (response) => response.socket?.destroy(),
    says: /GET \/: connection closed by the server/,
  },
  'a body that ends early': {
    handler: (response) => {
      response.writeHead(200, { 'content-length': 3 })
      response.write('ab')
      setImmediate(() => response.socket?.destroy())
    },
    says: /GET \/: connection closed by the server/,
  },
}

for (const [what, { handler, says }] of Object.entries(wrongAnswers)) {
  test(`${what} is an error of the run`, { skip }, async () => {
    const run = load(
      () => ({ connections: 1, jobs: [[get('/', { responseBytes: 3 })]] }),
      (_request, response) => handler(response),
    )
    await assert.rejects(run, says)
  })
}

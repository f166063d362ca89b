import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { ConsoleUnreachableError, createClient, operationUrl } from './client.ts'
import { ApiError } from './errors.ts'
import { OPERATIONS } from './operations.ts'
import { renderProblem } from './problem.ts'

/** A server that answers whatever the test says, to see what the client makes of it. */
let answer: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) =>
  response.end()
const server = createServer((request, response) => answer(request, response))
let baseUrl: string

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
after(() => {
  server.closeAllConnections()
  server.close()
})

function client(token: string | null = 'secret') {
  return createClient({ baseUrl: `${baseUrl}/`, token, timeoutMs: 5_000 })
}

test('paths and queries are encoded, and what is undefined is left out', () => {
  const params = { project: 'acme', repository: 'web/api', tag: 'a.b' }
  const query = { region: undefined, limit: 5, cursor: 'a+b/=&' }
  assert.equal(
    operationUrl(OPERATIONS['tags.history'], { params, query }),
    '/api/v1/projects/acme/repositories/web%2Fapi/tags/a.b/history?limit=5&cursor=a%2Bb%2F%3D%26',
  )
  assert.throws(() => operationUrl(OPERATIONS['projects.show'], { params: { project: '' } }), TypeError)
})

test('a call sends the token and a body, and answers the JSON', async () => {
  let seen: { authorization: string | undefined; body: string } = { authorization: undefined, body: '' }
  answer = (request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      seen = { authorization: request.headers.authorization, body }
      response.setHeader('content-type', 'application/json').end('{"id":"x"}')
    })
  }
  assert.deepEqual(await client().call('projects.create', { body: { name: 'a' } }), { id: 'x' })
  assert.deepEqual(seen, { authorization: 'Bearer secret', body: '{"name":"a"}' })
  await client(null).call('whoami', {})
  assert.deepEqual(seen, { authorization: undefined, body: '' })
})

test('a problem becomes an error with its code, fields, request id and Retry-After', async () => {
  const error = new ApiError('rate_limited', 'Slow down.', {
    errors: [{ path: 'body.name', message: 'is bad' }],
  })
  answer = (_request, response) => {
    response.writeHead(429, { 'retry-after': '7' }).end(JSON.stringify(renderProblem(error, 'r1')))
  }
  await assert.rejects(client().call('whoami', {}), (thrown) => {
    assert.ok(thrown instanceof ApiError)
    assert.deepEqual(
      [thrown.code, thrown.status, thrown.detail, thrown.requestId, thrown.headers['retry-after']],
      ['rate_limited', 429, 'Slow down.', 'r1', '7'],
    )
    assert.deepEqual(thrown.errors, [{ path: 'body.name', message: 'is bad' }])
    return true
  })
})

test('a code of a newer server is understood by its status', async () => {
  answer = (_request, response) => {
    const body = { ...renderProblem(new ApiError('project_not_found'), 'r'), code: 'something_new' }
    response.writeHead(404).end(JSON.stringify(body))
  }
  await assert.rejects(
    client().call('whoami', {}),
    (thrown) => thrown instanceof ApiError && thrown.status === 404,
  )
})

test('what is no console is told apart from what says no', async () => {
  const strange: ((response: ServerResponse) => void)[] = [
    (response) => response.end('<html>'),
    (response) => response.writeHead(502).end('<html>Bad gateway'),
    (response) => response.writeHead(404).end('{"error":"not found"}'),
    (response) => response.destroy(),
  ]
  for (const behave of strange) {
    answer = (_request, response) => behave(response)
    await assert.rejects(client().call('whoami', {}), ConsoleUnreachableError)
  }
})

test('a redirect is not followed: the token stays with the console it is for', async () => {
  let requests = 0
  answer = (_request, response) => {
    requests++
    response.writeHead(307, { location: `${baseUrl}/elsewhere` }).end()
  }
  await assert.rejects(client().call('whoami', {}), ConsoleUnreachableError)
  assert.equal(requests, 1)
})

test('nobody listening is told with the reason', async () => {
  const unreachable = createClient({ baseUrl: 'http://127.0.0.1:1', token: null })
  await assert.rejects(
    unreachable.call('whoami', {}),
    /no answer from http:\/\/127\.0\.0\.1:1: .*(ECONNREFUSED|bad port)/,
  )
})

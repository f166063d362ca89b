import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { API_PREFIX } from '@berth/api/operations'
import { problem, PROBLEM_MEDIA_TYPE } from '@berth/api/problem'
import { MAX_BODY_BYTES } from './limits.ts'
import { OPERATOR_TOKEN, openTestConsole, type TestConsole } from '../../../test/support/console/stack.ts'

let opened: TestConsole

before(async () => {
  opened = await openTestConsole()
})
after(() => opened.close())

const AUTHORIZED = { authorization: `Bearer ${OPERATOR_TOKEN}` }
const JSON_BODY = { ...AUTHORIZED, 'content-type': 'application/json' }

interface Case {
  readonly name: string
  readonly request: {
    readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'
    readonly url: string
    readonly headers?: Record<string, string>
    readonly payload?: string | Buffer
  }
  readonly status: number
  readonly code: string
  /** Paths of the fields that must be named. */
  readonly fields?: readonly string[]
}

const PROJECTS = `${API_PREFIX}/projects`

function create(payload: string | Buffer, headers: Record<string, string> = JSON_BODY): Case['request'] {
  return { method: 'POST', url: PROJECTS, headers, payload }
}

function get(url: string): Case['request'] {
  return { method: 'GET', url, headers: AUTHORIZED }
}

const CASES: readonly Case[] = [
  { name: 'JSON that breaks off', request: create('{"name":'), status: 400, code: 'invalid_json' },
  { name: 'two values', request: create('{} {}'), status: 400, code: 'invalid_json' },
  { name: 'a duplicate key', request: create('{"name":"a","name":"b"}'), status: 400, code: 'invalid_json' },
  {
    name: 'bytes that are not UTF-8',
    request: create(Buffer.from([0x7b, 0xff, 0x7d])),
    status: 400,
    code: 'invalid_json',
  },
  {
    name: 'a byte order mark',
    request: create('\ufeff{"name":"x"}'),
    status: 400,
    code: 'invalid_json',
  },
  { name: 'nesting without end', request: create('['.repeat(5000)), status: 400, code: 'invalid_json' },
  { name: 'a list', request: create('[]'), status: 422, code: 'validation_failed', fields: ['body'] },
  { name: 'null', request: create('null'), status: 422, code: 'validation_failed', fields: ['body.name'] },
  { name: 'a text', request: create('"name"'), status: 422, code: 'validation_failed', fields: ['body'] },
  { name: 'no body', request: create(''), status: 422, code: 'validation_failed', fields: ['body.name'] },
  {
    name: 'an unknown field',
    request: create('{"name":"a","owner":"me"}'),
    status: 422,
    code: 'validation_failed',
    fields: ['body.owner'],
  },
  {
    name: '__proto__',
    request: create('{"name":"a","__proto__":{"x":1}}'),
    status: 422,
    code: 'validation_failed',
    fields: ['body.__proto__'],
  },
  {
    name: 'several mistakes at once',
    request: create('{"name":"  ","namespace":"No","quotaBytes":-1}'),
    status: 422,
    code: 'validation_failed',
    fields: ['body.name', 'body.namespace', 'body.quotaBytes'],
  },
  {
    name: 'a reserved namespace',
    request: create('{"name":"a","namespace":"v2"}'),
    status: 422,
    code: 'validation_failed',
    fields: ['body.namespace'],
  },
  {
    name: 'a name without letters for a namespace',
    request: create('{"name":"日本"}'),
    status: 422,
    code: 'validation_failed',
    fields: ['body.namespace'],
  },
  {
    name: 'a name with a line break',
    request: create('{"name":"a\\nb"}'),
    status: 422,
    code: 'validation_failed',
    fields: ['body.name'],
  },
  {
    name: 'a quota that is no safe integer',
    request: create('{"name":"a","quotaBytes":9007199254740993}'),
    status: 400,
    code: 'invalid_json',
  },
  {
    name: 'a fraction of a byte',
    request: create('{"name":"a","quotaBytes":1.5}'),
    status: 422,
    code: 'validation_failed',
    fields: ['body.quotaBytes'],
  },
  {
    name: 'a glob that the data plane would not understand',
    request: create('{"name":"a","publicRepositories":["a**b"]}'),
    status: 422,
    code: 'validation_failed',
    fields: ['body.publicRepositories.0'],
  },
  {
    name: 'a body that is too large',
    request: create(JSON.stringify({ name: 'x'.repeat(MAX_BODY_BYTES) })),
    status: 413,
    code: 'body_too_large',
  },
  {
    name: 'a form',
    request: create('name=a', { ...AUTHORIZED, 'content-type': 'application/x-www-form-urlencoded' }),
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    name: 'a body without a type',
    request: create('{"name":"a"}', AUTHORIZED),
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    name: 'a compressed body',
    request: create('{"name":"a"}', { ...JSON_BODY, 'content-encoding': 'gzip' }),
    status: 415,
    code: 'unsupported_media_type',
  },
  { name: 'an unknown path', request: get(`${API_PREFIX}/nothing`), status: 404, code: 'route_not_found' },
  { name: 'a path above the API', request: get('/api'), status: 404, code: 'route_not_found' },
  {
    name: 'a malformed path',
    request: get(`${PROJECTS}/%zz`),
    status: 400,
    code: 'invalid_request',
  },
  {
    name: 'a path that is too long',
    request: get(`${PROJECTS}?cursor=${'x'.repeat(9000)}`),
    status: 414,
    code: 'uri_too_long',
  },
  {
    name: 'another method',
    request: { method: 'PUT', url: PROJECTS, headers: AUTHORIZED },
    status: 405,
    code: 'method_not_allowed',
  },
  {
    name: 'a preflight of a browser',
    request: { method: 'OPTIONS', url: PROJECTS, headers: { origin: 'https://evil.example' } },
    status: 404,
    code: 'route_not_found',
  },
  {
    name: 'a limit of nothing',
    request: get(`${PROJECTS}?limit=0`),
    status: 422,
    code: 'validation_failed',
    fields: ['query.limit'],
  },
  {
    name: 'a limit that is too large',
    request: get(`${PROJECTS}?limit=501`),
    status: 422,
    code: 'validation_failed',
    fields: ['query.limit'],
  },
  {
    name: 'two limits',
    request: get(`${PROJECTS}?limit=1&limit=2`),
    status: 422,
    code: 'validation_failed',
    fields: ['query.limit'],
  },
  {
    name: 'an unknown parameter',
    request: get(`${PROJECTS}?sort=name`),
    status: 422,
    code: 'validation_failed',
    fields: ['query.sort'],
  },
  {
    name: 'a parameter where there is none',
    request: get(`${API_PREFIX}/whoami?verbose=1`),
    status: 422,
    code: 'validation_failed',
    fields: ['query.verbose'],
  },
  {
    name: 'a cursor that nobody made',
    request: get(`${PROJECTS}?cursor=nonsense`),
    status: 422,
    code: 'validation_failed',
    fields: ['query.cursor'],
  },
  {
    name: "another list's cursor",
    request: get(`${API_PREFIX}/regions?cursor=${Buffer.from('"acme"').toString('base64url')}`),
    status: 422,
    code: 'validation_failed',
    fields: ['query.cursor'],
  },
  {
    name: 'a project that does not exist',
    request: get(`${PROJECTS}/nobody`),
    status: 404,
    code: 'project_not_found',
  },
  {
    name: 'a project that no name can have',
    request: get(`${PROJECTS}/No%2FBody`),
    status: 422,
    code: 'validation_failed',
    fields: ['params.project'],
  },
]

for (const { name, request, status, code, fields } of CASES) {
  test(`${name} is refused with ${status} ${code}`, async () => {
    const response = await opened.app.inject({
      method: request.method,
      url: request.url,
      ...(request.headers === undefined ? {} : { headers: request.headers }),
      ...(request.payload === undefined ? {} : { payload: request.payload }),
    })
    assert.equal(response.statusCode, status, response.body)
    assert.equal(response.headers['content-type'], PROBLEM_MEDIA_TYPE)
    const body = problem.parse(response.json())
    assert.equal(body.code, code)
    assert.equal(body.status, status)
    assert.equal(body.requestId, response.headers['x-request-id'])
    if (fields !== undefined) assert.deepEqual(body.errors.map(({ path }) => path).sort(), [...fields].sort())
  })
}

test('another method is told which ones there are', async () => {
  const response = await opened.app.inject({ method: 'PUT', url: PROJECTS, headers: AUTHORIZED })
  assert.equal(response.headers.allow, 'GET, HEAD, POST')
})

test('HEAD answers as GET, without a body', async () => {
  const response = await opened.app.inject({ method: 'HEAD', url: PROJECTS, headers: AUTHORIZED })
  assert.equal(response.statusCode, 200)
  assert.equal(response.body, '')
})

test('every answer has the security headers, and none allows another origin', async () => {
  for (const url of ['/', '/setup', `${API_PREFIX}/whoami`, '/nothing', '/%zz']) {
    const { headers } = await opened.app.inject({ url, headers: { origin: 'https://evil.example' } })
    assert.equal(headers['x-content-type-options'], 'nosniff', url)
    assert.equal(headers['cache-control'], 'no-store', url)
    assert.match(
      String(headers['content-security-policy']),
      /^default-src 'none'.*frame-ancestors 'none'/,
      url,
    )
    assert.equal(headers['access-control-allow-origin'], undefined, url)
  }
})

test('an error that nobody foresaw says nothing, and is in the log with its request id', async () => {
  const { runtime } = opened
  const broken = { ...runtime, db: { ...runtime.db, reader: null } } as unknown as typeof runtime
  const { createConsole } = await import('./console.ts')
  const app = await createConsole(broken)
  const response = await app.inject({ url: PROJECTS, headers: AUTHORIZED })
  assert.equal(response.statusCode, 500)
  const body = problem.parse(response.json())
  assert.equal(body.code, 'internal_error')
  assert.doesNotMatch(response.body, /null|TypeError/)
  assert.match(opened.logged(), new RegExp(`"requestId":"${body.requestId}"[^\n]*TypeError`))
  await app.close()
})

test('/ says what this is, without a script and without projects', async () => {
  await opened.client.call('projects.create', { body: { name: 'Top secret', namespace: 'top-secret' } })
  const response = await opened.app.inject({ url: '/' })
  assert.equal(response.statusCode, 200)
  assert.match(response.body, /near\.example:5000/)
  assert.doesNotMatch(response.body, /<script|top-secret/)
})

test('/ shows the host without a region when there is one', async () => {
  const { body } = await opened.app.inject({ url: '/' })
  assert.match(body, /Home region of each project<\/td><td><code>registry\.example</)
  assert.match(body, /docker login registry\.example -u api/)
  const { createConsole } = await import('./console.ts')
  const app = await createConsole({ ...opened.runtime, sharedHost: null })
  const without = await app.inject({ url: '/' })
  assert.doesNotMatch(without.body, /registry\.example|Home region/)
  assert.match(without.body, /docker login near\.example:5000 -u api/)
  await app.close()
})

test('over a socket: a body is asked for only after the caller is known', async () => {
  const [unknown, known] = await Promise.all([
    sendExpecting(''),
    sendExpecting(`Authorization: Bearer ${OPERATOR_TOKEN}\r\n`),
  ])
  assert.match(unknown, /^HTTP\/1\.1 401 /)
  assert.match(known, /^HTTP\/1\.1 100 Continue/)
})

/** Sends only the head of a request with `Expect: 100-continue` and answers with what comes back first. */
async function sendExpecting(header: string): Promise<string> {
  const { hostname, port } = new URL(opened.baseUrl)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.write(
    `POST ${PROJECTS} HTTP/1.1\r\nHost: x\r\n${header}Content-Type: application/json\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n`,
  )
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return chunk.toString()
}

test('over a socket: a body without a declared length is cut at the limit', async () => {
  const response = await fetch(`${opened.baseUrl}${PROJECTS}`, {
    method: 'POST',
    headers: JSON_BODY,
    body: ReadableStream.from(
      (function* () {
        for (let i = 0; i < 40; i++) yield Buffer.alloc(64 * 1024, 0x20)
      })(),
    ),
    duplex: 'half',
  } as RequestInit)
  assert.equal(response.status, 413)
  assert.equal(problem.parse(await response.json()).code, 'body_too_large')
})

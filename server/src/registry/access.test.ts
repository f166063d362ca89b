import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import type { MintedKey } from '../access/key.ts'
import { pushBlob, pushImage } from './test-content.ts'
import { basic, type CallAnswer, openTestRegion, type TestRegion } from './test-region.ts'

const TOKEN_SECONDS = 300
const DIGEST = digestOf('sha256', Buffer.from('x'))
const UUID = '01234567-89ab-cdef-0123-456789abcdef'

let region: TestRegion
let key: MintedKey
before(async () => {
  region = await openTestRegion({ tokenLifetimeSeconds: TOKEN_SECONDS })
  await region.createProject('acme')
  await region.createProject('rival')
  await region.createProject('open', { publicRepositories: ['public/*'] })
  key = await region.createKey('acme')
})
after(() => region.close())

async function token(scope: string, authorization: string | null = basic(key)): Promise<string> {
  const answer = await region.call('GET', `/auth/token?service=x&scope=${encodeURIComponent(scope)}`, {
    authorization,
  })
  assert.equal(answer.status, 200, answer.body.toString())
  return `Bearer ${answer.json().token}`
}

/** Everything of an answer that may tell something: all but the request's own id and the time. */
function visible({ status, headers, body }: CallAnswer): string {
  const { 'x-request-id': id, date: _date, ...rest } = headers
  return JSON.stringify({ status, headers: rest, body: body.toString().replaceAll(String(id), '<id>') })
}

describe('the challenge', () => {
  it('is Bearer alone, with scope and the own origin', async () => {
    const { port } = region
    const scopes: [method: string, path: string, scope: string][] = [
      ['GET', '/v2/acme/web/manifests/v1', 'repository:acme/web:pull'],
      ['HEAD', `/v2/acme/web/blobs/${DIGEST}`, 'repository:acme/web:pull'],
      ['POST', '/v2/acme/web/blobs/uploads/', 'repository:acme/web:pull,push'],
      ['PUT', '/v2/acme/web/manifests/v1', 'repository:acme/web:pull,push'],
      ['DELETE', '/v2/acme/web/manifests/v1', 'repository:acme/web:delete'],
      ['GET', '/v2/nobody/at/all/tags/list', 'repository:nobody/at/all:pull'],
    ]
    for (const [method, path, scope] of scopes) {
      const answer = await region.call(method, path, { authorization: null })
      assert.equal(answer.status, 401)
      assert.equal(
        String(answer.headers['www-authenticate']),
        `Bearer realm="http://127.0.0.1:${port}/auth/token",service="localhost:${port}",scope="${scope}"`,
      )
      if (method !== 'HEAD') assert.equal(answer.code(), 'UNAUTHORIZED')
    }
  })

  it('never repeats a foreign Host or X-Forwarded-Host', async () => {
    const { port } = region
    const realms: [headers: Record<string, string>, origin: string][] = [
      [{ Host: `localhost:${port}` }, `http://localhost:${port}`],
      [{ Host: `LOCALHOST:${port}` }, `http://localhost:${port}`],
      [{ Host: `[::1]:${port}` }, `http://[::1]:${port}`],
      [{ Host: 'evil.example' }, `http://localhost:${port}`],
      [{ Host: `localhost.evil.example:${port}` }, `http://localhost:${port}`],
      [{ Host: 'localhost:1' }, `http://localhost:${port}`],
      [{ 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' }, `http://127.0.0.1:${port}`],
    ]
    for (const [headers, origin] of realms) {
      const { headers: answered } = await region.call('GET', '/v2/', { authorization: null, headers })
      assert.match(
        String(answered['www-authenticate']),
        new RegExp(`realm="${origin.replace(/[[\]]/g, '\\$&')}/auth`),
      )
    }
  })

  it('says what is wrong with a credential', async () => {
    const bearer = await token('repository:acme/web:pull')
    const push = await region.call('POST', '/v2/acme/web/blobs/uploads/', { authorization: bearer })
    assert.equal(push.status, 401)
    assert.match(String(push.headers['www-authenticate']), /error="insufficient_scope"/)
    const garbled = `${bearer.slice(0, -4)}AAAA`
    for (const authorization of [garbled, 'Bearer x', basic('brth_k_wrong'), 'Nonsense x', 'Basic !']) {
      const answer = await region.call('GET', '/v2/acme/web/tags/list', { authorization })
      assert.equal(`${answer.status} ${answer.code()}`, '401 UNAUTHORIZED', authorization)
      assert.match(String(answer.headers['www-authenticate']), /error="invalid_token"/)
    }
  })
})

describe('the token endpoint', () => {
  const form = (fields: Record<string, string>) => ({
    authorization: null,
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields).toString(),
  })

  it('answers GET with Basic and POST with a form alike', async () => {
    const scope = 'repository:acme/web:pull,push'
    const get = await region.call(
      'GET',
      `/auth/token?service=x&scope=${scope}&scope=repository:rival/x:pull`,
      {
        authorization: basic(key),
      },
    )
    const post = await region.call(
      'POST',
      '/auth/token',
      form({
        grant_type: 'password',
        username: 'api',
        password: key.text,
        scope: `${scope} repository:rival/x:pull`,
      }),
    )
    for (const answer of [get, post]) {
      assert.equal(answer.status, 200, answer.body.toString())
      const body = answer.json()
      assert.equal(body.token, body.access_token)
      assert.equal(body.expires_in, TOKEN_SECONDS)
      assert.equal(body.scope, 'repository:acme/web:pull,push')
      assert.equal('issued_at' in body, false)
      assert.equal(answer.headers['cache-control'], 'no-store')
      const authorization = `Bearer ${body.token}`
      assert.equal((await region.call('GET', '/v2/', { authorization })).status, 200)
      const start = await region.call('POST', '/v2/acme/web/blobs/uploads/', { authorization })
      assert.equal(start.status, 202)
    }
  })

  it('gives refresh tokens on request, and takes them', async () => {
    const login = await region.call('GET', '/auth/token?service=x&offline_token=true&client_id=docker', {
      authorization: basic(key),
    })
    const refresh: string = login.json().refresh_token
    assert.ok(refresh)
    const scope = 'repository:acme/web:pull'
    const fields = { grant_type: 'refresh_token', refresh_token: refresh, scope }
    const answer = await region.call('POST', '/auth/token', form(fields))
    assert.equal(answer.status, 200, answer.body.toString())
    assert.equal(answer.json().scope, scope)
    const wrong = await region.call('POST', '/auth/token', form({ ...fields, refresh_token: `${refresh}x` }))
    assert.equal(`${wrong.status} ${wrong.code()}`, '401 UNAUTHORIZED')
  })

  it('gives anonymous clients a token that opens what is public', async () => {
    const authorization = await token('repository:open/public/app:pull,push repository:acme/web:pull', null)
    assert.equal((await region.call('GET', '/v2/', { authorization })).status, 200)
    assert.equal((await region.call('GET', '/v2/acme/web/tags/list', { authorization })).status, 401)
  })

  it('refuses what is malformed, without a 500 or 403', async () => {
    const cases: [options: object, expected: string][] = [
      [form({ grant_type: 'client_credentials' }), '400 UNSUPPORTED'],
      [form({}), '400 UNSUPPORTED'],
      [{ ...form({}), headers: {} }, '400 UNSUPPORTED'],
      [form({ grant_type: 'password', username: 'api', password: 'wrong' }), '401 UNAUTHORIZED'],
      [form({ grant_type: 'password' }), '401 UNAUTHORIZED'],
      [form({ grant_type: 'refresh_token' }), '401 UNAUTHORIZED'],
      [form({ grant_type: 'password', pad: 'x'.repeat(20_000) }), '413 UNSUPPORTED'],
      [{ ...form({ grant_type: 'password', pad: 'x'.repeat(20_000) }), chunked: true }, '413 UNSUPPORTED'],
    ]
    for (const [options, expected] of cases) {
      const answer = await region.call('POST', '/auth/token', options)
      assert.equal(`${answer.status} ${answer.code()}`, expected)
    }
  })

  it('makes no token from a token', async () => {
    const authorization = await token('repository:acme/web:pull')
    const answer = await region.call('GET', '/auth/token?service=x', { authorization })
    assert.equal(`${answer.status} ${answer.code()}`, '401 UNAUTHORIZED')
  })

  it('slows down guessing of one key', async () => {
    const victim = await region.createKey('rival')
    const wrong = basic(`${victim.text.slice(0, -49)}${key.text.slice(-49)}`)
    let answer = await region.call('GET', '/auth/token?service=x', { authorization: wrong })
    for (let tries = 0; tries < 100 && answer.status === 401; tries += 1) {
      answer = await region.call('GET', '/auth/token?service=x', {
        authorization: basic(`brth_k_${victim.id}_${String(tries).padStart(49, '0')}`),
      })
    }
    assert.equal(`${answer.status} ${answer.code()}`, '429 TOOMANYREQUESTS')
    assert.ok(Number(answer.headers['retry-after']) > 0)
    assert.equal((await region.call('GET', '/v2/', { authorization: basic(key) })).status, 200)
  })
})

describe('an expired token', () => {
  it('goes on with its own running upload and nothing else', async () => {
    const content = randomBytes(200)
    const scope = 'repository:acme/web:pull,push'
    const authorization = await token(scope)
    const started = await region.call('POST', '/v2/acme/web/blobs/uploads/', { authorization })
    const location = String(started.headers.location)
    region.advance((TOKEN_SECONDS + 120) * 1000)
    const later = { authorization, body: content }
    for (const [method, path] of [
      ['GET', '/v2/'],
      ['GET', '/v2/acme/web/tags/list'],
      ['POST', '/v2/acme/web/blobs/uploads/'],
      ['POST', `/v2/acme/web/blobs/uploads/?digest=${DIGEST}`],
      ['PUT', '/v2/acme/web/manifests/v1'],
      ['PATCH', `/v2/acme/web/blobs/uploads/${UUID}`],
    ] as const) {
      const answer = await region.call(method, path, method === 'GET' ? { authorization } : later)
      assert.equal(answer.status, 401, `${method} ${path}`)
      assert.match(String(answer.headers['www-authenticate']), /error="invalid_token"/)
    }
    assert.equal((await region.call('PATCH', location, later)).status, 202)
    const digest = digestOf('sha256', content)
    assert.equal((await region.call('PUT', `${location}?digest=${digest}`, { authorization })).status, 201)
  })
})

describe('a revoked key', () => {
  it('is refused, with its tokens and its uploads', async () => {
    const doomed = await region.createKey('acme')
    const authorizations = [basic(doomed), await token('repository:acme/web:pull,push', basic(doomed))]
    const location = String((await region.call('POST', '/v2/acme/web/blobs/uploads/')).headers.location)
    await region.revokeKey(doomed.id)
    for (const authorization of authorizations) {
      for (const [method, path] of [
        ['GET', '/v2/'],
        ['GET', '/v2/acme/web/tags/list'],
        ['PATCH', location],
        ['PUT', `${location}?digest=${DIGEST}`],
      ] as const) {
        assert.equal((await region.call(method, path, { authorization })).status, 401, `${method} ${path}`)
      }
    }
    await region.createKey('acme')
  })

  it('commits nothing that was under way', async () => {
    for (const size of [100, 100_000]) {
      const doomed = await region.createKey('acme')
      const content = randomBytes(size)
      const digest = digestOf('sha256', content)
      const socket = connect(region.port, '127.0.0.1')
      socket.write(
        `POST /v2/acme/web/blobs/uploads/?digest=${digest} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n` +
          `Authorization: ${basic(doomed)}\r\nContent-Length: ${size}\r\n\r\n`,
      )
      const [first] = (await once(socket, 'data')) as [Buffer]
      assert.match(first.toString(), /^HTTP\/1.1 100 /)
      await region.revokeKey(doomed.id)
      socket.write(content)
      const [answer] = (await once(socket, 'data')) as [Buffer]
      assert.match(answer.toString(), /^HTTP\/1.1 401 /)
      socket.destroy()
      await region.createKey('acme')
      assert.equal((await region.call('HEAD', `/v2/acme/web/blobs/${digest}`)).status, 404)
    }
  })
})

describe('projects', () => {
  it('see of each other what they see of nothing', async () => {
    await region.createKey('rival')
    const image = await pushImage(region, 'rival/app', 'v1')
    const started = await region.call('POST', '/v2/rival/app/blobs/uploads/')
    const session = String(started.headers.location).split('/').at(-1)
    const requests: [method: string, suffix: string][] = [
      ['GET', 'tags/list'],
      ['GET', 'manifests/v1'],
      ['HEAD', 'manifests/v1'],
      ['GET', `manifests/${image.digest}`],
      ['GET', `blobs/${image.layer.digest}`],
      ['HEAD', `blobs/${image.layer.digest}`],
      ['GET', `referrers/${image.digest}`],
      ['DELETE', 'manifests/v1'],
      ['DELETE', `manifests/${image.digest}`],
      ['DELETE', `blobs/${image.layer.digest}`],
      ['PUT', 'manifests/v1'],
      ['POST', 'blobs/uploads/'],
      ['POST', `blobs/uploads/?mount=${image.layer.digest}&from=rival/app`],
      ['GET', `blobs/uploads/${session}`],
      ['PATCH', `blobs/uploads/${session}`],
      ['DELETE', `blobs/uploads/${session}`],
      ['PUT', `blobs/uploads/${session}?digest=${image.layer.digest}`],
    ]
    const scope = 'repository:rival/app:*'
    for (const authorization of [basic(key), await token(scope), await token('repository:acme/web:pull')]) {
      for (const [method, suffix] of requests) {
        const real = await region.call(method, `/v2/rival/app/${suffix}`, { authorization })
        const none = await region.call(method, `/v2/nobdy/app/${suffix}`, { authorization })
        assert.equal(visible(real), visible(none), `${method} ${suffix}`)
        assert.equal(real.status, 404, `${method} ${suffix}`)
      }
    }
    for (const [method, suffix] of requests) {
      const real = await region.call(method, `/v2/rival/app/${suffix}`, { authorization: null })
      const none = await region.call(method, `/v2/nobdy/app/${suffix}`, { authorization: null })
      // The challenge repeats what was asked for.
      assert.equal(visible(real).replaceAll('rival', 'nobdy'), visible(none).replaceAll('rival', 'nobdy'))
      assert.equal(real.status, 401)
    }
    const tags = await region.call('GET', '/v2/rival/app/tags/list')
    assert.deepEqual(tags.json().tags, ['v1'])
  })

  it('see an unknown repository of their own as one of another', async () => {
    for (const suffix of ['tags/list', 'manifests/v1', `blobs/${DIGEST}`]) {
      const own = await region.call('GET', `/v2/acme/none/${suffix}`, { authorization: basic(key) })
      const other = await region.call('GET', `/v2/rival/app/${suffix}`, { authorization: basic(key) })
      assert.equal(visible(own), visible(other), suffix)
    }
  })

  it('show the world what they made public', async () => {
    await region.createKey('open')
    const image = await pushImage(region, 'open/public/app', 'v1')
    await pushImage(region, 'open/private', 'v1')
    for (const authorization of [null, await token('repository:open/public/app:pull', null), basic(key)]) {
      const got = await region.call('GET', '/v2/open/public/app/manifests/v1', { authorization })
      assert.equal(got.status, 200)
      assert.match(String(got.headers['cache-control']), /^public/)
      const blob = await region.call('GET', `/v2/open/public/app/blobs/${image.layer.digest}`, {
        authorization,
      })
      assert.equal(blob.status, 200)
      const closed = await region.call('GET', '/v2/open/private/manifests/v1', { authorization })
      assert.equal(closed.status, authorization === basic(key) ? 404 : 401)
      const push = await region.call('POST', '/v2/open/public/app/blobs/uploads/', { authorization })
      assert.equal(push.status, authorization === basic(key) ? 404 : 401)
    }
  })
})

describe('keys', () => {
  it('do what their actions and globs allow, and hear why not', async () => {
    await region.createKey('acme')
    await pushImage(region, 'acme/team-a/x', 'v1')
    const reader = basic(await region.createKey('acme', { actions: ['pull'], repositories: ['team-a/*'] }))
    const calls: [method: string, path: string, expected: number][] = [
      ['GET', '/v2/acme/team-a/x/manifests/v1', 200],
      ['GET', '/v2/acme/team-b/x/manifests/v1', 403],
      ['POST', '/v2/acme/team-a/x/blobs/uploads/', 403],
      ['DELETE', '/v2/acme/team-a/x/manifests/v1', 403],
      ['GET', '/v2/acme/tags/list', 404],
    ]
    for (const [method, path, expected] of calls) {
      const answer = await region.call(method, path, { authorization: reader })
      assert.equal(answer.status, expected, `${method} ${path}`)
      if (expected === 403) assert.equal(answer.code(), 'DENIED')
    }
  })

  it('of a deleted project are nothing any more', async () => {
    await region.createProject('gone')
    const authorization = basic(await region.createKey('gone'))
    await pushBlob(region, 'gone/app', Buffer.from('x'), { authorization })
    await region.updateProject('gone', { deletedAt: region.runtime.clock.nowMs() })
    const answer = await region.call('GET', '/v2/gone/app/tags/list', { authorization })
    assert.ok([401, 404].includes(answer.status), `status ${answer.status}`)
    const other = await region.call('GET', '/v2/gone/app/tags/list', { authorization: basic(key) })
    assert.equal(other.code(), 'NAME_UNKNOWN')
  })
})

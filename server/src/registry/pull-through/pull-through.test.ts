// @needs docker-registry, htpasswd
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, afterEach, before, test } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import { DOCKER_SCHEMA1_SIGNED_MANIFEST } from '@berth/oci/media-type'
import { loadUsage } from '../../metastore/queries/usage.ts'
import { imageIndex, imageManifest, putManifest } from '../test-content.ts'
import { basic, callPort, openTestRegion, type TestRegion } from '../test-region.ts'
import { TAG_FRESH_MS } from './limits.ts'
import { startTestUpstream, type TestUpstream } from './test-upstream.ts'

let upstream: TestUpstream
let region: TestRegion
let registryId = ''

before(async () => {
  upstream = await startTestUpstream()
  region = await openTestRegion({ outgoingAllow: `http://${upstream.host}` })
  await region.createProject('acme', { publicRepositories: ['**'] })
  await region.createKey('acme')
  registryId = await region.connectRegistry('acme', {
    slug: 'up',
    host: upstream.host,
    login: upstream.login,
  })
})
after(async () => {
  await region?.close()
  await upstream?.close()
})
afterEach(() => upstream.setFault(null))

function get(path: string, headers: Record<string, string> = {}) {
  return region.call('GET', `/v2/acme/${path}`, { headers })
}

/** A registry of its own for a test that makes the other side fail, so that what is remembered hurts no other test. */
async function connect(slug: string, id?: string): Promise<string> {
  const login = upstream.login
  return region.connectRegistry('acme', {
    slug,
    host: upstream.host,
    login,
    ...(id === undefined ? {} : { id }),
  })
}

test('an image comes by tag and digest, with its exact bytes, and then from the copy', async () => {
  const image = await upstream.pushImage('team/app', '1')
  const byTag = await get('up/team/app/manifests/1')
  assert.equal(byTag.status, 200, byTag.body.toString())
  assert.deepEqual(byTag.body, image.manifest.content)
  assert.equal(byTag.headers['docker-content-digest'], image.manifest.digest)
  assert.equal(byTag.headers['content-type'], image.manifest.mediaType)
  assert.match(byTag.headers['cache-control'] ?? '', /^private/)
  for (const blob of [image.config, ...image.layers]) {
    const answer = await get(`up/team/app/blobs/${blob.digest}`)
    assert.equal(answer.status, 200)
    assert.ok(answer.body.equals(blob.content))
    assert.equal(answer.headers['content-length'], String(blob.content.byteLength))
  }
  upstream.takeRequests()
  assert.equal((await get('up/team/app/manifests/1')).status, 200)
  assert.equal((await get(`up/team/app/manifests/${image.manifest.digest}`)).status, 200)
  for (const blob of [image.config, ...image.layers]) {
    assert.ok((await get(`up/team/app/blobs/${blob.digest}`)).body.equals(blob.content))
  }
  assert.deepEqual(upstream.takeRequests(), [])
  const part = await get(`up/team/app/blobs/${image.layers[1]?.digest}`, { Range: 'bytes=5-9' })
  assert.equal(part.status, 206)
  assert.ok(part.body.equals(image.layers[1]?.content.subarray(5, 10) ?? Buffer.alloc(0)))
})

test('a range of a blob that is not here yet is served once it is', async () => {
  const blob = await upstream.pushBlob('team/ranges', randomBytes(200_000))
  const part = await get(`up/team/ranges/blobs/${blob.digest}`, { Range: 'bytes=100000-100009' })
  assert.equal(part.status, 206)
  assert.ok(part.body.equals(blob.content.subarray(100_000, 100_010)))
})

test('a tag that moved is noticed after a minute, with a HEAD first', async () => {
  await upstream.pushImage('team/moves', 'latest')
  await get('up/team/moves/manifests/latest')
  const second = await upstream.pushImage('team/moves', 'latest')
  upstream.takeRequests()
  assert.notEqual(
    (await get('up/team/moves/manifests/latest')).headers['docker-content-digest'],
    second.manifest.digest,
  )
  assert.deepEqual(upstream.takeRequests(), [])
  region.advance(TAG_FRESH_MS)
  const moved = await get('up/team/moves/manifests/latest')
  assert.equal(moved.headers['docker-content-digest'], second.manifest.digest)
  assert.equal(moved.headers['warning'], undefined)
  assert.deepEqual(upstream.takeRequests(), [
    'HEAD /v2/team/moves/manifests/latest',
    'GET /v2/team/moves/manifests/latest',
  ])
  region.advance(TAG_FRESH_MS)
  await get('up/team/moves/manifests/latest')
  assert.deepEqual(upstream.takeRequests(), ['HEAD /v2/team/moves/manifests/latest'])
})

test('of many at once one asks, for a manifest and for a blob', async () => {
  const image = await upstream.pushImage('team/crowd', '1', 3_000_000)
  upstream.takeRequests()
  const layer = image.layers[1]
  assert.ok(layer)
  const manifests = await Promise.all(Array.from({ length: 8 }, () => get('up/team/crowd/manifests/1')))
  assert.ok(manifests.every(({ status }) => status === 200))
  assert.equal(upstream.takeRequests().filter((line) => line.includes('/manifests/')).length, 1)
  const blobs = await Promise.all(Array.from({ length: 8 }, () => get(`up/team/crowd/blobs/${layer.digest}`)))
  assert.ok(blobs.every(({ body }) => body.equals(layer.content)))
  const fetched = upstream
    .takeRequests()
    .filter((line) => line.startsWith('GET') && line.includes(layer.digest))
  assert.equal(fetched.length, 1)
})

test('an index fetches what it lists on demand, and missing parts are no damage', async () => {
  const one = await upstream.pushImage('team/multi', 'one')
  const two = await upstream.pushImage('team/multi', 'two')
  const index = imageIndex([one.manifest, two.manifest])
  await upstream.pushManifest('team/multi', 'all', index)
  assert.equal((await get('up/team/multi/manifests/all')).status, 200)
  upstream.takeRequests()
  assert.ok((await get(`up/team/multi/manifests/${two.manifest.digest}`)).body.equals(two.manifest.content))
  assert.deepEqual(upstream.takeRequests(), [`GET /v2/team/multi/manifests/${two.manifest.digest}`])
})

test('pushes, mounts and deletions are refused, and what the key may not pull it does not', async () => {
  const digest = digestOf('sha256', Buffer.from('x'))
  for (const [method, path] of [
    ['POST', 'up/team/app/blobs/uploads/'],
    ['POST', `up/new/one/blobs/uploads/?mount=${digest}&from=acme/up/team/app`],
    ['PUT', 'up/team/app/manifests/1'],
    ['DELETE', 'up/team/app/manifests/1'],
    ['DELETE', `up/team/app/blobs/${digest}`],
  ] as const) {
    const answer = await region.call(method, `/v2/acme/${path}`, { body: '' })
    assert.equal(answer.status, 403, `${method} ${path}`)
    assert.equal(answer.code(), 'DENIED')
    assert.match(answer.json().errors[0].message, /reserved for what is pulled through/)
  }
  const narrow = await region.createKey('acme', { actions: ['pull'], repositories: ['web/**'] })
  const denied = await region.call('GET', '/v2/acme/up/team/app/manifests/1', {
    authorization: basic(narrow),
  })
  assert.equal(denied.status, 403)
  await region.createKey('acme')
})

test('a public pattern never makes what is pulled through public', async () => {
  const anonymous = await region.call('GET', '/v2/acme/up/team/app/manifests/1', { authorization: null })
  assert.equal(anonymous.status, 401)
  const token = await callPort(region.port, 'GET', '/auth/token?scope=repository:acme/up/team/app:pull')
  const { token: text } = token.json()
  const bearer = await region.call('GET', '/v2/acme/up/team/app/manifests/1', {
    authorization: `Bearer ${text}`,
  })
  assert.equal(bearer.status, 401)
})

test('another project’s connected registry does not exist', async () => {
  await region.createProject('other')
  const key = await region.createKey('other')
  const mine = await region.call('GET', '/v2/other/up/team/app/manifests/1', { authorization: basic(key) })
  const theirs = await region.call('GET', '/v2/acme/up/team/app/manifests/1', { authorization: basic(key) })
  const nobodys = await region.call('GET', '/v2/nobody/up/team/app/manifests/1', {
    authorization: basic(key),
  })
  for (const answer of [mine, theirs, nobodys]) {
    assert.equal(answer.status, 404)
    assert.deepEqual(answer.json(), nobodys.json())
  }
  await region.createKey('acme')
})

test('when the registry fails its copies are served, with a Warning; what is not here says why', async () => {
  const id = await connect('flaky')
  await upstream.pushImage('team/flaky', '1')
  assert.equal((await get('flaky/team/flaky/manifests/1')).status, 200)
  for (const [status, reason] of [
    [500, /status 500/],
    [429, /too many requests/],
  ] as const) {
    await connect('flaky', id)
    region.advance(TAG_FRESH_MS)
    upstream.setFault((_, res) => {
      res.writeHead(status, { 'Retry-After': '7' }).end()
      return true
    })
    const copy = await get('flaky/team/flaky/manifests/1')
    assert.equal(copy.status, 200, copy.body.toString())
    assert.match(String(copy.headers['warning']), reason)
    assert.match(String(copy.headers['warning']), /^299 - "[\x20-\x7e]+ago"$/)
    const missing = await get('flaky/team/flaky/manifests/2')
    assert.equal(missing.status, status === 429 ? 429 : 503)
    assert.equal(missing.headers['retry-after'], '7')
    assert.match(missing.json().errors[0].message, reason)
    upstream.setFault(null)
  }
})

test('a registry that is gone: copies are served, tags are those of the copies', async () => {
  await region.connectRegistry('acme', { slug: 'gone', host: '127.0.0.1:5999', login: upstream.login })
  const missing = await get('gone/team/app/manifests/1')
  assert.equal(missing.status, 502)
  assert.match(missing.json().errors[0].message, /not at a public address/)
  await connect('down')
  const image = await upstream.pushImage('team/down', '1')
  await get('down/team/down/manifests/1')
  await get(`down/team/down/blobs/${image.config.digest}`)
  region.advance(3 * 3600_000)
  upstream.setFault((req) => {
    req.destroy()
    return true
  })
  const copy = await get('down/team/down/manifests/1')
  assert.equal(copy.status, 200)
  assert.match(String(copy.headers['warning']), /last compared with it 3 hours ago/)
  assert.equal((await get(`down/team/down/blobs/${image.config.digest}`)).status, 200)
  const tags = await get('down/team/down/tags/list')
  assert.deepEqual(tags.json().tags, ['1'])
  assert.match(String(tags.headers['warning']), /copies/)
  const layer = await get(`down/team/down/blobs/${image.layers[0]?.digest}`)
  assert.equal(layer.status, 503)
})

test('a wrong password is told, once in a while asked for, and never serves a copy by tag', async () => {
  const id = await connect('refused')
  await upstream.pushImage('team/refused', '1')
  await get('refused/team/refused/manifests/1')
  const login = { username: upstream.login.username, password: 'rotated-away' }
  await region.connectRegistry('acme', { id, slug: 'refused', host: upstream.host, login })
  region.advance(TAG_FRESH_MS)
  const answer = await get('refused/team/refused/manifests/1')
  assert.equal(answer.status, 403)
  assert.match(
    answer.json().errors[0].message,
    /refused the stored login of the registry "the refused"; ask an admin/,
  )
  assert.equal(region.logged().includes('rotated-away'), false)
  await region.connectRegistry('acme', { id, slug: 'refused', host: upstream.host, login: upstream.login })
  assert.equal((await get('refused/team/refused/manifests/1')).status, 200)
})

test('what the registry does not have is 404, and a tag that it dropped is dropped here', async () => {
  assert.equal((await get('up/team/none/manifests/1')).code(), 'MANIFEST_UNKNOWN')
  assert.equal(
    (await get(`up/team/app/blobs/${digestOf('sha256', Buffer.from('none'))}`)).code(),
    'BLOB_UNKNOWN',
  )
  assert.equal((await get('up/team/none/tags/list')).code(), 'NAME_UNKNOWN')
  await connect('drops')
  const image = await upstream.pushImage('team/drops', 'old')
  assert.equal((await get('drops/team/drops/manifests/old')).status, 200)
  region.advance(TAG_FRESH_MS)
  upstream.setFault((req, res) => {
    if (!req.url?.endsWith('/manifests/old')) return false
    res.writeHead(404).end()
    return true
  })
  assert.equal((await get('drops/team/drops/manifests/old')).status, 404)
  assert.equal((await get(`drops/team/drops/manifests/${image.manifest.digest}`)).status, 200)
})

test('wrong bytes are never complete and never kept', async () => {
  const blob = await upstream.pushBlob('team/corrupt', randomBytes(500_000))
  const path = `/v2/team/corrupt/blobs/${blob.digest}`
  const { byteLength } = blob.content
  const changes: ((body: Buffer) => Buffer)[] = [
    (body) =>
      Buffer.concat([body.subarray(0, byteLength - 1), Buffer.from([body[byteLength - 1] === 0 ? 1 : 0])]),
    (body) => Buffer.concat([Buffer.from([body[0] === 0 ? 1 : 0]), body.subarray(1)]),
    (body) => body.subarray(0, byteLength / 2),
  ]
  for (const change of changes) {
    upstream.rewrite(path, change)
    await assert.rejects(get(`up/team/corrupt/blobs/${blob.digest}`), 'the connection is cut')
  }
  upstream.rewrite(path, (body) => body)
  const right = await get(`up/team/corrupt/blobs/${blob.digest}`)
  assert.ok(right.body.equals(blob.content))
})

test('a manifest with another digest, or of schema 1, is refused', async () => {
  const image = await upstream.pushImage('team/odd', '1')
  const path = `/v2/team/odd/manifests/${image.manifest.digest}`
  upstream.rewrite(path, (body) => Buffer.concat([Buffer.from(' '), body.subarray(1)]))
  const wrong = await get(`up/team/odd/manifests/${image.manifest.digest}`)
  assert.equal(wrong.status, 502)
  assert.match(wrong.json().errors[0].message, /digest/)
  upstream.setFault((req, res) => {
    if (!req.url?.endsWith('/manifests/ancient')) return false
    res.writeHead(200, { 'Content-Type': DOCKER_SCHEMA1_SIGNED_MANIFEST }).end('{"schemaVersion":1}')
    return true
  })
  const ancient = await get('up/team/odd/manifests/ancient')
  assert.equal(ancient.status, 415)
  assert.match(ancient.json().errors[0].message, /schema 1/)
})

test('copies count against the quota; a full one passes content on without keeping it', async () => {
  const id = await region.createProject('small', { quotaBytes: 150_000 })
  await region.createKey('small')
  await region.connectRegistry('small', { slug: 'up', host: upstream.host, login: upstream.login })
  const image = await upstream.pushImage('team/quota', '1', 100_000)
  const [first, layer] = image.layers
  assert.ok(first && layer)
  await region.call('GET', '/v2/small/up/team/quota/manifests/1')
  await region.call('GET', `/v2/small/up/team/quota/blobs/${layer.digest}`)
  const { usedBytes } = (await loadUsage(region.runtime.db.reader, id)) ?? { usedBytes: 0 }
  assert.equal(usedBytes, image.manifest.content.byteLength + 100_000)
  const large = await upstream.pushBlob('team/quota', randomBytes(90_000))
  for (let i = 0; i < 2; i++) {
    const answer = await region.call('GET', `/v2/small/up/team/quota/blobs/${large.digest}`)
    assert.ok(answer.body.equals(large.content))
  }
  assert.equal((await loadUsage(region.runtime.db.reader, id))?.usedBytes, usedBytes)
  await region.createKey('acme')
})

test('a blob of unknown length is served from its copy, and never kept beyond the quota', async () => {
  const blob = await upstream.pushBlob('team/chunked', randomBytes(90_000))
  upstream.setFault((req, res) => {
    if (!req.url?.endsWith(blob.digest)) return false
    res.write(blob.content.subarray(0, 1000))
    res.end(blob.content.subarray(1000))
    return true
  })
  assert.ok((await get(`up/team/chunked/blobs/${blob.digest}`)).body.equals(blob.content))
  const id = await region.createProject('tiny', { quotaBytes: 50_000 })
  await region.createKey('tiny')
  await region.connectRegistry('tiny', { slug: 'up', host: upstream.host, login: upstream.login })
  assert.equal((await region.call('GET', `/v2/tiny/up/team/chunked/blobs/${blob.digest}`)).status, 503)
  assert.equal((await loadUsage(region.runtime.db.reader, id))?.usedBytes, 0)
  await region.createKey('acme')
})

test('what was pushed below the slug before stays the project’s own', async () => {
  const config = await upstream.pushBlob('x/y')
  const own = imageManifest(config, [])
  await region.createProject('early')
  await region.createKey('early')
  await region.call('POST', `/v2/early/later/app/blobs/uploads/?digest=${config.digest}`, {
    body: config.content,
  })
  assert.equal((await putManifest(region, 'early/later/app', '1', own)).status, 201)
  await region.connectRegistry('early', { slug: 'later', host: upstream.host, login: upstream.login })
  upstream.takeRequests()
  assert.ok((await region.call('GET', '/v2/early/later/app/manifests/1')).body.equals(own.content))
  assert.equal((await putManifest(region, 'early/later/app', '2', own)).status, 201)
  assert.deepEqual(upstream.takeRequests(), [])
  await region.createKey('acme')
})

test('the stored password reached the registry’s own host and nothing of the region’s files or log', async () => {
  const expected = `Basic ${Buffer.from(`${upstream.login.username}:${upstream.login.password}`).toString('base64')}`
  assert.ok(upstream.authorizations.has(expected))
  assert.equal(region.logged().includes(upstream.login.password), false)
  assert.equal(region.logged().includes(expected), false)
})

test('Docker Hub’s short names are those below library/, and are kept once', async () => {
  const hub = await openTestRegion({
    outgoingAllow: `http://${upstream.host}`,
    upstreamEndpoints: new Map([['docker.io', `http://${upstream.host}`]]),
  })
  try {
    await hub.createProject('acme')
    await hub.createKey('acme')
    await hub.connectRegistry('acme', {
      slug: 'hub',
      host: 'docker.io',
      provider: 'docker_hub',
      login: upstream.login,
    })
    const image = await upstream.pushImage('library/tiny', '1')
    const short = await hub.call('GET', '/v2/acme/hub/tiny/manifests/1')
    assert.equal(short.status, 200, short.body.toString())
    upstream.takeRequests()
    const long = await hub.call('GET', '/v2/acme/hub/library/tiny/manifests/1')
    assert.equal(long.headers['docker-content-digest'], image.manifest.digest)
    assert.deepEqual(upstream.takeRequests(), [])
  } finally {
    await hub.close()
  }
})

test('a registry that is disconnected is gone at once', async () => {
  await region.disconnectRegistry(registryId)
  assert.equal((await get('up/team/app/manifests/1')).code(), 'NAME_UNKNOWN')
  const push = await region.call('POST', '/v2/acme/up/team/app/blobs/uploads/', { body: '' })
  assert.equal(push.status, 503)
  const anonymous = await region.call('GET', '/v2/acme/up/team/app/manifests/1', { authorization: null })
  assert.equal(anonymous.status, 401)
})

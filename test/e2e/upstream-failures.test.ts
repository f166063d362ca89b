// @tier full
// @needs docker-registry, htpasswd, openssl
// @stacks sqlite-fs
/* What goes wrong with other registries: each case says why, and the stored secret reached only its own host. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { parseDigest } from '@berth/oci/digest'
import type { Outgoing } from '../../server/src/outgoing/outgoing.ts'
import { UpstreamError } from '../../server/src/upstream/upstream-error.ts'
import { type Authority, makeAuthority } from '../support/certificate.ts'
import { temporaryFolder } from '../support/process.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/servers/docker-registry.ts'
import { forwardTo, type Recorder, type Responder, startRecorder } from '../support/upstream/recorder.ts'
import {
  assertFailed,
  assertSecretReached,
  clientFor,
  createGuard,
  IMAGE_TYPE,
  type Pushed,
  pushImage,
  SECRET,
  USER,
} from '../support/upstream/stand.ts'
import { startTokenServer, type TokenServer } from '../support/upstream/token-server.ts'

const folder = temporaryFolder('upstream-failures')
const cleanups: AsyncDisposable[] = []
let authority: Authority
let outgoing: Outgoing
let basicRegistry: DockerRegistry
let pushed: Pushed

before(async () => {
  authority = await makeAuthority(folder.path)
  outgoing = createGuard(authority.caFile)
  basicRegistry = await startDockerRegistry({ credentials: { username: USER, password: SECRET } })
  const basic = `Basic ${Buffer.from(`${USER}:${SECRET}`).toString('base64')}`
  pushed = await pushImage(basicRegistry.url, 'team/app', 'v1', basic)
})
after(async () => {
  for (const cleanup of cleanups) await cleanup[Symbol.asyncDispose]()
  await basicRegistry.stop()
  folder.remove()
})

/** A listener with a good certificate, closed at the end. */
async function listen(responder: Responder, tls: 'good' | 'none' | 'expired' | 'other name' = 'good') {
  const certificates = {
    good: () => authority.issue(),
    none: () => null,
    expired: () => authority.issue({ expired: true }),
    'other name': () => authority.issue({ names: 'DNS:registry.other.example' }),
  }
  const recorder = await startRecorder(await certificates[tls](), responder)
  cleanups.push(recorder)
  return recorder
}

const nothing: Responder = (_request, response) => void response.end()

function challenge(realm: string): Responder {
  return (_request, response) => {
    const header = `Bearer realm="${realm}",service="test-registry",scope="repository:team/app:pull"`
    response.writeHead(401, { 'www-authenticate': header, 'content-type': 'application/json' }).end('{}')
  }
}

function redirect(location: string, status = 307): Responder {
  return (_request, response: ServerResponse) => void response.writeHead(status, { location }).end()
}

/** Signed in with Basic first: what a registry does to a client that already knows it. */
async function knownClient(front: Recorder) {
  front.respondWith(forwardTo(basicRegistry.url))
  const client = clientFor({ outgoing, host: front.host })
  assert.equal((await client.test()).ok, true)
  front.received.length = 0
  return client
}

test('wrong password', async () => {
  const front = await listen(forwardTo(basicRegistry.url))
  const credential = { username: 'somebody', password: SECRET }
  assertFailed(await clientFor({ outgoing, host: front.host, credential }).test(), 'credentials', /refuses/)
  assertSecretReached([front], [front])
})

test('certificates that are expired, for another name, or of an unknown authority: named, nothing sent', async () => {
  const expired = await listen(nothing, 'expired')
  const other = await listen(nothing, 'other name')
  const good = await listen(nothing)
  assertFailed(await clientFor({ outgoing, host: expired.host }).test(), 'tls', /has expired/)
  assertFailed(await clientFor({ outgoing, host: other.host }).test(), 'tls', /registry\.other\.example/)
  const strict = createGuard(null)
  const unknown = await clientFor({ outgoing: strict, host: good.host }).test()
  assertFailed(unknown, 'tls', /signed by nobody/)
  assert.match(unknown.nextStep ?? '', /BERTH_OUTGOING_CA_FILE/)
  for (const { received } of [expired, other, good]) assert.equal(received.length, 0)
})

test('names that do not exist, addresses that are refused, and nobody there', async () => {
  const inner = await listen(nothing)
  assertFailed(await clientFor({ outgoing, host: 'registry.berth.invalid' }).test(), 'dns', /berth\.invalid/)
  const closed = await closedPort()
  assertFailed(
    await clientFor({ outgoing, host: `127.0.0.1:${closed}` }).test(),
    'connect',
    /accepts connections/,
  )
  const rebound = createGuard(authority.caFile, '', { resolve: async () => ['10.0.0.1', '127.0.0.1'] })
  const report = await clientFor({ outgoing: rebound, host: `registry.example:${inner.port}` }).test()
  assertFailed(report, 'refused_address', /not at a public address/)
  assert.match(report.nextStep ?? '', /BERTH_OUTGOING_ALLOW/)
  assert.doesNotMatch(report.message, /10\.0\.0\.1/)
  assertSecretReached([inner], [])
})

test('a server that never answers', async () => {
  const silent = await listen(() => new Promise(() => {}))
  const impatient: Outgoing = {
    ...outgoing,
    request: (url, request) => outgoing.request(url, { ...request, timeoutMs: 200 }),
  }
  assertFailed(await clientFor({ outgoing: impatient, host: silent.host }).test(), 'timeout')
  assertSecretReached([silent], [])
})

test('something that is not a registry', async () => {
  const site = await listen((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<h1>Welcome</h1>')
  })
  assertFailed(await clientFor({ outgoing, host: site.host }).test(), 'not_a_registry')
  site.respondWith((_request, response) => void response.writeHead(404).end())
  assertFailed(await clientFor({ outgoing, host: site.host }).test(), 'not_a_registry', /404/)
  for (const header of [
    'Negotiate',
    'Digest realm="x", nonce="y"',
    'Bearer realm="x',
    'Bearer realm="x",realm="y"',
  ]) {
    site.respondWith(
      (_request, response) => void response.writeHead(401, { 'www-authenticate': header }).end(),
    )
    assertFailed(await clientFor({ outgoing, host: site.host }).test(), 'not_a_registry')
  }
  assertSecretReached([site], [])
})

test('429 says when to try again', async () => {
  const front = await listen(nothing)
  const busy: Responder = (_request, response) => void response.writeHead(429, { 'retry-after': '120' }).end()
  front.respondWith(busy)
  const atOnce = await clientFor({ outgoing, host: front.host }).test()
  assertFailed(atOnce, 'rate_limit', /120 s/)
  assert.equal(atOnce.retryAfterSeconds, 120)
  assertSecretReached([front], [])
  const client = await knownClient(front)
  front.respondWith(busy)
  await assert.rejects(client.manifest('team/app', 'v1', [IMAGE_TYPE]), (error) => {
    assert.ok(error instanceof UpstreamError)
    assert.deepEqual([error.reason, error.status, error.retryAfterSeconds], ['rate_limit', 429, 120])
    return true
  })
  const service = await listen(busy)
  front.respondWith(challenge(`${service.origin}/token`))
  assertFailed(await clientFor({ outgoing, host: front.host }).test(), 'rate_limit', /token service/)
  assertSecretReached([front, service], [front, service])
})

test('a registry that sends to another host is named, and the secret does not follow', async () => {
  const elsewhere = await listen(challenge('https://127.0.0.1:1/token'))
  const front = await listen(redirect(`${elsewhere.origin}/v2/`))
  const report = await clientFor({ outgoing, host: front.host }).test()
  assertFailed(report, 'redirect', new RegExp(elsewhere.host))
  assertSecretReached([front, elsewhere], [])
})

test('blobs and manifests that are redirected are read without the secret, whatever the other host asks for', async () => {
  const elsewhere = await listen((_request, response) => {
    response.writeHead(200, { 'content-type': IMAGE_TYPE }).end(pushed.manifest)
  })
  const front = await listen(nothing)
  for (const status of [301, 302, 303, 307, 308]) {
    const client = await knownClient(front)
    front.respondWith(redirect(`${elsewhere.origin}/somewhere`, status))
    const manifest = await client.manifest('team/app', 'v1', [IMAGE_TYPE])
    assert.ok(manifest !== null && manifest !== 'not_modified')
    assert.equal(manifest.digest, pushed.digest)
    const digest = parseDigest(pushed.layerDigest)
    assert.ok(digest !== null)
    const blob = await client.blob('team/app', digest, { maxBytes: 1_000_000 })
    blob?.body.destroy()
    assertSecretReached([front, elsewhere], [front])
  }
  const tokens = await listen(nothing)
  for (const header of ['Basic realm="x"', `Bearer realm="${tokens.origin}/token"`]) {
    const client = await knownClient(front)
    front.respondWith(redirect(`${elsewhere.origin}/somewhere`))
    elsewhere.respondWith(
      (_request, response) => void response.writeHead(401, { 'www-authenticate': header }).end(),
    )
    await assert.rejects(client.manifest('team/app', 'v1', [IMAGE_TYPE]), UpstreamError)
    assertSecretReached([front, elsewhere, tokens], [front])
  }
  assert.equal(tokens.received.length, 0)
})

test('a redirect back to the registry itself does not bring the secret back', async () => {
  const front = await listen(nothing)
  const elsewhere = await listen(redirect(`${front.origin}/v2/team/app/manifests/v1`))
  const client = await knownClient(front)
  front.respondWith((request, response) =>
    request.headers.authorization === undefined
      ? void response.writeHead(200, { 'content-type': IMAGE_TYPE }).end(pushed.manifest)
      : redirect(`${elsewhere.origin}/x`)(request, response),
  )
  await client.manifest('team/app', 'v1', [IMAGE_TYPE])
  assert.deepEqual(
    front.received.map(({ headers }) => headers.authorization !== undefined),
    [true, false],
  )
  assertSecretReached([front, elsewhere], [front])
})

test('a realm on another host: over TLS for a custom registry only, and never without TLS', async () => {
  const service = await startService()
  const plainService = await listen((request, response) => service.respond(request, response), 'none')
  const plainHosts = `http://${plainService.host}`
  const front = await listen(challenge(`${plainService.origin}/token`))
  const open = createGuard(authority.caFile, plainHosts)
  assertFailed(await clientFor({ outgoing: open, host: front.host }).test(), 'realm', /without TLS/)

  const plainFront = await listen(challenge(`${service.recorder.origin}/token`), 'none')
  const plainGuard = createGuard(authority.caFile, `${plainHosts},http://${plainFront.host}`)
  const client = clientFor({ outgoing: plainGuard, host: plainFront.host })
  assertFailed(await client.test(), 'realm', /no TLS itself/)
  plainFront.respondWith(challenge(`${plainService.origin}/token`))
  assertFailed(await clientFor({ outgoing: plainGuard, host: plainFront.host }).test(), 'realm')

  for (const provider of ['docker_hub', 'ghcr'] as const) {
    const host = provider === 'ghcr' ? 'ghcr.io' : 'docker.io'
    const known = await listen(challenge(`${service.recorder.origin}/token`))
    const endpoints = new Map([[host, known.origin]])
    const report = await clientFor({ outgoing, provider, host, endpoints }).test()
    assertFailed(report, 'realm', /not where it issues tokens/)
    assertSecretReached([known], [])
  }
  assertSecretReached([front, plainFront, plainService, service.recorder], [])
  assert.equal(service.recorder.received.length + plainService.received.length, 0)
})

test('a token service whose certificate is bad, or that sends elsewhere, gets or passes on nothing', async () => {
  const expired = await listen(nothing, 'expired')
  const front = await listen(challenge(`${expired.origin}/token`))
  assertFailed(await clientFor({ outgoing, host: front.host }).test(), 'tls', new RegExp(expired.host))
  const elsewhere = await listen(nothing)
  const service = await listen(redirect(`${elsewhere.origin}/token`))
  front.respondWith(challenge(`${service.origin}/token`))
  assertFailed(await clientFor({ outgoing, host: front.host }).test(), 'redirect', /must not go/)
  assertSecretReached([front, expired, elsewhere, service], [service])
  const internal = createGuard(authority.caFile, '', {})
  front.respondWith(challenge('https://169.254.169.254/token'))
  assertFailed(await clientFor({ outgoing: internal, host: front.host }).test(), 'refused_address')
})

test('a token that could end a header, and answers that are no JSON', async () => {
  const service = await listen(nothing)
  const front = await listen(challenge(`${service.origin}/token`))
  const answers = [
    '{"token":"a\\r\\nx: y"}',
    '{"token":""}',
    '{"token":5}',
    '[]',
    'null',
    '{}',
    `{"token":"${'a'.repeat(30_000)}"}`,
    '<html>',
  ]
  for (const text of answers) {
    service.respondWith((_request, response) => void response.end(text))
    const report = await clientFor({ outgoing, host: front.host }).test()
    assert.ok(report.reason === 'bad_answer' || report.reason === 'not_a_registry', text)
  }
  assert.ok(front.received.every(({ headers }) => headers.authorization === undefined))
})

test('a manifest or a blob that is not what was asked for', async () => {
  const front = await listen(nothing)
  const client = await knownClient(front)
  const send = (type: string, more: Record<string, string> = {}): Responder => {
    return (_request, response) =>
      void response.writeHead(200, { 'content-type': type, ...more }).end('{"other":1}')
  }
  const bad = (error: unknown) => error instanceof UpstreamError && error.reason === 'bad_answer'
  front.respondWith(send(IMAGE_TYPE))
  await assert.rejects(client.manifest('team/app', pushed.digest, [IMAGE_TYPE]), bad)
  front.respondWith(send(IMAGE_TYPE, { 'docker-content-digest': pushed.digest }))
  await assert.rejects(client.manifest('team/app', 'v1', [IMAGE_TYPE]), bad)
  front.respondWith(send('not a type'))
  await assert.rejects(client.manifest('team/app', 'v1', [IMAGE_TYPE]), bad)
  front.respondWith(send(IMAGE_TYPE, { 'content-encoding': 'gzip' }))
  await assert.rejects(client.manifest('team/app', 'v1', [IMAGE_TYPE]), bad)
  front.respondWith((_request, response) => {
    response.writeHead(200, { 'content-type': IMAGE_TYPE }).end(Buffer.alloc(5 * 1024 * 1024))
  })
  await assert.rejects(client.manifest('team/app', 'v1', [IMAGE_TYPE]), bad)
  front.respondWith((_request, response) => void response.writeHead(503, { 'retry-after': '7' }).end())
  await assert.rejects(
    client.manifest('team/app', 'v1', [IMAGE_TYPE]),
    (error) =>
      error instanceof UpstreamError && error.reason === 'unavailable' && error.retryAfterSeconds === 7,
  )
})

test('a Link leads to the next page of the same list only', async () => {
  const front = await listen(nothing)
  const client = await knownClient(front)
  const links: [string, string | null][] = [
    ['</v2/team/app/tags/list?n=1&last=v1>; rel="next"', 'n=1&last=v1'],
    ['</v2/team/app/tags/list?next_page=abc>; rel="next"', 'next_page=abc'],
    [`<https://evil.example/v2/team/app/tags/list?last=v1>; rel="next"`, 'last=v1'],
    ['</v2/other/tags/list?last=v1>; rel="next"', null],
    ['</v2/team/app/tags/list?last=v1>; rel="prev"', null],
    [`</v2/team/app/tags/list?last=${'a'.repeat(1_500)}>; rel="next"`, null],
    ['nonsense', null],
  ]
  for (const [link, next] of links) {
    front.respondWith((_request, response) => {
      response.writeHead(200, { link }).end('{"tags":["v1","not a tag","../x",5]}')
    })
    assert.deepEqual(await client.tags('team/app'), { names: ['v1'], next }, link)
  }
  front.received.length = 0
  await client.tags('team/app', { cursor: 'n=1&last=../../x#?y' })
  assert.equal(front.received[0]?.url, '/v2/team/app/tags/list?n=1&last=..%2F..%2Fx%23%3Fy')
})

async function startService(): Promise<TokenServer> {
  const service = await startTokenServer({
    tls: await authority.issue(),
    signer: await authority.issue(),
    accounts: { [USER]: { password: SECRET, pull: ['*'] } },
  })
  cleanups.push(service.recorder)
  return service
}

async function closedPort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

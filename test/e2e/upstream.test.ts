// @needs docker-registry, htpasswd, openssl
// @stacks sqlite-fs
/* Clients of other registries against Debian's docker-registry, with htpasswd and with tokens, behind TLS. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { parseDigest } from '@berth/oci/digest'
import type { Outgoing } from '../../server/src/outgoing/outgoing.ts'
import { UpstreamError } from '../../server/src/upstream/upstream-error.ts'
import type { UpstreamReason } from '../../server/src/upstream/upstream.ts'
import { type Authority, makeAuthority } from '../support/certificate.ts'
import { temporaryFolder } from '../support/process.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/servers/docker-registry.ts'
import { forwardTo, type Recorder, startRecorder } from '../support/upstream/recorder.ts'
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

const folder = temporaryFolder('upstream')
let authority: Authority
let outgoing: Outgoing

before(async () => {
  authority = await makeAuthority(folder.path)
  outgoing = createGuard(authority.caFile)
})
after(() => folder.remove())

async function readAll(body: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function failsWith(reason: UpstreamReason): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof UpstreamError, String(error))
    assert.equal(error.reason, reason, error.message)
    assert.ok(!error.message.includes(SECRET))
    return true
  }
}

describe('a registry with htpasswd', () => {
  let registry: DockerRegistry
  let front: Recorder
  let pushed: Pushed

  before(async () => {
    registry = await startDockerRegistry({ credentials: { username: USER, password: SECRET } })
    const basic = `Basic ${Buffer.from(`${USER}:${SECRET}`).toString('base64')}`
    pushed = await pushImage(registry.url, 'team/app', 'v1', basic)
    await pushImage(registry.url, 'team/app', 'v2', basic)
    await pushImage(registry.url, 'team/other', 'v1', basic)
    front = await startRecorder(await authority.issue(), forwardTo(registry.url))
  })
  after(async () => {
    await front[Symbol.asyncDispose]()
    await registry.stop()
  })

  test('everything is read from it, verified', async () => {
    const client = clientFor({ outgoing, host: front.host })
    const byTag = await client.manifest('team/app', 'v1', [IMAGE_TYPE])
    assert.ok(byTag !== null && byTag !== 'not_modified')
    assert.deepEqual(Buffer.from(byTag.bytes), pushed.manifest)
    assert.equal(byTag.digest, pushed.digest)
    assert.equal(byTag.mediaType, IMAGE_TYPE)
    const digest = byTag.digest
    const byDigest = await client.manifest('team/app', digest, [IMAGE_TYPE])
    assert.ok(byDigest !== null && byDigest !== 'not_modified')
    const head = await client.headManifest('team/app', 'v1', [IMAGE_TYPE])
    assert.deepEqual(
      [head?.digest, head?.sizeBytes, head?.mediaType],
      [digest, pushed.manifest.length, IMAGE_TYPE],
    )
    assert.equal(
      await client.manifest('team/app', 'v1', [IMAGE_TYPE], { ifNoneMatch: digest }),
      'not_modified',
    )
    const layerDigest = parseDigest(pushed.layerDigest)
    assert.ok(layerDigest !== null)
    const blob = await client.blob('team/app', layerDigest, { maxBytes: 200_000 })
    assert.equal(blob?.sizeBytes, pushed.layer.length)
    assert.deepEqual(await readAll(blob?.body ?? []), pushed.layer)
    const small = client.blob('team/app', layerDigest, { maxBytes: 1_000 })
    await assert.rejects(small, failsWith('bad_answer'))
    assert.deepEqual(await client.tags('team/app'), { names: ['v1', 'v2'], next: null })
    const first = await client.catalog({ limit: 1 })
    assert.deepEqual(first?.names, ['team/app'])
    assert.ok(first?.next)
    assert.deepEqual(await client.catalog({ cursor: first.next }), { names: ['team/other'], next: null })
    assertSecretReached([front], [front])
  })

  test('what is not there is null', async () => {
    const client = clientFor({ outgoing, host: front.host })
    const missing = parseDigest(`sha256:${'0'.repeat(64)}`)
    assert.ok(missing !== null)
    assert.equal(await client.manifest('team/app', 'v9', [IMAGE_TYPE]), null)
    assert.equal(await client.manifest('team/app', missing, [IMAGE_TYPE]), null)
    assert.equal(await client.headManifest('team/none', 'v1', [IMAGE_TYPE]), null)
    assert.equal(await client.blob('team/app', missing, { maxBytes: 10 }), null)
    assert.equal(await client.tags('team/none'), null)
    assert.equal(await client.manifest('../team', 'v1', [IMAGE_TYPE]), null)
  })

  test('the connection test passes, with and without a repository', async () => {
    const client = clientFor({ outgoing, host: front.host })
    const plain = await client.test()
    assert.deepEqual([plain.ok, plain.reason, plain.tokenHost], [true, null, null])
    assert.deepEqual(
      plain.checks.map(({ step, ok }) => [step, ok]),
      [
        ['reach', true],
        ['registry', true],
        ['sign_in', true],
      ],
    )
    for (const repository of ['team/app', 'team/app:v1']) {
      const report = await client.test(repository)
      assert.equal(report.ok, true, JSON.stringify(report))
      assert.equal(report.checks.length, 4)
    }
    assertFailed(await client.test('team/none'), 'rights', /team\/none/)
    assertFailed(await client.test('team/app:v9'), 'rights', /v9/)
  })

  test('a wrong password is asked about once, not again and again, until somebody tests it', async () => {
    const credential = { username: USER, password: 'wrong' }
    const client = clientFor({ outgoing, host: front.host, credential })
    await assert.rejects(client.manifest('team/app', 'v1', [IMAGE_TYPE]), failsWith('credentials'))
    const before = front.received.length
    await assert.rejects(client.tags('team/app'), failsWith('credentials'))
    assert.equal(front.received.length, before)
    assertFailed(await client.test(), 'credentials', /refuses/)
    assert.ok(front.received.length > before)
    assertFailed(
      await clientFor({ outgoing, host: front.host, credential: null }).test(),
      'credentials',
      /none is stored/,
    )
  })

  test('docker-registry with TLS of its own', async () => {
    await using own = await startDockerRegistry({ tls: await authority.issue() })
    const report = await clientFor({ outgoing, host: own.host }).test()
    assert.equal(report.ok, true)
    assert.match(report.message, /did not ask/)
  })

  test('without TLS only where the operator allows exactly that', async () => {
    await using plain = await startRecorder(null, forwardTo(registry.url))
    assertFailed(await clientFor({ outgoing, host: plain.host }).test(), 'tls', /does not speak TLS/)
    assert.equal(plain.hasSeen(SECRET), false)
    const allowed = createGuard(null, `http://${plain.host}`)
    const client = clientFor({ outgoing: allowed, host: plain.host })
    assert.equal((await client.test('team/app')).ok, true)
    assertSecretReached([plain], [plain])
  })
})

describe('a registry with tokens', () => {
  let tokens: TokenServer
  let registry: DockerRegistry
  let front: Recorder
  let pushed: Pushed

  before(async () => {
    tokens = await startTokenServer({
      tls: await authority.issue(),
      signer: await authority.issue(),
      accounts: { [USER]: { password: SECRET, pull: ['team/app', 'library/alpine', 'ping'] } },
      anonymous: ['library/alpine'],
    })
    registry = await startTokenRegistry(`${tokens.recorder.origin}/token`)
    pushed = await push('team/app')
    front = await startRecorder(await authority.issue(), forwardTo(registry.url))
  })
  after(async () => {
    for (const server of [front, tokens.recorder]) await server[Symbol.asyncDispose]()
    await registry.stop()
  })

  function startTokenRegistry(realm: string): Promise<DockerRegistry> {
    const { service, issuer } = tokens
    return startDockerRegistry({ token: { realm, service, issuer, rootCertBundle: authority.caFile } })
  }

  async function push(repository: string, to = registry): Promise<Pushed> {
    const access = [{ type: 'repository', name: repository, actions: ['pull', 'push'] }]
    return pushImage(to.url, repository, 'v1', `Bearer ${await tokens.issue(access)}`)
  }

  test('the password goes to the token service that it names over TLS, and not to the registry', async () => {
    const client = clientFor({ outgoing, host: front.host })
    const manifest = await client.manifest('team/app', 'v1', [IMAGE_TYPE])
    assert.ok(manifest !== null && manifest !== 'not_modified')
    assert.equal(manifest.digest, pushed.digest)
    assertSecretReached([front, tokens.recorder], [tokens.recorder])
    const report = await client.test('team/app:v1')
    assert.deepEqual([report.ok, report.tokenHost], [true, tokens.recorder.host])
  })

  test('one token serves a scope, however much is read at once', async () => {
    const client = clientFor({ outgoing, host: front.host })
    await client.tags('team/app')
    const before = tokens.recorder.received.length
    await Promise.all(Array.from({ length: 8 }, () => client.manifest('team/app', 'v1', [IMAGE_TYPE])))
    assert.equal(tokens.recorder.received.length, before)
    const fresh = clientFor({ outgoing, host: front.host })
    await Promise.all(Array.from({ length: 8 }, () => fresh.tags('team/app')))
    assert.equal(tokens.recorder.received.length, before + 1)
  })

  test('a token that the registry does not take any more is replaced once', async () => {
    await using flaky = await startRecorder(await authority.issue(), forwardTo(registry.url))
    const client = clientFor({ outgoing, host: flaky.host })
    await client.tags('team/app')
    const stale = flaky.received.at(-1)?.headers.authorization
    flaky.respondWith((request, response) =>
      request.headers.authorization === stale
        ? forwardTo(registry.url)({ ...request, headers: {} }, response)
        : forwardTo(registry.url)(request, response),
    )
    const before = tokens.recorder.received.length
    assert.deepEqual((await client.tags('team/app'))?.names, ['v1'])
    assert.equal(tokens.recorder.received.length, before + 1)
  })

  test('right credentials without the right to a repository', async () => {
    await push('team/secret')
    const client = clientFor({ outgoing, host: front.host })
    assertFailed(await client.test('team/secret'), 'rights', /does not let/)
    await assert.rejects(client.manifest('team/secret', 'v1', [IMAGE_TYPE]), failsWith('rights'))
    assert.equal(await client.catalog(), null, 'this account may not list repositories')
  })

  test('a wrong password, and none at all', async () => {
    const credential = { username: USER, password: 'wrong' }
    assertFailed(await clientFor({ outgoing, host: front.host, credential }).test(), 'credentials', /refuses/)
    const anonymous = clientFor({ outgoing, host: front.host, credential: null })
    assert.equal((await anonymous.test()).ok, true)
    assertFailed(await anonymous.test('team/app'), 'rights')
  })

  test('a token service that takes POST only', async () => {
    await using posts = (
      await startTokenServer({
        tls: await authority.issue(),
        signer: await authority.issue(),
        accounts: { [USER]: { password: SECRET, pull: ['*'] } },
        only: 'POST',
      })
    ).recorder
    await using own = await startTokenRegistry(`${posts.origin}/token`)
    await push('team/app', own)
    await using proxy = await startRecorder(await authority.issue(), forwardTo(own.url))
    const client = clientFor({ outgoing, host: proxy.host })
    assert.equal((await client.test('team/app')).ok, true)
    assert.deepEqual((await client.catalog())?.names, ['team/app'])
    assertSecretReached([proxy, posts], [posts])
  })

  test('a token service that refuses one repository does not stand in the way of the others', async () => {
    await using strict = await startRecorder(await authority.issue(), (request, response) =>
      request.url.includes('secret')
        ? void response.writeHead(403).end('{"errors":[{"code":"DENIED"}]}')
        : tokens.respond(request, response),
    )
    await using own = await startTokenRegistry(`${strict.origin}/token`)
    await push('team/app', own)
    await push('library/alpine', own)
    await using proxy = await startRecorder(await authority.issue(), forwardTo(own.url))
    const client = clientFor({ outgoing, host: proxy.host })
    assertFailed(await client.test('team/secret'), 'rights', /gives this account no token/)
    assert.deepEqual((await client.tags('team/app'))?.names, ['v1'])
    const anonymous = clientFor({ outgoing, host: proxy.host, credential: null })
    await assert.rejects(anonymous.tags('team/secret'), failsWith('credentials'))
    assert.deepEqual((await anonymous.tags('library/alpine'))?.names, ['v1'])
  })

  test('of two challenges in headers of their own, the token is preferred to the password', async () => {
    await using both = await startRecorder(await authority.issue(), (request, response) => {
      if (request.headers.authorization !== undefined) return forwardTo(registry.url)(request, response)
      const bearer = `Bearer realm="${tokens.recorder.origin}/token",service="test-registry"`
      response.writeHead(401, { 'www-authenticate': ['Basic realm="x"', bearer] }).end()
    })
    const client = clientFor({ outgoing, host: both.host })
    assert.equal((await client.test('team/app')).ok, true)
    assertSecretReached([both, tokens.recorder], [tokens.recorder])
  })

  test('Docker Hub: bare names, its token service, its pull limit', async () => {
    await using hub = await startTokenRegistry('https://auth.docker.io/token')
    const alpine = await push('library/alpine', hub)
    const limits = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '97;w=21600' }
    await using proxy = await startRecorder(await authority.issue(), forwardTo(hub.url, limits))
    const endpoints = new Map([
      ['docker.io', proxy.origin],
      ['auth.docker.io', tokens.recorder.origin],
    ])
    for (const credential of [{ username: USER, password: SECRET }, null]) {
      const client = clientFor({ outgoing, provider: 'docker_hub', host: 'docker.io', endpoints, credential })
      const report = await client.test('alpine:v1')
      assert.equal(report.ok, true, JSON.stringify(report))
      assert.deepEqual(report.rateLimit, { limit: 100, remaining: 97, windowSeconds: 21_600 })
      const manifest = await client.manifest('alpine', 'v1', [IMAGE_TYPE])
      assert.ok(manifest !== null && manifest !== 'not_modified')
      assert.equal(manifest.digest, alpine.digest)
    }
    assert.ok(proxy.received.some(({ url }) => url === '/v2/library/alpine/manifests/v1'))
    assertSecretReached([proxy, tokens.recorder], [tokens.recorder])
  })

  test('GHCR issues its tokens itself', async () => {
    await using ghcr = await startTokenRegistry('https://ghcr.io/token')
    await push('team/app', ghcr)
    await using proxy = await startRecorder(await authority.issue(), (request, response) =>
      request.url.startsWith('/token')
        ? tokens.respond(request, response)
        : forwardTo(ghcr.url)(request, response),
    )
    const endpoints = new Map([['ghcr.io', proxy.origin]])
    const client = clientFor({ outgoing, provider: 'ghcr', host: 'ghcr.io', endpoints })
    assert.equal((await client.test('team/app')).ok, true)
    const withPassword = proxy.received.filter(({ headers }) => headers.authorization?.startsWith('Basic '))
    assert.ok(withPassword.length > 0)
    assert.ok(withPassword.every(({ url }) => url.startsWith('/token?')))
  })
})

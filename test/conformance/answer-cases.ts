import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { blobPath, pushPostOnly, startUpload, type Target, uploadsPath } from './blob-push.ts'
import { type Client, locationOf, type Reply, withQuery } from './client.ts'
import { digestOf, types } from './content.ts'
import { addImage, createDataSet } from './data-sets.ts'
import { type ErrorCode, errorCodes, expectError, expectStatus } from './expect.ts'
import { type Manifest, manifestPath, pushManifest } from './pull-checks.ts'
import type { Project, Registry } from './registry.ts'

const warningLimitBytes = 4096

/** What holds for every answer: errors, headers, authentication, HEAD. */
export function defineAnswerCases(registry: Registry, project: Project, uploadsPerKey: number): void {
  const repository = `${project.namespace}/answers`
  const target: Target = { client: project.client, repository, isDev: true }
  describe('errors', () => defineErrors(registry, project, target, uploadsPerKey))
  describe('authentication', () => defineAuthentication(registry, project, target))
  describe('headers', () => {
    defineHeaders(registry, target)
    defineWarning(registry)
  })
}

function defineErrors(registry: Registry, project: Project, target: Target, uploadsPerKey: number): void {
  const { client, repository } = target
  const seen = new Set<ErrorCode>()
  const unknown = digestOf('sha256', Buffer.from('unknown'))
  const check = (status: number, code: ErrorCode, request: () => Promise<Reply>): void => {
    it(`${code} is ${status}`, async () => {
      expectError(await request(), status, code)
      seen.add(code)
    })
  }

  it('have something to be about', async () => {
    await pushPostOnly(target, { digest: digestOf('sha256', Buffer.from('{}')), content: Buffer.from('{}') })
  })
  check(404, 'BLOB_UNKNOWN', () => client.request('GET', blobPath(repository, unknown)))
  check(416, 'BLOB_UPLOAD_INVALID', async () => {
    const headers = { 'content-range': '5-5', 'content-type': types.bytes }
    return client.request('PATCH', await startUpload(target), { headers, body: Buffer.from('x') })
  })
  check(404, 'BLOB_UPLOAD_UNKNOWN', () => client.request('GET', `${uploadsPath(repository)}nonsense`))
  check(400, 'DIGEST_INVALID', () => client.request('GET', blobPath(repository, 'sha256:x')))
  check(404, 'MANIFEST_BLOB_UNKNOWN', () => {
    const config = { mediaType: types.config, digest: unknown, size: 7 }
    const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.image, config, layers: [] }))
    return client.request('PUT', manifestPath(repository, 'x'), {
      headers: { 'content-type': types.image },
      body,
    })
  })
  check(400, 'MANIFEST_INVALID', () => {
    const request = { headers: { 'content-type': types.image }, body: Buffer.from('{') }
    return client.request('PUT', manifestPath(repository, 'x'), request)
  })
  check(404, 'MANIFEST_UNKNOWN', () => client.request('GET', manifestPath(repository, 'x')))
  check(400, 'NAME_INVALID', () => client.request('GET', `/v2/${project.namespace}/Not-A-Name/tags/list`))
  check(404, 'NAME_UNKNOWN', () => client.request('GET', `/v2/${project.namespace}/nothing/tags/list`))
  check(400, 'SIZE_INVALID', async () => {
    const headers = { 'content-range': '0-9', 'content-type': types.bytes }
    return client.request('PATCH', await startUpload(target), { headers, body: Buffer.from('x') })
  })
  check(401, 'UNAUTHORIZED', () => registry.clientOf(null).request('GET', `/v2/${repository}/tags/list`))
  check(403, 'DENIED', async () => {
    const { key } = await registry.berth.createKey(project.id, { actions: ['pull'] })
    return registry.clientOf({ username: 'api', password: key }).request('POST', uploadsPath(repository))
  })
  check(405, 'UNSUPPORTED', () => client.request('POST', blobPath(repository, unknown)))
  check(429, 'TOOMANYREQUESTS', async () => {
    const { key } = await registry.berth.createKey(project.id)
    const busy = { ...target, client: registry.clientOf({ username: 'api', password: key }, 'basic') }
    for (let n = 0; n < uploadsPerKey; n += 1) await startUpload(busy)
    const reply = await busy.client.request('POST', uploadsPath(repository))
    assert.match(String(reply.headers['retry-after']), /^[1-9]\d*$/)
    return reply
  })
  it('were all 14 of the spec', () => {
    assert.deepEqual([...seen].toSorted(), errorCodes.toSorted())
  })
  defineHttpErrors(client, project)
}

function defineHttpErrors(client: Client, { namespace }: Project): void {
  it('of a method that a path does not have name those it has', async () => {
    const reply = await client.request('DELETE', `/v2/${namespace}/answers/tags/list`)
    expectError(reply, 405, 'UNSUPPORTED')
    assert.equal(reply.headers['allow'], 'GET, HEAD')
  })

  it('of a path that is too long are 414, of headers that are too long 431', async () => {
    expectError(
      await client.request('GET', `/v2/${namespace}/${'a/'.repeat(600)}tags/list`),
      414,
      'NAME_INVALID',
    )
    const reply = await client.request('GET', '/v2/', { headers: { 'x-padding': 'x'.repeat(20_000) } })
    expectStatus(reply, 431)
  })

  it('of names follow the grammar and its length', async () => {
    const longest = `${namespace}/${'a'.repeat(255 - namespace.length - 1)}`
    expectError(await client.request('GET', `/v2/${longest}/tags/list`), 404, 'NAME_UNKNOWN')
    for (const name of [
      `${longest}a`,
      `${namespace}/-a`,
      `${namespace}/a..b`,
      `${namespace}/a___b`,
      `${namespace}//a`,
    ]) {
      expectError(await client.request('GET', `/v2/${name}/tags/list`), 400, 'NAME_INVALID')
    }
  })
}

function defineAuthentication(registry: Registry, project: Project, target: Target): void {
  const { repository } = target
  const { registryHost, registryUrl } = registry.berth
  const parameter = (reply: Reply, name: string): string | undefined =>
    new RegExp(`\\b${name}="([^"]*)"`).exec(String(reply.headers['www-authenticate']))?.[1]
  const tokenFor = async (scope: string): Promise<string> => {
    const basic = registry.clientOf(project.credential, 'basic')
    const reply = await basic.request('GET', withQuery('/auth/token', { service: registryHost, scope }))
    expectStatus(reply, 200)
    const body = JSON.parse(reply.body.toString()) as {
      token: string
      access_token: string
      expires_in: number
    }
    assert.equal(body.token, body.access_token)
    assert.ok(body.expires_in >= 60)
    return body.token
  }

  it('is asked for with a Bearer challenge that names realm, service and scope', async () => {
    const anonymous = registry.clientOf(null)
    for (const [method, path, scope] of [
      ['GET', '/v2/', undefined],
      ['GET', `/v2/${repository}/tags/list`, `repository:${repository}:pull`],
      ['HEAD', manifestPath(repository, 'x'), `repository:${repository}:pull`],
      ['POST', uploadsPath(repository), `repository:${repository}:pull,push`],
      ['DELETE', manifestPath(repository, 'x'), `repository:${repository}:delete`],
    ] as const) {
      const reply = await anonymous.request(method, path)
      expectStatus(reply, 401)
      assert.match(String(reply.fields['www-authenticate']?.[0]), /^Bearer /)
      assert.equal(parameter(reply, 'realm'), `${registryUrl}/auth/token`)
      assert.equal(parameter(reply, 'service'), registryHost)
      assert.equal(parameter(reply, 'scope'), scope)
    }
  })

  it('works by Basic too', async () => {
    expectStatus(await registry.clientOf(project.credential, 'basic').request('GET', '/v2/'), 200)
  })

  it('with a token does what its scope says, and asks for a wider one beyond it', async () => {
    const token = await tokenFor(`repository:${repository}:pull`)
    const headers = { authorization: `Bearer ${token}` }
    const anonymous = registry.clientOf(null)
    expectStatus(await anonymous.request('GET', '/v2/', { headers }), 200)
    expectError(
      await anonymous.request('GET', manifestPath(repository, 'x'), { headers }),
      404,
      'MANIFEST_UNKNOWN',
    )
    const refused = await anonymous.request('POST', uploadsPath(repository), { headers })
    expectError(refused, 401, 'UNAUTHORIZED')
    assert.equal(parameter(refused, 'error'), 'insufficient_scope')
    assert.equal(parameter(refused, 'scope'), `repository:${repository}:pull,push`)
  })

  it('with a token that is none is asked for again', async () => {
    for (const authorization of [
      'Bearer nonsense',
      'Bearer',
      'Basic !!!',
      'Digest x',
      'Basic YXBpOndyb25n',
    ]) {
      const reply = await registry.clientOf(null).request('GET', '/v2/', { headers: { authorization } })
      expectError(reply, 401, 'UNAUTHORIZED')
      assert.match(String(reply.headers['www-authenticate']), /^Bearer /)
    }
  })

  it('with a wrong key again and again is 429 with Retry-After, and the right key goes on', async () => {
    const { id, key } = await registry.berth.createKey(project.id)
    assert.ok(id.length > 0)
    const wrong = registry.clientOf({ username: 'api', password: `${key}x` }, 'basic')
    let reply = await wrong.request('GET', '/v2/')
    for (let tries = 1; reply.status === 401 && tries < 50; tries += 1)
      reply = await wrong.request('GET', '/v2/')
    expectError(reply, 429, 'TOOMANYREQUESTS')
    assert.match(String(reply.headers['retry-after']), /^[1-9]\d*$/)
    const right = registry.clientOf({ username: 'api', password: key }, 'basic')
    expectStatus(await right.request('GET', '/v2/'), 200)
  })
}

function defineHeaders(registry: Registry, target: Target): void {
  const { client, repository } = target

  it('say the version of the API on every answer', async () => {
    const started = await client.request('POST', uploadsPath(repository))
    for (const reply of [
      started,
      await client.request('DELETE', locationOf(started)),
      await client.request('GET', '/v2/'),
      await client.request('GET', `/v2/${repository}/tags/list`),
      await client.request('GET', manifestPath(repository, 'nothing')),
      await registry.clientOf(null).request('GET', '/v2/'),
      await client.request('GET', '/v2/nothing-here'),
    ]) {
      assert.equal(reply.headers['docker-distribution-api-version'], 'registry/2.0', reply.url.pathname)
      assert.equal(reply.headers['x-content-type-options'], 'nosniff')
    }
  })

  it('answer ?ns= of this registry with OCI-Namespace, and of no other', async () => {
    const { registryHost } = registry.berth
    const path = `/v2/${repository}/tags/list`
    const own = await client.request('GET', withQuery(path, { ns: registryHost }))
    assert.equal(own.headers['oci-namespace'], registryHost)
    const other = await client.request('GET', withQuery(path, { ns: 'docker.io' }))
    expectStatus(other, 200)
    assert.equal(other.headers['oci-namespace'], undefined)
  })

  it('of HEAD are those of GET, without a body', async () => {
    const set = createDataSet('head')
    addImage(set)
    for (const [digest, content] of set.blobs) await pushPostOnly(target, { digest, content })
    const [manifest] = set.manifests as [Manifest]
    await pushManifest(target, manifest, 'head')
    const [blob] = set.blobs.keys()
    for (const path of [
      '/v2/',
      '/v2/_catalog',
      `/v2/${repository}/tags/list`,
      `/v2/${repository}/referrers/${manifest.digest}`,
      manifestPath(repository, 'head'),
      manifestPath(repository, manifest.digest),
      blobPath(repository, String(blob)),
      manifestPath(repository, 'nothing'),
      blobPath(repository, digestOf('sha256', Buffer.from('nothing'))),
    ]) {
      const got = await client.request('GET', path)
      const head = await client.request('HEAD', path)
      assert.equal(head.body.byteLength, 0)
      assert.equal(head.status, got.status, path)
      const names = [
        'content-type',
        'content-length',
        'docker-content-digest',
        'etag',
        'cache-control',
        'accept-ranges',
      ]
      for (const name of names) assert.equal(head.headers[name], got.headers[name], `${path}: ${name}`)
    }
  })
}

/** `Warning` has one form (RFC 7234 section 5.5, narrowed by the spec): 299, agent "-", one quoted text, no date. */
function defineWarning(registry: Registry): void {
  it('warn of a quota that is nearly used up, and say which limit a push is over', async () => {
    const quotaBytes = 100_000
    const { client, namespace } = await registry.openProject('spec-quota', { quotaBytes })
    const target: Target = { client, repository: `${namespace}/app`, isDev: true }
    const push = (seed: string, sizeBytes: number): Promise<Reply> => {
      const content = seededBytes(`quota/${seed}`, sizeBytes)
      const path = withQuery(uploadsPath(target.repository), { digest: digestOf('sha256', content) })
      return client.request('POST', path, { headers: { 'content-type': types.bytes }, body: content })
    }
    const first = await push('first', 50_000)
    expectStatus(first, 201)
    assert.equal(first.headers['warning'], undefined)
    const second = await push('second', 45_000)
    expectStatus(second, 201)
    const warnings = second.fields['warning'] ?? []
    assert.equal(warnings.length, 1)
    assert.match(String(warnings[0]), /^299 - "[\x20\x21\x23-\x5b\x5d-\x7e]+"$/)
    assert.ok(Buffer.byteLength(warnings.join()) <= warningLimitBytes)
    assert.match(expectError(await push('third', 20_000), 403, 'DENIED'), /quota/)
  })
}

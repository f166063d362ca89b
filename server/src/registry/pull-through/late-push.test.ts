// @needs docker-registry, htpasswd
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { after, before, test } from 'node:test'
import { OciError } from '@berth/oci/errors'
import type { RepositoryName } from '@berth/oci/name'
import type { Exchange } from '../exchange.ts'
import { authorize, principalOf } from '../grant.ts'
import { mount } from '../mount.ts'
import { describeContent, imageIndex, type Pushed, pushBlob } from '../test-content.ts'
import { basic, openTestRegion, type TestRegion } from '../test-region.ts'
import { startTestUpstream, type TestUpstream } from './test-upstream.ts'

/* Pushes that were allowed before a registry was connected under the same path, and that end after it has copies there. */

let upstream: TestUpstream
let region: TestRegion
let authorization = ''

before(async () => {
  upstream = await startTestUpstream()
  region = await openTestRegion({ outgoingAllow: `http://${upstream.host}` })
  await region.createProject('acme')
  authorization = basic(await region.createKey('acme'))
})
after(async () => {
  await region?.close()
  await upstream?.close()
})

/** Sends the head of a request, runs `between` when the server asks for the body, and then sends that. */
async function sendAround(
  method: string,
  path: string,
  { content, mediaType }: Pushed,
  between: () => Promise<unknown>,
): Promise<{ status: number | undefined; body: string }> {
  const req = http.request({
    host: '127.0.0.1',
    port: region.port,
    method,
    path: `/v2/acme/${path}`,
    agent: false,
    headers: {
      Authorization: authorization,
      Expect: '100-continue',
      'Content-Type': mediaType,
      'Content-Length': content.byteLength,
    },
  })
  req.flushHeaders()
  await once(req, 'continue')
  await between()
  req.end(content)
  const [res] = (await once(req, 'response')) as [http.IncomingMessage]
  return { status: res.statusCode, body: Buffer.concat(await res.toArray()).toString() }
}

/** Connects a registry and pulls something through it, so that the path has a copy. */
async function connectAndPull(slug: string): Promise<Pushed> {
  const image = await upstream.pushImage('team/app', '1')
  await region.connectRegistry('acme', { slug, host: upstream.host, login: upstream.login })
  const pulled = await region.call('GET', `/v2/acme/${slug}/team/app/manifests/1`)
  assert.equal(pulled.status, 200, pulled.body.toString())
  return image.manifest
}

function assertReserved(answer: { status: number | undefined; body: string }, slug: string): void {
  assert.equal(answer.status, 403, answer.body)
  const [error] = JSON.parse(answer.body).errors
  assert.equal(error.code, 'DENIED')
  assert.match(error.message, new RegExp(`^"${slug}/" is reserved`))
  assert.equal(error.detail.registry, slug)
}

test('a manifest that was being pushed does not come among copies', async () => {
  // It refers to nothing that must be in the repository.
  const own = imageIndex([])
  const path = 'one/team/app/manifests/2'
  assertReserved(await sendAround('PUT', path, own, () => connectAndPull('one')), 'one')
  assert.equal((await region.call('GET', `/v2/acme/one/team/app/manifests/${own.digest}`)).status, 404)
})

test('a blob that was being pushed does not come among copies', async () => {
  const own = describeContent(Buffer.from('mine'), 'application/octet-stream')
  const path = `two/team/app/blobs/uploads/?digest=${own.digest}`
  assertReserved(await sendAround('POST', path, own, () => connectAndPull('two')), 'two')
  assert.equal((await region.call('GET', `/v2/acme/two/team/app/blobs/${own.digest}`)).status, 404)
})

test('a mount that was allowed does not come among copies', async () => {
  const { digest } = await pushBlob(region, 'acme/own')
  const { runtime } = region
  const repository = {
    name: 'acme/three/team/app' as RepositoryName,
    namespace: 'acme',
    path: 'three/team/app',
  }
  const from = { name: 'acme/own' as RepositoryName, namespace: 'acme', path: 'own' }
  const request = { authorization, clientAddress: '127.0.0.1', wanted: [], requestId: 'mount' }
  const principal = principalOf(runtime, await runtime.access.authenticate(request), null)
  const grant = await authorize(runtime, principal, repository, 'push')
  await connectAndPull('three')
  // Nothing else of an exchange is looked at.
  const exchange = { requestId: 'mount' } as Exchange
  await assert.rejects(mount(runtime, exchange, { repository, from }, digest, grant), (error) => {
    assert.ok(error instanceof OciError)
    assert.deepEqual([error.status, error.code, error.detail], [403, 'DENIED', { registry: 'three' }])
    return true
  })
  assert.equal((await region.call('HEAD', `/v2/acme/three/team/app/blobs/${digest}`)).status, 404)
})

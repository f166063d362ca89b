import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { RepositoryName } from '@berth/oci/name'
import type { KeyPrincipal } from '../../access/principal.ts'
import type { Exchange } from '../exchange.ts'
import { authorize, principalOf } from '../grant.ts'
import { basic, openTestRegion, type TestRegion } from '../test-region.ts'
import { cacheWrite, findConnectedRepository } from './connected-repository.ts'

let region: TestRegion

before(async () => {
  region = await openTestRegion()
})
after(async () => {
  await region?.close()
})

test('who made a copy necessary is named as everywhere else: a CI job with its run', async () => {
  await region.createProject('acme')
  const authorization = basic(await region.createKey('acme'))
  await region.connectRegistry('acme', { slug: 'up', host: 'registry.example.com' })
  const { runtime } = region
  const repository = { name: 'acme/up/team/app' as RepositoryName, namespace: 'acme', path: 'up/team/app' }
  const request = { authorization, clientAddress: '127.0.0.1', wanted: [], requestId: 'pull' }
  const key = principalOf(runtime, await runtime.access.authenticate(request), null) as KeyPrincipal
  const exchange = { requestId: 'pull' } as Exchange
  for (const [ci, actor] of [
    [null, key.keyId],
    [{ run: 'k7w2m9xq', notAfterMs: null }, `${key.keyId}/k7w2m9xq`],
  ] as const) {
    const grant = await authorize(runtime, { ...key, ci }, repository, 'pull')
    const connected = await findConnectedRepository(runtime, { kind: 'manifest-get', repository }, grant)
    assert.ok(connected)
    assert.equal(cacheWrite(runtime, exchange, connected, grant).actor, actor)
  }
})

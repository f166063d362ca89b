import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mintKey } from '../access/key.ts'
import { chooseHomeRegion } from './regionless-host.ts'

const key = mintKey('k')
const homes = new Map([
  ['acme', 'us'],
  [key.id, 'us'],
])
const regions = ['eu', 'us'].map((id) => ({
  id,
  host: `registry.${id}.example`,
  homeOf: async (who: { namespace: string } | { keyId: string }) =>
    homes.get('namespace' in who ? who.namespace : who.keyId) ?? null,
}))

async function chosen(url: string, authorization?: string): Promise<[string | undefined, string]> {
  const request = { url, headers: authorization === undefined ? {} : { authorization } }
  return [(await chooseHomeRegion(regions, request))?.id, request.url]
}

const basic = (password: string) => `Basic ${Buffer.from(`api:${password}`).toString('base64')}`

const cases: readonly [what: string, url: string, authorization: string | undefined, region: string][] = [
  ['a project at home in the second region', '/v2/acme/web/manifests/v1', undefined, 'us'],
  ['a project without a home', '/v2/other/web/manifests/v1', basic(key.text), 'eu'],
  ['a ping with a key', '/v2/', basic(key.text), 'us'],
  ['a ping with another key', '/v2/', basic(mintKey('k').text), 'eu'],
  ['a ping with a token', '/v2/', 'Bearer a.b.c', 'eu'],
  ['a token for a repository', '/auth/token?service=x&scope=repository:acme/web:pull', undefined, 'us'],
  ['a token for a login', '/auth/token?service=x', basic(key.text), 'us'],
  ['nothing at all', '/', undefined, 'eu'],
]

for (const [what, url, authorization, region] of cases) {
  test(`${what} goes to ${region}`, async () => {
    assert.deepEqual(await chosen(url, authorization), [region, url])
  })
}

test('a region that cannot be asked does not stop the others', async () => {
  const broken = {
    id: 'eu',
    host: 'registry.eu.example',
    homeOf: () => Promise.reject(new Error('its database is away')),
  }
  const request = { url: '/v2/acme/web/manifests/v1', headers: {} }
  assert.equal((await chooseHomeRegion([broken, ...regions.slice(1)], request))?.id, 'us')
  await assert.rejects(chooseHomeRegion([broken, broken], request), /its database is away/)
})

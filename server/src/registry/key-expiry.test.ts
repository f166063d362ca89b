import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { KEY_EXPIRY_WARNING_MS } from '../access/limits.ts'
import type { MintedKey } from '../access/key.ts'
import { withKeyExpiry } from './key-expiry.ts'
import { pushBlob, pushImage } from './test-content.ts'
import { basic, openTestRegion, type TestRegion } from './test-region.ts'

// The form that the distribution spec allows: this code, this agent, no date.
const WARNING =
  /^299 - "API key [0-9a-z]{12} expires at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ; make a new one and log in with it"$/

let region: TestRegion
before(async () => {
  region = await openTestRegion()
  await region.createProject('acme')
})
after(() => region.close())

async function keyThatEndsIn(ms: number): Promise<MintedKey> {
  return region.createKey('acme', { expiresAt: region.runtime.clock.nowMs() + ms })
}

/** The warning of an answer; undefined for none. */
async function warningOf(method: string, path: string, authorization: string): Promise<string | undefined> {
  const answer = await region.call(method, path, { authorization })
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.body.toString()}`)
  const { warning } = answer.headers
  return Array.isArray(warning) ? warning.join(', ') : warning
}

test('a key that expires soon is warned about on ping, token and manifests, also through its tokens', async () => {
  const key = await keyThatEndsIn(KEY_EXPIRY_WARNING_MS - 60_000)
  const { digest, layer } = await pushImage(region, 'acme/web', 'v1')
  const scope = 'repository:acme/web:pull,push'
  const issued = await region.call('GET', `/auth/token?service=x&scope=${scope}`, {
    authorization: basic(key),
  })
  const bearer = `Bearer ${issued.json().token}`
  for (const authorization of [basic(key), bearer]) {
    for (const [method, path] of [
      ['GET', '/v2/'],
      ['GET', '/v2/acme/web/manifests/v1'],
      ['HEAD', `/v2/acme/web/manifests/${digest}`],
      ['GET', '/v2/acme/web/tags/list'],
      ['GET', `/v2/acme/web/referrers/${digest}`],
    ] as const) {
      assert.match((await warningOf(method, path, authorization)) ?? '', WARNING, `${method} ${path}`)
    }
    assert.equal(await warningOf('GET', `/v2/acme/web/blobs/${layer.digest}`, authorization), undefined)
    assert.equal(await warningOf('POST', '/v2/acme/web/blobs/uploads/', authorization), undefined)
  }
  assert.match(String(issued.headers['warning']), WARNING)
})

test('a key that expires later, or never, is not', async () => {
  await pushBlob(region, 'acme/web')
  for (const key of [
    await keyThatEndsIn(KEY_EXPIRY_WARNING_MS + 3_600_000),
    await region.createKey('acme'),
  ]) {
    assert.equal(await warningOf('GET', '/v2/', basic(key)), undefined)
  }
})

test('the warning begins when the time comes, without a change of the key', async () => {
  const key = await keyThatEndsIn(KEY_EXPIRY_WARNING_MS + 60_000)
  assert.equal(await warningOf('GET', '/v2/', basic(key)), undefined)
  region.advance(61_000)
  assert.match((await warningOf('GET', '/v2/', basic(key))) ?? '', WARNING)
})

test('another warning of the answer stays', () => {
  const principal = {
    kind: 'key' as const,
    keyId: 'abcdefghijkl',
    projectId: 'p' as never,
    namespace: 'acme',
    secretVersion: 1,
    actions: new Set<never>(),
    repositories: [],
    regions: [],
    tokenAccess: null,
    keyExpiresAt: 1_000,
    expiredForUploadsOnly: false,
    ci: null,
  }
  const answer = { status: 201, headers: { Warning: '299 - "nearly full"' }, body: null }
  const { Warning: warnings } = withKeyExpiry(answer, principal, 0).headers
  assert.deepEqual((warnings as string[])[0], '299 - "nearly full"')
  assert.match((warnings as string[])[1] ?? '', WARNING)
  assert.equal(withKeyExpiry(answer, { kind: 'anonymous' }, 0), answer)
})

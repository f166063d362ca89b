import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { createTestIssuer, type TestIssuer } from '../../../test/support/access/issuer.ts'
import { createIssuerKeys, type IssuerKeys, IssuerUnavailableError } from './issuer-keys.ts'
import {
  ISSUER_KEYS_FRESH_MS,
  ISSUER_KEYS_STALE_MS,
  ISSUER_REFRESH_PAUSE_MS,
  ISSUER_RETRY_PAUSE_MS,
} from './limits.ts'

const URL_OF_ISSUER = 'https://issuer.example/path'
/** Requests that one fetch of keys takes. */
const REQUESTS = 2

describe('the keys of an issuer', () => {
  let issuer: TestIssuer
  let keys: IssuerKeys
  let nowMs = 0

  beforeEach(async () => {
    issuer = await createTestIssuer(URL_OF_ISSUER)
    nowMs = 1_000_000
    keys = createIssuerKeys({ fetchDocument: issuer.fetchDocument, monotonicMs: () => nowMs })
  })

  it('are fetched once by whoever asks at the same time, and again when they are old', async () => {
    const [first, second] = await Promise.all([keys.load(issuer.url), keys.load(issuer.url)])
    assert.equal(first, second)
    nowMs += ISSUER_KEYS_FRESH_MS - 1
    assert.equal(await keys.load(issuer.url), first)
    assert.equal(issuer.fetched.length, REQUESTS)
    nowMs += 1
    assert.notEqual(await keys.load(issuer.url), first)
    assert.equal(issuer.fetched.length, 2 * REQUESTS)
  })

  it('are fetched again for an unknown key, but not more often than the pause allows', async () => {
    const first = await keys.load(issuer.url)
    assert.equal(await keys.refresh(issuer.url, first), first)
    nowMs += ISSUER_REFRESH_PAUSE_MS
    const [second, third] = await Promise.all([
      keys.refresh(issuer.url, first),
      keys.refresh(issuer.url, first),
    ])
    assert.notEqual(second, first)
    assert.equal(third, second)
    assert.equal(await keys.refresh(issuer.url, second), second)
    assert.equal(await keys.refresh(issuer.url, first), second)
    assert.equal(issuer.fetched.length, 2 * REQUESTS)
  })

  it('do for a while when the issuer is down, which is then asked now and again', async () => {
    const first = await keys.load(issuer.url)
    issuer.isDown = true
    nowMs += ISSUER_KEYS_FRESH_MS
    assert.equal(await keys.load(issuer.url), first)
    assert.equal(await keys.load(issuer.url), first)
    assert.equal(issuer.fetched.length, REQUESTS + 1)
    nowMs += ISSUER_KEYS_STALE_MS
    await assert.rejects(keys.load(issuer.url), IssuerUnavailableError)
    await assert.rejects(keys.load(issuer.url), IssuerUnavailableError)
    assert.equal(issuer.fetched.length, REQUESTS + 2)
    issuer.isDown = false
    nowMs += ISSUER_RETRY_PAUSE_MS
    assert.notEqual(await keys.load(issuer.url), first)
  })

  it('are nothing when the documents are not what they must be', async () => {
    const wrong: [string, () => void][] = [
      ['another issuer', () => (issuer.discovery['issuer'] = 'https://issuer.example')],
      ['no address of keys', () => delete issuer.discovery['jwks_uri']],
      ['keys over http', () => (issuer.discovery['jwks_uri'] = 'http://issuer.example/keys')],
      ['no keys', () => (issuer.keys = [])],
      ['a symmetric key', () => (issuer.keys = [{ kty: 'oct', k: 'AAAA', kid: 'first' }])],
      ['a huge key', () => (issuer.keys = [{ ...issuer.key.publicJwk, n: 'A'.repeat(3000) }])],
      ['a huge exponent', () => (issuer.keys = [{ ...issuer.key.publicJwk, e: 'A'.repeat(300) }])],
      ['a key for encryption', () => (issuer.keys = [{ ...issuer.key.publicJwk, use: 'enc' }])],
    ]
    for (const [what, spoil] of wrong) {
      issuer = await createTestIssuer(URL_OF_ISSUER)
      spoil()
      const ofThis = createIssuerKeys({ fetchDocument: issuer.fetchDocument, monotonicMs: () => nowMs })
      await assert.rejects(ofThis.load(issuer.url), IssuerUnavailableError, what)
      await assert.rejects(ofThis.load(issuer.url), IssuerUnavailableError, what)
      assert.ok(issuer.fetched.length <= REQUESTS, what)
    }
  })
})

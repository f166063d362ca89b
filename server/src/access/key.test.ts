import { createHmac, createSecretKey } from 'node:crypto'
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import {
  displayKey,
  hashSecret,
  KEY_SCAN_PATTERN,
  keyWithSecret,
  mintKey,
  parseKey,
  sameHash,
} from './key.ts'

const SEED = 20261122

describe('keys', () => {
  it('are parsed as they were minted, for each kind', () => {
    for (const kind of ['k', 'm', 'e', 'p'] as const) {
      const key = mintKey(kind)
      assert.match(key.text, /^brth_[kmep]_[0-9a-z]{12}_[0-9A-Za-z]{49}$/)
      assert.deepEqual(parseKey(key.text), { kind, id: key.id, secret: key.secret })
    }
  })

  it('end with the base62 CRC-32 of all before it', () => {
    const { text } = mintKey('k')
    const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
    const value = Array.from(text.slice(-6)).reduce((sum, c) => sum * 62n + BigInt(alphabet.indexOf(c)), 0n)
    assert.equal(value, BigInt(crc32(text.slice(0, -6))))
  })

  it('keep their id when a new secret is made', () => {
    const key = mintKey('m')
    const next = keyWithSecret('m', key.id)
    assert.equal(next.id, key.id)
    assert.notEqual(next.secret, key.secret)
  })

  it('are refused after any one character changed', () => {
    const { text } = mintKey('k')
    for (let i = 0; i < text.length; i++) {
      const other = text[i] === 'a' ? 'b' : 'a'
      assert.equal(parseKey(text.slice(0, i) + other + text.slice(i + 1)), null, `at ${i}`)
    }
  })

  it('are refused with anything around them, and any other text is refused without a crash', () => {
    const { text } = mintKey('k')
    for (const wrong of ['', ` ${text}`, `${text}\n`, `${text}x`, text.slice(0, -1), text.toUpperCase()]) {
      assert.equal(parseKey(wrong), null)
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (any) => parseKey(any) === null),
      { seed: SEED },
    )
  })

  it('draw every character of the alphabet about equally often', () => {
    const counts = new Map<string, number>()
    const keys = 2_000
    for (let i = 0; i < keys; i++) {
      for (const c of mintKey('k').secret) counts.set(c, (counts.get(c) ?? 0) + 1)
    }
    assert.equal(counts.size, 62)
    const expected = (keys * 43) / 62
    // 61 degrees of freedom: 120 is passed by chance about once in 100 000 runs.
    const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
    assert.ok(chiSquare < 120, `chi-square ${chiSquare}`)
  })

  it('are shown without their secret', () => {
    const key = mintKey('k')
    assert.equal(displayKey(key.text), `brth_k_${key.id}_…${key.text.slice(-4)}`)
    assert.equal(displayKey('something else'), '…')
  })

  it('are found by the published pattern inside other text', () => {
    const key = mintKey('k')
    const found = `password: "${key.text}", next`.match(new RegExp(KEY_SCAN_PATTERN))
    assert.equal(found?.[0], key.text)
  })
})

describe('hashSecret', () => {
  const pepper = createSecretKey(Buffer.alloc(32, 7))

  it('is HMAC-SHA-256 under the pepper', () => {
    const expected = createHmac('sha256', Buffer.alloc(32, 7)).update('secret').digest()
    assert.ok(sameHash(hashSecret(pepper, 'secret'), expected))
    assert.ok(!sameHash(hashSecret(createSecretKey(Buffer.alloc(32, 8)), 'secret'), expected))
  })

  it('compares hashes of different length as different', () => {
    assert.equal(sameHash(new Uint8Array(32), new Uint8Array(31)), false)
  })
})

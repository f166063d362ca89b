import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  createDigester,
  DIGEST_ALGORITHMS,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigestShaped,
  parseDigest,
  parseDigestAlgorithm,
} from './digest.ts'

const hex64 = 'a1'.repeat(32)
const hex128 = 'b2'.repeat(64)

describe('digest', () => {
  const cases: [name: string, text: string, valid: boolean, shaped: boolean][] = [
    ['sha256', `sha256:${hex64}`, true, true],
    ['sha512', `sha512:${hex128}`, true, true],
    ['upper-case hex', `sha256:${hex64.toUpperCase()}`, false, true],
    ['upper-case algorithm', `SHA256:${hex64}`, false, false],
    ['one hex short', `sha256:${hex64.slice(1)}`, false, true],
    ['one hex long', `sha256:${hex64}0`, false, true],
    ['sha256 with the length of sha512', `sha256:${hex128}`, false, true],
    ['sha512 with the length of sha256', `sha512:${hex64}`, false, true],
    ['not hex', `sha256:${'g'.repeat(64)}`, false, true],
    ['the conformance suite’s bad digest', 'sha256:baddigeststring', false, true],
    ['unregistered algorithm', `blake3:${hex64}`, false, true],
    ['sha384', `sha384:${'c'.repeat(96)}`, false, true],
    ['composed algorithm', 'sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564', false, true],
    ['all separators', 'a+b.c_d-e:x', false, true],
    ['two separators', 'a+.b:x', false, false],
    ['empty encoded part', 'sha256:', false, false],
    ['empty algorithm', `:${hex64}`, false, false],
    ['no colon', hex64, false, false],
    ['two colons', `sha256:${hex64}:`, false, false],
    ['path traversal', 'sha256:../../../../etc/passwd', false, false],
    ['trailing newline', `sha256:${hex64}\n`, false, false],
    ['leading space', ` sha256:${hex64}`, false, false],
    ['NUL', `sha256:${hex64}\0`, false, false],
    ['empty', '', false, false],
  ]
  for (const [name, text, valid, shaped] of cases) {
    it(name, () => {
      assert.equal(parseDigest(text), valid ? text : null)
      assert.equal(isDigestShaped(text), shaped)
    })
  }

  it('splits into algorithm and hex', () => {
    for (const algorithm of DIGEST_ALGORITHMS) {
      const digest = digestOf(algorithm, new Uint8Array())
      assert.equal(digestAlgorithm(digest), algorithm)
      assert.equal(`${algorithm}:${digestHex(digest)}`, digest)
    }
  })

  it('knows its algorithms', () => {
    assert.equal(parseDigestAlgorithm('sha512'), 'sha512')
    for (const text of ['sha1', 'SHA256', '', 'toString']) assert.equal(parseDigestAlgorithm(text), null)
  })

  it('has the digest of no bytes right', () => {
    assert.equal(
      digestOf('sha256', new Uint8Array()),
      'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    )
  })

  it('does not depend on how the bytes are cut, and a copy goes its own way', () => {
    const property = fc.property(
      fc.constantFrom(...DIGEST_ALGORITHMS),
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }),
      fc.uint8Array({ maxLength: 50 }),
      (algorithm, chunks, tail) => {
        const digester = createDigester(algorithm)
        for (const chunk of chunks) {
          const reused = Uint8Array.from(chunk)
          digester.update(reused)
          reused.fill(0)
        }
        const soFar = digester.copy().digest()
        digester.update(tail)
        const whole = Buffer.concat([...chunks, tail])
        assert.equal(soFar, digestOf(algorithm, Buffer.concat(chunks)))
        assert.equal(digester.digest(), `${algorithm}:${createHash(algorithm).update(whole).digest('hex')}`)
        assert.equal(parseDigest(soFar), soFar)
      },
    )
    fc.assert(property, { seed: 1, numRuns: 100 })
  })

  it('cannot be used after its end', () => {
    const digester = createDigester('sha256')
    digester.digest()
    assert.throws(() => digester.update(new Uint8Array(1)))
  })
})

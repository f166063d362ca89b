import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseAuthorization } from './authorization-header.ts'

const SEED = 20261122
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`

describe('parseAuthorization', () => {
  it('takes Basic and Bearer, in any case', () => {
    assert.deepEqual(parseAuthorization(undefined), { kind: 'none' })
    assert.deepEqual(parseAuthorization(basic('api:a:b')), {
      kind: 'basic',
      username: 'api',
      password: 'a:b',
    })
    assert.deepEqual(parseAuthorization('bAsIc YTpi'), { kind: 'basic', username: 'a', password: 'b' })
    assert.deepEqual(parseAuthorization('bearer a.b-c_d'), { kind: 'bearer', token: 'a.b-c_d' })
    assert.deepEqual(parseAuthorization(basic('api:')), { kind: 'basic', username: 'api', password: '' })
  })

  const malformed: [what: string, header: string][] = [
    ['empty', ''],
    ['scheme alone', 'Basic'],
    ['scheme and space', 'Basic '],
    ['other scheme', 'Digest YTpi'],
    ['no base64', 'Basic !!!!'],
    ['url-safe base64', `Basic ${Buffer.from('??>:??>').toString('base64url')}`],
    ['no padding', 'Basic YTpiYw'],
    ['too much padding', 'Basic YTpi===='],
    ['bits after the last byte', 'Basic YTp='],
    ['no colon', basic('api')],
    ['two credentials', 'Basic YTpi YTpi'],
    ['two bearers', 'Bearer a, Bearer b'],
    ['a control character', 'Bearer a\u0000'],
    ['a line break', 'Bearer a\nb'],
    ['not ASCII', 'Bearer ä'],
    ['too long', `Bearer ${'a'.repeat(13_000)}`],
  ]
  for (const [what, header] of malformed) {
    it(`refuses: ${what}`, () => assert.equal(parseAuthorization(header).kind, 'malformed'))
  }

  it('never crashes, and never repeats what was shown', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 8 }), (text) => {
        for (const header of [text, `Basic ${text}`, `Bearer ${text}`, basic(text)]) {
          const shown = parseAuthorization(header)
          if (shown.kind === 'malformed') assert.ok(!shown.message.includes(text))
        }
      }),
      { seed: SEED },
    )
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { nextLink, type ParsedPage, parsePage } from './link.ts'

function page(query: string): ParsedPage {
  return parsePage(new URLSearchParams(query), 100, 1_000)
}

describe('nextLink', () => {
  it('writes a relative target', () => {
    assert.equal(nextLink('/v2/a/tags/list?n=2&last=v1.0'), '</v2/a/tags/list?n=2&last=v1.0>; rel="next"')
  })
  it('leaves escapes alone', () =>
    assert.equal(nextLink('/v2/_catalog?last=a%2Fb'), '</v2/_catalog?last=a%2Fb>; rel="next"'))
  it('can hold nothing that ends the target or the line', () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom('a', '%', '<', '>', '"', '\r', '\n', ' ', 'é', '\ud83d', '\ude00'),
          maxLength: 20,
        }),
        (text) => {
          assert.match(nextLink(`/v2/${text}`), /^<\/v2\/[\x21-\x3b\x3d\x3f-\x7e]*>; rel="next"$/)
        },
      ),
      { seed: 6, numRuns: 500 },
    )
  })
})

describe('parsePage', () => {
  const good: [query: string, limit: number, last: string | null][] = [
    ['', 100, null],
    ['n=0', 0, null],
    ['n=1', 1, null],
    ['n=007', 7, null],
    ['n=1000', 1_000, null],
    ['n=1001', 1_000, null],
    ['n=999999999999999', 1_000, null],
    ['last=v1', 100, 'v1'],
    ['last=', 100, null],
    ['n=5&last=a%2Fb', 5, 'a/b'],
    ['other=1', 100, null],
  ]
  for (const [query, limit, last] of good) {
    it(query, () => assert.deepEqual(page(query), { ok: true, page: { limit, last } }))
  }

  const bad: [query: string, parameter: 'n' | 'last'][] = [
    ['n=-1', 'n'],
    ['n=', 'n'],
    ['n=abc', 'n'],
    ['n=1.5', 'n'],
    ['n=1e3', 'n'],
    ['n=0x10', 'n'],
    ['n=%2B1', 'n'],
    ['n=+1', 'n'],
    ['n=1%00', 'n'],
    ['n=1%0A', 'n'],
    ['n=٣', 'n'],
    ['n=9999999999999999', 'n'],
    ['n=Infinity', 'n'],
    ['n=1&n=2', 'n'],
    ['last=%00', 'last'],
    ['last=a%0Ab', 'last'],
    ['last=%7F', 'last'],
    ['last=a&last=b', 'last'],
    [`last=${'a'.repeat(256)}`, 'last'],
  ]
  for (const [query, parameter] of bad) {
    it(`refuses ${query.slice(0, 30)}`, () => {
      const result = page(query)
      assert.equal(result.ok, false)
      assert.equal(!result.ok && result.parameter, parameter)
    })
  }
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  isReservedNamespace,
  namespaceOf,
  parseNamespace,
  parseReference,
  parseRepositoryName,
  parseTag,
  RESERVED_NAMESPACES,
} from './name.ts'

const digest = `sha256:${'0'.repeat(64)}`

describe('repository name', () => {
  const valid = [
    'a',
    '0',
    'acme/web',
    'acme/a/b/c/d/e',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a-----b',
    'a1/b2-c_d.e',
    '1/2',
  ]
  valid.push(`${'a'.repeat(127)}/${'b'.repeat(127)}`)
  for (const text of valid)
    it(`accepts ${text.slice(0, 40)}`, () => assert.equal(parseRepositoryName(text), text))

  const invalid = [
    ['empty', ''],
    ['256 characters', 'a'.repeat(256)],
    ['256 characters in components', `${'a'.repeat(127)}/${'b'.repeat(128)}`],
    ['upper case', 'acme/Web'],
    ['leading slash', '/acme/web'],
    ['trailing slash', 'acme/web/'],
    ['empty component', 'acme//web'],
    ['dot component', 'acme/./web'],
    ['dot dot component', 'acme/../web'],
    ['leading separator', 'acme/-web'],
    ['trailing separator', 'acme/web-'],
    ['trailing dot', 'acme/web.'],
    ['two dots', 'acme/we..b'],
    ['three underscores', 'acme/we___b'],
    ['mixed separators', 'acme/we._b'],
    ['dash after dot', 'acme/we.-b'],
    ['space', 'acme/we b'],
    ['percent', 'acme/we%2fb'],
    ['colon', 'acme/web:latest'],
    ['at sign', 'acme/web@sha256'],
    ['backslash', 'acme\\web'],
    ['NUL', 'acme/web\0'],
    ['newline at the end', 'acme/web\n'],
    ['newline inside', 'acme/w\neb'],
    ['long s', 'acme/ſ'],
    ['Kelvin sign', 'acme/\u212a'],
    ['full-width letter', 'acme/ａ'],
    ['right-to-left override', 'acme/\u202eweb'],
    ['_catalog', '_catalog'],
  ] as const
  for (const [name, text] of invalid)
    it(`refuses: ${name}`, () => assert.equal(parseRepositoryName(text), null))

  it('follows the grammar, whatever the text', () => {
    const grammar = (text: string): boolean =>
      text.length <= 255 &&
      text.split('/').every((component) => {
        const words = component.split(/[._-]+/)
        const separators = component.match(/[._-]+/g) ?? []
        return (
          words.every((word) => /^[a-z0-9]+$/.test(word) && !word.includes('\n')) &&
          separators.every((separator) => ['.', '_', '__'].includes(separator) || /^-+$/.test(separator))
        )
      })
    const text = fc.string({ unit: fc.constantFrom('a', '7', '.', '_', '-', '/', 'A'), maxLength: 12 })
    fc.assert(
      fc.property(text, (candidate) =>
        assert.equal(parseRepositoryName(candidate) !== null, grammar(candidate)),
      ),
      { seed: 2, numRuns: 3_000 },
    )
  })

  it('has a namespace: its first component', () => {
    for (const [text, namespace] of [
      ['acme/web/api', 'acme'],
      ['acme', 'acme'],
    ] as const) {
      const name = parseRepositoryName(text)
      assert.ok(name !== null)
      assert.equal(namespaceOf(name), namespace)
    }
  })
})

describe('namespace', () => {
  for (const text of ['ab', 'a1', 'my-project', '0x', 'a-b-c', 'a'.repeat(63), 'library', 'v3']) {
    it(`accepts ${text}`, () => {
      assert.equal(parseNamespace(text), text)
      assert.equal(parseRepositoryName(text), text)
    })
  }
  for (const text of [
    '',
    'a',
    'a'.repeat(64),
    '-ab',
    'ab-',
    'a--b',
    'a_b',
    'a.b',
    'A1',
    'a/b',
    'ab\n',
    'é1',
    'a b',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseNamespace(text), null))
  }
  for (const text of RESERVED_NAMESPACES) {
    it(`keeps ${text}`, () => {
      assert.equal(parseNamespace(text), null)
      assert.equal(isReservedNamespace(text), true)
    })
  }
  it('keeps no other word', () => assert.equal(isReservedNamespace('acme'), false))
})

describe('tag', () => {
  for (const text of [
    'latest',
    'v1.2.3',
    '_x',
    'A',
    '0',
    'a-b_c.d',
    'x'.repeat(128),
    `sha256-${'0'.repeat(64)}`,
  ]) {
    it(`accepts ${text.slice(0, 20)}`, () => assert.equal(parseTag(text), text))
  }
  for (const text of [
    '',
    '.a',
    '-a',
    'x'.repeat(129),
    'a/b',
    'a:b',
    'a b',
    'a\n',
    'a\0',
    'é',
    'a%20',
    'a+b',
    '..',
  ]) {
    it(`refuses ${JSON.stringify(text.slice(0, 20))}`, () => assert.equal(parseTag(text), null))
  }
})

describe('reference', () => {
  it('is a tag', () => assert.deepEqual(parseReference('latest'), { kind: 'tag', tag: 'latest' }))
  it('is a digest', () => assert.deepEqual(parseReference(digest), { kind: 'digest', digest }))
  for (const text of [
    '',
    'sha256:baddigeststring',
    `blake3:${'0'.repeat(64)}`,
    'a:b',
    ':',
    `${digest}@`,
    '@a',
  ]) {
    it(`is not ${JSON.stringify(text)}`, () => assert.equal(parseReference(text), null))
  }
})

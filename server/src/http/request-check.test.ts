import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findRequestMistake } from './request-check.ts'

function check(headers: readonly (readonly [string, string])[], httpVersion = '1.1'): string | null {
  const first = new Map(headers.toReversed().map(([name, value]) => [name.toLowerCase(), value]))
  return findRequestMistake({
    httpVersion,
    rawHeaders: headers.flat(),
    headers: Object.fromEntries(first),
  })
}

test('hosts that clients have', () => {
  for (const host of ['a', 'A.example', 'a_b:5000', '127.0.0.1:80', '[::1]', '[2001:db8::1]:443', 'a:', '']) {
    assert.equal(check([['Host', host]]), null, host)
  }
})

test('hosts that nobody has', () => {
  for (const host of [
    'a b',
    'a,b',
    'a, b',
    'a/b',
    'user@a',
    'a:b',
    'a:123456',
    '::1',
    '[x]',
    'ä',
    'a?b',
    '<a>',
  ]) {
    assert.match(check([['Host', host]]) ?? '', /Host header is malformed/, host)
  }
})

test('one Host, and none only before HTTP/1.1', () => {
  assert.match(check([]) ?? '', /one Host/)
  assert.equal(check([], '1.0'), null)
  const twice = [
    ['Host', 'a'],
    ['hOST', 'a'],
  ] as const
  assert.match(check(twice) ?? '', /one Host/)
  assert.match(check(twice, '1.0') ?? '', /one Host/)
})

test('no version but these', () => {
  for (const version of ['0.9', '2.0', '1.2']) {
    assert.match(check([['Host', 'a']], version) ?? '', /HTTP\/1\.1/, version)
  }
})

test('no transfer coding before HTTP/1.1', () => {
  const headers = [
    ['Host', 'a'],
    ['Transfer-Encoding', 'chunked'],
  ] as const
  assert.match(check(headers, '1.0') ?? '', /transfer coding/)
})

test('no transfer coding but chunked', () => {
  const coded = (coding: string) =>
    check([
      ['Host', 'a'],
      ['Transfer-Encoding', coding],
    ])
  assert.equal(coded('chunked'), null)
  assert.equal(coded('Chunked'), null)
  for (const coding of ['gzip, chunked', 'xchunked', 'identity', 'chunked, chunked', '']) {
    assert.match(coded(coding) ?? '', /transfer coding/, coding)
  }
})

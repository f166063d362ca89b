import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatBytes, formatRelative, parseBytes, parseSeconds, printable, shortDigest } from './format.ts'

test('sizes are binary, with as many digits as help', () => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [150 * 1024, '150 KiB'],
    [10 * 1024 ** 3, '10 GiB'],
    [1.26 * 1024 ** 4, '1.3 TiB'],
    [5000 * 1024 ** 5, '5000 PiB'],
  ]
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text)
})

test('sizes are read in the ways that people write them', () => {
  const cases: [string, number | null][] = [
    ['0', 0],
    ['1024', 1024],
    ['10GiB', 10 * 1024 ** 3],
    ['10 gb', 10 * 1024 ** 3],
    ['1.5k', 1536],
    ['7 B', 7],
    ['', null],
    ['-1', null],
    ['10 parsecs', null],
    ['99999P', null],
  ]
  for (const [text, bytes] of cases) assert.equal(parseBytes(text), bytes, text)
})

test('durations are read as seconds', () => {
  const cases: [string, number | null][] = [
    ['0s', 0],
    ['90s', 90],
    ['5m', 300],
    ['12h', 43_200],
    ['7d', 604_800],
    ['2w', 1_209_600],
    ['5', null],
    ['d', null],
    ['1.5h', null],
  ]
  for (const [text, seconds] of cases) assert.equal(parseSeconds(text), seconds, text)
})

test('moments are told as people say them', () => {
  const nowMs = Date.parse('2026-06-15T12:00:00Z')
  const cases: [string | null, string][] = [
    [null, 'never'],
    ['2026-06-15T11:59:30Z', 'just now'],
    ['2026-06-15T12:00:30Z', 'in a moment'],
    ['2026-06-15T11:59:00Z', '1 minute ago'],
    ['2026-06-15T09:00:00Z', '3 hours ago'],
    ['2026-06-14T12:00:00Z', '1 day ago'],
    ['2026-07-15T11:59:59.9Z', 'in 1 month'],
    ['2026-07-05T11:59:59.9Z', 'in 20 days'],
    ['2024-06-15T12:00:00Z', '2 years ago'],
  ]
  for (const [timestamp, text] of cases) assert.equal(formatRelative(timestamp, nowMs), text)
})

test('text from elsewhere cannot steer the terminal', () => {
  assert.equal(printable('a\u001b[2Jb\nc\u202ed'), 'a�[2Jb�c�d')
  assert.equal(printable('Größe 日本'), 'Größe 日本')
})

test('a short digest keeps its algorithm', () => {
  assert.equal(shortDigest(`sha512:${'ab'.repeat(64)}`), 'sha512:abababababab')
})

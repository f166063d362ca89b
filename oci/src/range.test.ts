import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  type ByteRange,
  formatContentRange,
  formatUnsatisfiedRange,
  formatUploadRange,
  parseContentRange,
  parseRange,
} from './range.ts'

const huge = '9'.repeat(30)

describe('parseRange of 2048 bytes', () => {
  const cases: [header: string, expected: ByteRange | 'unsatisfiable' | null][] = [
    ['bytes=500-1499', { start: 500, end: 1499 }],
    ['bytes=500-', { start: 500, end: 2047 }],
    ['bytes=-500', { start: 1548, end: 2047 }],
    ['bytes=2000-5000', { start: 2000, end: 2047 }],
    ['bytes=0-0', { start: 0, end: 0 }],
    ['bytes=2047-2047', { start: 2047, end: 2047 }],
    ['bytes=-5000', { start: 0, end: 2047 }],
    [`bytes=0-${huge}`, { start: 0, end: 2047 }],
    [`bytes=-${huge}`, { start: 0, end: 2047 }],
    ['Bytes=0-1', { start: 0, end: 1 }],
    ['bytes= 0-1 ', { start: 0, end: 1 }],
    ['bytes=0000-0001', { start: 0, end: 1 }],
    ['bytes=500-0', 'unsatisfiable'],
    ['bytes=5000-10000', 'unsatisfiable'],
    ['bytes=2048-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    [`bytes=${huge}-`, 'unsatisfiable'],
    ['bytes=0-1,3-4', null],
    ['bytes=0-1,', null],
    ['lines=0-1', null],
    ['bytes 0-1', null],
    ['bytes=', null],
    ['bytes=-', null],
    ['bytes=a-b', null],
    ['bytes=1', null],
    ['bytes=--1', null],
    ['bytes=0x0-0x1', null],
    ['bytes=1.5-2', null],
    ['bytes=+1-2', null],
    ['bytes=0-1\n', null],
    ['', null],
    [`bytes=0-${'1'.repeat(200)}`, null],
  ]
  for (const [header, expected] of cases) {
    it(JSON.stringify(header.slice(0, 40)), () => assert.deepEqual(parseRange(header, 2048), expected))
  }

  it('sends empty content whole', () => {
    for (const header of ['bytes=0-', 'bytes=-1', 'bytes=5-6']) assert.equal(parseRange(header, 0), null)
  })

  it('never leaves the content, and agrees with the RFC’s own words', () => {
    const position = fc.option(fc.nat(40), { nil: null })
    const property = fc.property(position, position, fc.integer({ min: 1, max: 30 }), (first, last, size) => {
      const header = `bytes=${first ?? ''}-${last ?? ''}`
      const wanted = Array.from({ length: size }, (_, i) => i).filter((i) =>
        first === null ? i >= size - (last ?? 0) : i >= first && i <= (last ?? size),
      )
      const range = parseRange(header, size)
      if (first === null && last === null) return assert.equal(range, null)
      if (wanted.length === 0) return assert.equal(range, 'unsatisfiable')
      assert.deepEqual(range, { start: wanted[0], end: wanted.at(-1) })
    })
    fc.assert(property, { seed: 5, numRuns: 1_000 })
  })
})

describe('parseContentRange', () => {
  const cases: [header: string, expected: ReturnType<typeof parseContentRange>][] = [
    ['0-1023', { start: 0, end: 1023, sizeBytes: null }],
    ['7-7', { start: 7, end: 7, sizeBytes: null }],
    ['bytes 0-1023/2048', { start: 0, end: 1023, sizeBytes: 2048 }],
    ['bytes 0-1023/*', { start: 0, end: 1023, sizeBytes: null }],
    ['bytes 0-1023/1024', { start: 0, end: 1023, sizeBytes: 1024 }],
    [
      '9007199254740990-9007199254740991',
      { start: 9007199254740990, end: 9007199254740991, sizeBytes: null },
    ],
    ['bytes 0-1023/1023', null],
    ['bytes 0-1023', null],
    ['bytes=0-1023', null],
    ['bytes */1024', null],
    ['0-1023/2048', null],
    ['5-4', null],
    ['0--1', null],
    ['-5', null],
    ['5-', null],
    ['a-b', null],
    ['', null],
    ['-', null],
    ['0-9007199254740992', null],
    [`0-${huge}`, null],
    [`bytes 0-1/${huge}`, null],
    ['0-1 ', null],
    ['0-1\n', null],
    [`${'0'.repeat(130)}-1`, null],
  ]
  for (const [header, expected] of cases) {
    it(JSON.stringify(header.slice(0, 40)), () => assert.deepEqual(parseContentRange(header), expected))
  }
})

describe('range headers of answers', () => {
  it('writes them', () => {
    assert.equal(formatContentRange({ start: 5, end: 9 }, 20), 'bytes 5-9/20')
    assert.equal(formatUnsatisfiedRange(20), 'bytes */20')
    assert.equal(formatUploadRange(0), '0-0')
    assert.equal(formatUploadRange(1), '0-0')
    assert.equal(formatUploadRange(1024), '0-1023')
  })
})

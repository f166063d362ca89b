import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError } from '@berth/api/errors'
import { z } from 'zod'
import { decodeCursor, encodeCursor, pageOfRows } from './cursor.ts'

test('a page ends the list when no surplus row was read, even when it is full', () => {
  const page = (rows: number[]) =>
    pageOfRows(
      rows,
      2,
      (row) => row * 10,
      (row) => row,
    )
  assert.deepEqual(page([]), { items: [], nextCursor: null })
  assert.deepEqual(page([1, 2]), { items: [10, 20], nextCursor: null })
  assert.deepEqual(page([1, 2, 3]), { items: [10, 20], nextCursor: encodeCursor(2) })
})

test('a cursor comes back as it was written, and anything else is refused by name', () => {
  const place = z.object({ at: z.int(), id: z.string() })
  const written = { at: 5, id: 'ü/ä' }
  assert.deepEqual(decodeCursor(place, encodeCursor(written)), written)
  assert.equal(decodeCursor(place, undefined), null)
  for (const cursor of ['x', '', encodeCursor(1), encodeCursor({ at: '5', id: 'x' }), '%%%']) {
    assert.throws(
      () => decodeCursor(place, cursor),
      (error) => error instanceof ApiError && error.errors[0]?.path === 'query.cursor',
    )
  }
})

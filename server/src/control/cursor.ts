import { ApiError } from '@berth/api/errors'
import type { z } from 'zod'

/** Writes the place after the last entry of a page as an opaque text. */
export function encodeCursor(place: unknown): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url')
}

/**
 * Reads a cursor that `encodeCursor` wrote; null for none. It is input like any other: it only ever says where to go
 * on in a list that the caller may read anyway. Raises `validation_failed`.
 */
export function decodeCursor<Place extends z.ZodType>(
  place: Place,
  cursor: string | undefined,
): z.output<Place> | null {
  if (cursor === undefined) return null
  const parsed = place.safeParse(parseJson(Buffer.from(cursor, 'base64url').toString('utf8')))
  if (parsed.success) return parsed.data
  throw new ApiError('validation_failed', 'The cursor is not one of this list.', {
    errors: [{ path: 'query.cursor', message: 'must be nextCursor of a page before' }],
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Makes a page of rows that were read with `limit + 1`: the surplus row only says that there are more.
 */
export function pageOfRows<Row, Item>(
  rows: readonly Row[],
  limit: number,
  item: (row: Row) => Item,
  place: (row: Row) => unknown,
): { items: Item[]; nextCursor: string | null } {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const hasMore = rows.length > limit && last !== undefined
  return { items: shown.map(item), nextCursor: hasMore ? encodeCursor(place(last)) : null }
}

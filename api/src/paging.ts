import { z } from 'zod'
import { DEFAULT_PAGE_LIMIT, MAX_CURSOR_LENGTH, MAX_PAGE_LIMIT } from './limits.ts'

/** Query of every list. The cursor is opaque: pass on `nextCursor` of the page before, unchanged. */
export const pageQuery = z.strictObject({
  limit: z.coerce
    .number<number | string>()
    .int()
    .min(1)
    .max(MAX_PAGE_LIMIT)
    .default(DEFAULT_PAGE_LIMIT)
    .describe('Most entries to answer.'),
  cursor: z
    .string()
    .min(1)
    .max(MAX_CURSOR_LENGTH)
    .optional()
    .describe('`nextCursor` of the page before; left out for the first page.'),
})

export type PageQuery = z.output<typeof pageQuery>

/** One page of a list. `nextCursor` is null on the last one. */
export interface Page<Item> {
  readonly items: Item[]
  readonly nextCursor: string | null
}

/** Schema of a page of `item`; `id` names it in OpenAPI. */
export function pageOf<Item extends z.ZodType>(id: string, item: Item) {
  return z
    .object({
      items: z.array(item),
      nextCursor: z.string().nullable().describe('Cursor of the next page; null on the last one.'),
    })
    .meta({ id })
}

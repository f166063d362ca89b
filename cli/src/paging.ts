import type { Client } from '@berth/api/client'
import { MAX_PAGE_LIMIT } from '@berth/api/limits'
import type { OperationInput } from '@berth/api/operation'
import type { OperationId, OperationOf } from '@berth/api/operations'
import { CliError } from './cli-error.ts'

export interface ListOptions {
  readonly limit?: string
  readonly all?: boolean
}

const DEFAULT_LIMIT = 100

interface AnyPage<Row> {
  readonly items: readonly Row[]
  readonly nextCursor: string | null
}

/** Operations that answer pages. */
export type ListOperation = {
  [Id in OperationId]: OperationOf<Id>['response']['_zod']['output'] extends AnyPage<unknown> ? Id : never
}[OperationId]

type RowOf<Id extends ListOperation> =
  OperationOf<Id>['response']['_zod']['output'] extends AnyPage<infer Row> ? Row : never

/** Reads a list page by page, up to what the options ask for. */
export async function readList<Id extends ListOperation>(
  client: Client,
  id: Id,
  input: OperationInput<OperationOf<Id>>,
  options: ListOptions,
): Promise<{ items: RowOf<Id>[]; nextCursor: string | null }> {
  const wanted = options.all === true ? Number.POSITIVE_INFINITY : parseLimit(options.limit)
  const items: RowOf<Id>[] = []
  let cursor: string | null = null
  do {
    const limit = Math.min(wanted - items.length, MAX_PAGE_LIMIT)
    const { query } = input as { readonly query?: object }
    const page: AnyPage<RowOf<Id>> = (await client.call(id, {
      ...input,
      query: { ...query, limit, ...(cursor === null ? {} : { cursor }) },
    } as OperationInput<OperationOf<Id>>)) as never
    items.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null && items.length < wanted)
  return { items, nextCursor: cursor }
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT
  const limit = Number(text)
  if (Number.isSafeInteger(limit) && limit > 0) return limit
  throw new CliError('usage', '--limit must be a positive number.')
}

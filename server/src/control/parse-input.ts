import { ApiError } from '@berth/api/errors'
import type { Operation } from '@berth/api/operation'
import type { FieldError } from '@berth/api/problem'
import type { z } from 'zod'

/** A request's parts as they came. */
export interface RawInput {
  readonly params: unknown
  readonly query: unknown
  readonly body: unknown
}

// More mistakes than this help nobody, and each costs bytes.
const MAX_FIELD_ERRORS = 50

/**
 * Parses all parts of a request by the operation's schemas. Raises one `validation_failed` that names every mistake.
 */
export function parseInput(operation: Operation, raw: RawInput): RawInput {
  const errors: FieldError[] = []
  const parsed = {
    params: parsePart(operation.params, raw.params, 'params', errors),
    query: parsePart(operation.query, raw.query, 'query', errors),
    body: parsePart(operation.body, raw.body ?? {}, 'body', errors),
  }
  if (errors.length === 0) return parsed
  throw new ApiError('validation_failed', summaryOf(errors), { errors: errors.slice(0, MAX_FIELD_ERRORS) })
}

function parsePart(schema: z.ZodType | null, value: unknown, part: string, errors: FieldError[]): unknown {
  if (schema === null) {
    if (part === 'query') refuseAll(value, errors)
    return undefined
  }
  const result = schema.safeParse(value, { error: wordMistake })
  if (result.success) return result.data
  for (const issue of result.error.issues) errors.push(...fieldErrors(issue, part))
  return undefined
}

/** The library's own words, except where they name types of the language. */
function wordMistake({
  code,
  input,
}: {
  readonly code: string
  readonly input?: unknown
}): string | undefined {
  return code === 'invalid_type' && input === undefined ? 'is required' : undefined
}

/** An operation without a query takes none: a misspelt parameter must not pass unnoticed. */
function refuseAll(query: unknown, errors: FieldError[]): void {
  for (const name of Object.keys(query ?? {})) errors.push({ path: `query.${name}`, message: 'is not known' })
}

function fieldErrors(issue: z.core.$ZodIssue, part: string): FieldError[] {
  const path = [part, ...issue.path.map(String)].join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: `${path}.${key}`, message: 'is not known' }))
  }
  return [{ path, message: issue.message }]
}

function summaryOf(errors: readonly FieldError[]): string {
  const [first] = errors
  if (first === undefined) return 'The request is not valid.'
  const more = errors.length - 1
  return `${first.path}: ${first.message}${more === 0 ? '' : ` (and ${more} more)`}`
}

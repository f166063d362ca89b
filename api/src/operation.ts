import type { z } from 'zod'
import type { AccessRule } from './access.ts'
import type { ApiErrorCode } from './errors.ts'

export type HttpMethod = 'GET' | 'POST' | 'PATCH' | 'DELETE'

/** Media type of an answer that is a stream: one JSON object a line. */
export const NDJSON_MEDIA_TYPE = 'application/x-ndjson'

/** One operation of the console: everything that server, client and documentation need to know of it. */
export interface Operation {
  readonly method: HttpMethod
  /** Below `/api/v1`; parameters in braces. */
  readonly path: `/${string}`
  readonly summary: string
  readonly description?: string
  readonly params: z.ZodObject | null
  readonly query: z.ZodObject | null
  /** `null`: no body is read. A body that is left out counts as `{}`. */
  readonly body: z.ZodType | null
  readonly status: 200 | 201
  readonly response: z.ZodType
  /** The answer is a sequence of `response` without an end that is known beforehand: one JSON object a line. */
  readonly stream?: true
  /** Besides those of every operation (`EVERYWHERE`) and those that the presence of a body brings (`WITH_BODY`). */
  readonly errors: readonly ApiErrorCode[]
  readonly access: AccessRule
  /** A session must have been confirmed by password, passkey or single sign-on in the last minutes. */
  readonly stepUp?: true
}

/** Errors that any operation may answer. */
export const EVERYWHERE = [
  'invalid_request',
  'unauthenticated',
  'forbidden',
  'request_timeout',
  'uri_too_long',
  'validation_failed',
  'rate_limited',
  'headers_too_large',
  'internal_error',
  'unavailable',
] as const satisfies readonly ApiErrorCode[]

/** Errors that any operation with a body may answer. */
export const WITH_BODY = [
  'invalid_json',
  'body_too_large',
  'unsupported_media_type',
] as const satisfies readonly ApiErrorCode[]

type InputOf<Schema> = Schema extends z.ZodType ? z.input<Schema> : undefined
type OutputOf<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined

/** What a handler is given: parsed, defaults filled in. */
export interface ParsedInput<Op extends Operation> {
  readonly params: OutputOf<Op['params']>
  readonly query: OutputOf<Op['query']>
  readonly body: OutputOf<Op['body']>
}

/** What a handler answers with. */
export type OperationResult<Op extends Operation> = Op extends { readonly stream: true }
  ? AsyncIterable<z.input<Op['response']>>
  : z.input<Op['response']>

/** What a client receives. */
export type OperationResponse<Op extends Operation> = Op extends { readonly stream: true }
  ? AsyncIterable<z.output<Op['response']>>
  : z.output<Op['response']>

type Field<Name extends string, Schema> = Schema extends z.ZodType
  ? Record<never, never> extends z.input<Schema>
    ? { readonly [key in Name]?: InputOf<Schema> }
    : { readonly [key in Name]: InputOf<Schema> }
  : { readonly [key in Name]?: undefined }

/** What a client passes: only what the operation takes, and what has a default may be left out. */
export type OperationInput<Op extends Operation> = Field<'params', Op['params']> &
  Field<'query', Op['query']> &
  Field<'body', Op['body']>

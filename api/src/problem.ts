import { z } from 'zod'
import { API_ERRORS, type ApiError, type ApiErrorCode } from './errors.ts'

/** Media type of an error answer (RFC 9457). */
export const PROBLEM_MEDIA_TYPE = 'application/problem+json'

const PROBLEM_TYPE_PREFIX = 'urn:berth:problem:'

export const fieldError = z
  .object({
    path: z.string().describe('Where: `body.name`, `query.limit`, `params.project`.'),
    message: z.string().describe('Why.'),
  })
  .meta({ id: 'FieldError' })

export type FieldError = z.output<typeof fieldError>

/** RFC 9457 problem details with a stable code. */
export const problem = z
  .object({
    type: z.string().describe('A URI that names the kind of problem; the code is its last part.'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What is special about this occurrence.'),
    code: z.string().describe('Stable; decide on this one.'),
    requestId: z.string().describe("Finds the request in the server's log and audit events."),
    errors: z.array(fieldError).describe('Fields that are wrong; empty for other problems.'),
  })
  .meta({ id: 'Problem' })

export type Problem = z.output<typeof problem>

/** The body that is sent for an error. */
export function renderProblem(error: ApiError, requestId: string): Problem {
  return {
    type: PROBLEM_TYPE_PREFIX + error.code,
    title: API_ERRORS[error.code].title,
    status: error.status,
    detail: error.detail,
    code: error.code,
    requestId,
    errors: [...error.errors],
  }
}

/** Whether the text is a code of the table: a newer server may send one that this version does not know. */
export function isApiErrorCode(code: string): code is ApiErrorCode {
  return Object.hasOwn(API_ERRORS, code)
}

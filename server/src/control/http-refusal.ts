import { randomUUID } from 'node:crypto'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { PROBLEM_MEDIA_TYPE, renderProblem } from '@berth/api/problem'
import { SECURITY_HEADERS } from './security-headers.ts'

const CODES: Readonly<Record<number, ApiErrorCode>> = {
  405: 'method_not_allowed',
  408: 'request_timeout',
  413: 'body_too_large',
  431: 'headers_too_large',
}

/** Words what the listener refuses as a problem of the console; what has no code of its own is `invalid_request`. */
export function renderConsoleRefusal({ status, message }: { status: number; message: string }) {
  const error = new ApiError(CODES[status] ?? 'invalid_request', `The request is refused: ${message}.`)
  const requestId = randomUUID()
  return {
    status: error.status,
    headers: { ...SECURITY_HEADERS, 'X-Request-Id': requestId, 'Content-Type': PROBLEM_MEDIA_TYPE },
    body: JSON.stringify(renderProblem(error, requestId)),
  }
}

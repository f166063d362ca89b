import { ApiError } from '@berth/api/errors'
import { BlobStoreError } from '../blobstore/blobstore.ts'
import { DatabaseUnavailableError } from '../metastore/database.ts'
import { UNAVAILABLE_RETRY_SECONDS } from './limits.ts'

/** Codes of the framework's own errors that stand for one of ours. */
const FRAMEWORK_ERRORS: Readonly<Record<string, () => ApiError>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new ApiError('unsupported_media_type'),
  FST_ERR_CTP_INVALID_TYPE: () => new ApiError('unsupported_media_type'),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new ApiError('body_too_large'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new ApiError('invalid_request', 'Content-Length does not fit the body.'),
  FST_ERR_BAD_URL: () => new ApiError('invalid_request', 'The path is not valid percent-encoded UTF-8.'),
  FST_ERR_ASYNC_CONSTRAINT: () => new ApiError('invalid_request'),
}

/** What is answered for anything that was thrown. Only an `ApiError` shows its own text. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof DatabaseUnavailableError) {
    const detail =
      error.reason === 'full'
        ? 'The disk of a database is full. Nothing was changed.'
        : 'A database cannot be reached. Nothing was acknowledged.'
    return unavailable(detail, error)
  }
  // Content that is not what it was is nothing that a later attempt cures.
  if (error instanceof BlobStoreError && error.reason !== 'corrupt') {
    return unavailable("A region's blob store cannot do its work. What was done before stands.", error)
  }
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
  return FRAMEWORK_ERRORS[code]?.() ?? new ApiError('internal_error', undefined, { cause: error })
}

function unavailable(detail: string, cause: Error): ApiError {
  return new ApiError('unavailable', detail, {
    headers: { 'Retry-After': String(UNAVAILABLE_RETRY_SECONDS) },
    cause,
  })
}

import { OciError, type OciErrorBody, renderOciErrors, toOciError } from '@berth/oci/errors'
import { BlobStoreError } from '../blobstore/blobstore.ts'
import { DatabaseUnavailableError } from '../metastore/database.ts'
import { type Answer, jsonAnswer } from './answer.ts'
import { AuthenticationRequired, challengeHeader } from './challenge.ts'
import type { Exchange } from './exchange.ts'
import { NO_STORE } from './headers.ts'
import { UNAVAILABLE_RETRY_SECONDS } from './limits.ts'
import type { RegionRuntime } from './runtime.ts'

/** The client went away in the middle: there is nobody to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone'

  constructor() {
    super('the client closed the connection')
  }
}

/** The one place where an error of the data plane becomes an answer. Logs what is ours to repair, once. */
export function renderError(runtime: RegionRuntime, exchange: Exchange, error: unknown): Answer {
  const known = translate(error)
  if (known.status >= 500 || known.cause instanceof BlobStoreError) {
    const { requestId, req } = exchange
    runtime.log.error(
      { err: known.cause ?? known, requestId, method: req.method, region: runtime.region.id },
      'request failed',
    )
  }
  const shown = withRequestId(renderOciErrors(known), known, exchange.requestId)
  const challenge =
    known instanceof AuthenticationRequired
      ? {
          'WWW-Authenticate': challengeHeader(exchange.origin, runtime.region.host, known),
        }
      : {}
  return jsonAnswer(known.status, shown, { ...NO_STORE, ...known.headers, ...challenge })
}

/**
 * The id is in the body too where somebody will ask for it, because clients show bodies and not headers; docker shows
 * the message alone. A 404 stays the same for all that is not there.
 */
function withRequestId(body: OciErrorBody, error: OciError, requestId: string): OciErrorBody {
  if (!SHOWN_WITH_ID.has(error.status)) return body
  const isPuzzling =
    error.status === 403 || (error instanceof AuthenticationRequired && error.error === 'invalid_token')
  return {
    errors: body.errors.map(({ code, message, detail }) => ({
      code,
      message: isPuzzling ? `${message} (berth explain ${requestId})` : message,
      detail: { ...(detail as object | null), requestId },
    })),
  }
}

const SHOWN_WITH_ID: ReadonlySet<number> = new Set([401, 403, 429, 500])

/** 503: it may work again soon. */
export function unavailable(message: string, cause?: unknown): OciError {
  return new OciError('UNKNOWN', message, {
    status: 503,
    headers: { 'Retry-After': String(UNAVAILABLE_RETRY_SECONDS) },
    cause,
  })
}

function translate(error: unknown): OciError {
  if (error instanceof DatabaseUnavailableError) {
    if (error.reason === 'full') return diskFull(error)
    return unavailable('the registry cannot reach its database; try again soon', error)
  }
  if (error instanceof BlobStoreError) return translateBlobStoreError(error)
  return toOciError(error)
}

/** As for a full store: the client can do nothing, and its user should read why. */
function diskFull(cause: unknown): OciError {
  const message = "the registry's disk is full: nothing was changed. Its operator has to free space"
  return new OciError('DENIED', message, { cause, detail: { limit: 'disk' } })
}

/**
 * A full store is told as DENIED (403), not 503 or 507: docker shows the message of a 4xx answer and does not retry
 * it, while of a 5xx answer it shows only the status and sends everything again, four more times.
 */
function translateBlobStoreError(error: BlobStoreError): OciError {
  switch (error.reason) {
    case 'full':
      return new OciError('DENIED', 'the registry has no space left for uploads', { cause: error })
    case 'upload_lost':
      return new OciError('BLOB_UPLOAD_UNKNOWN', 'the upload was lost, start it again', { cause: error })
    case 'corrupt':
      return toOciError(error)
    case 'io':
    case 'unavailable':
      return unavailable('the registry cannot reach its storage; try again soon', error)
  }
}

/** One row of the error table. */
export interface OciErrorRow {
  /** HTTP status unless the throw site says otherwise. */
  readonly status: number
  /** What the client reads when the throw site gives no better words. */
  readonly message: string
  /** For the documentation: when it is raised. */
  readonly description: string
}

/** The 14 codes of the distribution spec ("Error Codes"), and UNKNOWN for what nobody foresaw. */
export const OCI_ERRORS = {
  BLOB_UNKNOWN: {
    status: 404,
    message: 'blob unknown to registry',
    description: 'The blob is not in this repository.',
  },
  BLOB_UPLOAD_INVALID: {
    status: 400,
    message: 'blob upload invalid',
    description:
      'The upload request cannot be carried out as sent. With status 416 the chunk does not start where the upload stands.',
  },
  BLOB_UPLOAD_UNKNOWN: {
    status: 404,
    message: 'blob upload unknown to registry',
    description: 'The upload session was never started here, has ended, was cancelled or has expired.',
  },
  DIGEST_INVALID: {
    status: 400,
    message: 'provided digest did not match uploaded content',
    description:
      'A digest is malformed, uses an algorithm that is not supported, or is not that of the content.',
  },
  MANIFEST_BLOB_UNKNOWN: {
    status: 404,
    message: 'manifest references a manifest or blob unknown to registry',
    description: 'The manifest names content that is not in this repository. Push that content first.',
  },
  MANIFEST_INVALID: {
    status: 400,
    message: 'manifest invalid',
    description: 'The manifest is not valid. With status 413 it is larger than the limit.',
  },
  MANIFEST_UNKNOWN: {
    status: 404,
    message: 'manifest unknown to registry',
    description: 'No manifest in this repository has this tag or digest.',
  },
  NAME_INVALID: {
    status: 400,
    message: 'invalid repository name',
    description: 'The repository name does not follow the grammar, or is longer than 255 characters.',
  },
  NAME_UNKNOWN: {
    status: 404,
    message: 'repository name not known to registry',
    description: 'There is no such repository, or the caller may not know of it.',
  },
  SIZE_INVALID: {
    status: 400,
    message: 'provided length did not match content length',
    description: 'A size is malformed or is not that of the content.',
  },
  // The texts of UNAUTHORIZED and DENIED must not be the specification's own: docker then takes the error for one that
  // passes by itself, and tries every upload five times over 50 seconds.
  UNAUTHORIZED: {
    status: 401,
    message: 'log in with an API key that may do this',
    description: 'No credential, or one that is not valid (any more).',
  },
  DENIED: {
    status: 403,
    message: 'this credential may not do this',
    description: 'The credential is valid but may not do this, or a limit such as the quota forbids it.',
  },
  UNSUPPORTED: {
    status: 405,
    message: 'the operation is unsupported',
    description: 'The registry does not do this.',
  },
  TOOMANYREQUESTS: {
    status: 429,
    message: 'too many requests',
    description: 'A rate limit was reached. Retry-After says when to come back.',
  },
  UNKNOWN: {
    status: 500,
    message: 'unknown error',
    description: 'The registry failed. The request id finds the cause in its log.',
  },
} as const satisfies Record<string, OciErrorRow>

/** A code of the error table. */
export type OciErrorCode = keyof typeof OCI_ERRORS

export interface OciErrorOptions {
  /** Overrides the table's status, such as 416 with BLOB_UPLOAD_INVALID or 413 with MANIFEST_INVALID. */
  readonly status?: number
  /** Sent to the client: must hold nothing that the caller may not know. */
  readonly detail?: unknown
  /** Response headers, such as WWW-Authenticate, Retry-After or Range. */
  readonly headers?: Readonly<Record<string, string>>
  /** For the log, never sent. */
  readonly cause?: unknown
}

/** An answer of the registry that is an error. `message` is sent to the client. */
export class OciError extends Error {
  override readonly name = 'OciError'
  readonly code: OciErrorCode
  readonly status: number
  readonly detail: unknown
  readonly headers: Readonly<Record<string, string>>

  constructor(code: OciErrorCode, message: string = OCI_ERRORS[code].message, options: OciErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? OCI_ERRORS[code].status
    this.detail = options.detail ?? null
    this.headers = options.headers ?? {}
  }
}

/** Body of an error answer (distribution spec, "Error Codes"). */
export interface OciErrorBody {
  readonly errors: readonly {
    readonly code: OciErrorCode
    readonly message: string
    readonly detail: unknown
  }[]
}

/** The error itself when it is an OciError, else an UNKNOWN that carries it as its cause and tells nothing. */
export function toOciError(error: unknown): OciError {
  return error instanceof OciError ? error : new OciError('UNKNOWN', undefined, { cause: error })
}

/** The body to send. Anything but an OciError shows as UNKNOWN, without its text. */
export function renderOciErrors(error: unknown): OciErrorBody {
  const { code, message, detail } = toOciError(error)
  return { errors: [{ code, message, detail }] }
}

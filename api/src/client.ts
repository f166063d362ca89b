import { API_ERRORS, ApiError, type ApiErrorCode } from './errors.ts'
import { readNdjson } from './ndjson.ts'
import type { Operation, OperationInput, OperationResponse } from './operation.ts'
import { API_PREFIX, OPERATIONS, type OperationId, type OperationOf } from './operations.ts'
import { isApiErrorCode, problem } from './problem.ts'

/** Longest that a call may take when the caller does not say, in milliseconds. */
export const DEFAULT_CALL_TIMEOUT_MS = 60_000

export interface ClientOptions {
  /** Origin of the console, such as `http://127.0.0.1:8080`. A path in it is kept. */
  readonly baseUrl: string
  /** Sent as a Bearer token; null: none. */
  readonly token: string | null
  readonly userAgent?: string
  readonly timeoutMs?: number
}

/** The console could not be reached, or what answers there is not a console. */
export class ConsoleUnreachableError extends Error {
  override readonly name = 'ConsoleUnreachableError'
  readonly baseUrl: string

  constructor(baseUrl: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.baseUrl = baseUrl
  }
}

/** The console, typed by the table of operations. */
export interface Client {
  readonly baseUrl: string
  /** Raises `ApiError` for an error answer, `ConsoleUnreachableError` when there is no answer of a console. */
  call<Id extends OperationId>(
    id: Id,
    input: OperationInput<OperationOf<Id>>,
    options?: { readonly timeoutMs?: number },
  ): Promise<OperationResponse<OperationOf<Id>>>
}

interface LooseInput {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | number | boolean | null | undefined>>
  readonly body?: unknown
}

/** A client over `fetch`. It holds no state besides its options, and follows no redirects with the token. */
export function createClient(options: ClientOptions): Client {
  const baseUrl = options.baseUrl.replace(/\/+$/, '')
  return {
    baseUrl,
    async call(id, input, callOptions) {
      const operation: Operation = OPERATIONS[id]
      const loose = input as LooseInput
      const url = baseUrl + operationUrl(operation, loose)
      const timeoutMs = callOptions?.timeoutMs ?? options.timeoutMs ?? DEFAULT_CALL_TIMEOUT_MS
      const silence = limitSilence(timeoutMs)
      const response = await send(baseUrl, url, {
        method: operation.method,
        headers: requestHeaders(options, operation.body !== null),
        body: operation.body === null ? null : JSON.stringify(loose.body ?? {}),
        redirect: 'error',
        signal: operation.stream === true ? silence.signal : AbortSignal.timeout(timeoutMs),
      }).catch((error: unknown) => {
        silence.end()
        throw error
      })
      if (operation.stream === true && response.ok) return readStream(baseUrl, response, silence) as never
      silence.end()
      return (await readAnswer(baseUrl, response)) as never
    },
  }
}

/** Path and query of a call, below the console's origin. */
export function operationUrl(operation: Operation, input: LooseInput): string {
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = input.params?.[name]
    if (value === undefined || value === '') throw new TypeError(`${operation.path} needs ${name}`)
    return encodeURIComponent(value)
  })
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(input.query ?? {})) {
    if (value !== undefined && value !== null) query.set(name, String(value))
  }
  const search = query.toString()
  return API_PREFIX + path + (search === '' ? '' : `?${search}`)
}

function requestHeaders(options: ClientOptions, hasBody: boolean): Record<string, string> {
  return {
    accept: 'application/json',
    ...(options.userAgent === undefined ? {} : { 'user-agent': options.userAgent }),
    ...(options.token === null ? {} : { authorization: `Bearer ${options.token}` }),
    ...(hasBody ? { 'content-type': 'application/json' } : {}),
  }
}

async function send(baseUrl: string, url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (error) {
    throw new ConsoleUnreachableError(baseUrl, `no answer from ${baseUrl}: ${reasonOf(error)}`, error)
  }
}

interface Silence {
  readonly signal: AbortSignal
  heard(): void
  end(): void
}

/** A stream may take as long as it likes, but not stay silent for longer than a call may take. */
function limitSilence(timeoutMs: number): Silence {
  const controller = new AbortController()
  const timer = setTimeout(
    () => controller.abort(new DOMException('no data for too long', 'TimeoutError')),
    timeoutMs,
  )
  return {
    signal: controller.signal,
    heard: () => void timer.refresh(),
    end: () => clearTimeout(timer),
  }
}

/** Yields the values of a stream as they come. Raises `ConsoleUnreachableError` when it breaks off. */
async function* readStream(baseUrl: string, response: Response, silence: Silence): AsyncGenerator<unknown> {
  try {
    yield* readNdjson(hearing(response.body, silence))
  } catch (error) {
    throw new ConsoleUnreachableError(
      baseUrl,
      `the answer of ${baseUrl} broke off: ${reasonOf(error)}`,
      error,
    )
  } finally {
    silence.end()
  }
}

async function* hearing(
  body: ReadableStream<Uint8Array> | null,
  silence: Silence,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body ?? []) {
    silence.heard()
    yield chunk
  }
}

async function readAnswer(baseUrl: string, response: Response): Promise<unknown> {
  let body: unknown
  try {
    body = await response.json()
  } catch (error) {
    const message = `${baseUrl} answered ${response.status} without JSON: it is not a Berth console, or a proxy in front of it failed`
    throw new ConsoleUnreachableError(baseUrl, message, error)
  }
  if (response.ok) return body
  const parsed = problem.safeParse(body)
  if (!parsed.success) {
    throw new ConsoleUnreachableError(
      baseUrl,
      `${baseUrl} answered ${response.status}, but not as a Berth console does`,
    )
  }
  const { code, detail, errors, requestId } = parsed.data
  const retryAfter = response.headers.get('retry-after')
  throw new ApiError(isApiErrorCode(code) ? code : codeOfStatus(response.status), detail, {
    errors,
    requestId,
    headers: retryAfter === null ? {} : { 'retry-after': retryAfter },
  })
}

/** For a code that this version does not know: the first one with the same status, else `internal_error`. */
function codeOfStatus(status: number): ApiErrorCode {
  const codes = Object.keys(API_ERRORS) as ApiErrorCode[]
  return codes.find((code) => API_ERRORS[code].status === status) ?? 'internal_error'
}

function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'it took too long'
  const cause = error instanceof Error ? error.cause : undefined
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message
  if (cause instanceof Error && cause.message !== '') return cause.message
  return error instanceof Error ? error.message : String(error)
}

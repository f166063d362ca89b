import type { ECRClientConfig } from '@aws-sdk/client-ecr'
import type { Outgoing } from '../outgoing/outgoing.ts'
import type { CallOptions } from './call-options.ts'
import { ECR_TIMEOUT_MS, MAX_SMALL_ANSWER_BYTES } from './limits.ts'

type Handler = NonNullable<ECRClientConfig['requestHandler']>

/** What this module needs of the SDK's request. */
interface SdkRequest {
  readonly method: string
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

// Made by the guard from the URL and the body, to the same values.
const MADE_BY_GUARD = new Set([
  'host',
  'content-length',
  'user-agent',
  'accept-encoding',
  'connection',
  'expect',
])

/** Sends the requests of an AWS client through the guard. */
export function guardedHandler(outgoing: Outgoing, call: CallOptions): Handler {
  const handler = {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle(request: SdkRequest, options: { readonly abortSignal?: unknown } = {}) {
      const { status, headers, body } = await outgoing.request(urlOf(request), {
        ...call,
        method: request.method,
        headers: Object.fromEntries(
          Object.entries(request.headers).filter(([name]) => !MADE_BY_GUARD.has(name.toLowerCase())),
        ),
        ...bodyOf(request.body),
        timeoutMs: ECR_TIMEOUT_MS,
        maxBytes: MAX_SMALL_ANSWER_BYTES,
        ...(options.abortSignal instanceof AbortSignal ? { signal: options.abortSignal } : {}),
      })
      const flat = Object.entries(headers).map(([name, value]) => [name, String(value)])
      return { response: { statusCode: status, headers: Object.fromEntries(flat), body } }
    },
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
    destroy() {},
  }
  return handler
}

function urlOf({ protocol, hostname, port, path, query = {} }: SdkRequest): URL {
  const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`)
  url.pathname = path
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value ?? '']) url.searchParams.append(name, String(one))
  }
  return url
}

function bodyOf(body: unknown): { body?: string | Uint8Array } {
  if (body === undefined || body === null) return {}
  if (typeof body === 'string' || body instanceof Uint8Array) return { body }
  throw new TypeError('the AWS client sends a stream, which none of its calls here needs')
}

import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'

export interface OutgoingRequest {
  /** Default: GET. */
  readonly method?: string
  /** Not `host`, `content-length` or another header of the connection itself. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** From the call to the end of the body; with `bodyTimeoutMs`, to the headers of the answer. */
  readonly timeoutMs: number
  /** For large bodies: how long the body may take once the headers are there. */
  readonly bodyTimeoutMs?: number
  /** Default: 1 MiB. */
  readonly maxBytes?: number
  readonly signal?: AbortSignal
  /** Whose call this is (such as a project's id), so that nobody takes all places. */
  readonly account?: string
}

export interface OutgoingResponse {
  readonly status: number
  /** Names in lower case; of what was sent more than once, `set-cookie` is a list and the rest is joined by commas. */
  readonly headers: IncomingHttpHeaders
  /** Must be read or destroyed. As it was sent, without any decompression. Fails with `OutgoingError`. */
  readonly body: Readable
}

/**
 * The one way out for every call that a user can aim: custom registries, webhooks, OIDC issuers. It never follows a
 * redirect, connects only to addresses that it has checked, and keeps no connection from one call to the next.
 */
export interface Outgoing {
  /**
   * Sends one request and answers with the headers of its answer, whatever their status. Redirects are answers.
   * Throws `OutgoingError`, or the signal's reason.
   */
  request(url: string | URL, options: OutgoingRequest): Promise<OutgoingResponse>
  /** Whether the operator said that this host (`name` or `name:port`) is spoken to in plain HTTP. */
  usesPlainHttp(host: string): boolean
}

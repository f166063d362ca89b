/** What a caller may say about any call. */
export interface CallOptions {
  readonly signal?: AbortSignal
  /** See `OutgoingRequest.account`. */
  readonly account?: string
  readonly timeoutMs?: number
}

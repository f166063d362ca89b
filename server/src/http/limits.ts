/** Limits of the listeners. What a single surface limits is in that surface's own limits file. */
export const HTTP_LIMITS = {
  /** All header fields of a request. A registry token of 8 KiB fits. */
  maxHeaderBytes: 16 * 1024,
  /** Time for a client to send its whole header. Bodies have progress limits of their own. */
  headersTimeoutMs: 15_000,
  /** Idle time on a kept-alive connection; longer than that of usual load balancers (60 s), so that they close first. */
  keepAliveTimeoutMs: 75_000,
  /** Open connections per listener; more are refused by the kernel's queue. */
  maxConnections: 10_000,
  /** Requests that may wait on one connection behind a running one before the connection is read further. */
  maxRequestsPerSocket: 0,
} as const

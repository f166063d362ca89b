import { LEASE_MS } from './limits.ts'

/**
 * For how long this process may trust what it has cached about access. Counted on a monotonic clock from before the
 * poll that renews it was sent, so it ends no later than the database thinks, whatever happens in between.
 */
export interface Lease {
  isValid(): boolean
  /** `sentAtMs`: monotonic time before the first message of the poll. Never shortens the lease. */
  renew(sentAtMs: number): void
  /** Gives the lease up at once. */
  end(): void
}

/** Starts without a lease. */
export function createLease(monotonicMs: () => number, durationMs: number = LEASE_MS): Lease {
  let validUntilMs = Number.NEGATIVE_INFINITY
  return {
    isValid: () => monotonicMs() < validUntilMs,
    renew(sentAtMs) {
      validUntilMs = Math.max(validUntilMs, sentAtMs + durationMs)
    },
    end() {
      validUntilMs = Number.NEGATIVE_INFINITY
    },
  }
}

// Every bound of webhooks, with its unit.

/** From the call to the headers and the beginning of the answer, in milliseconds. */
export const ATTEMPT_TIMEOUT_MS = 15_000

/** How much of an answer's body is read and kept, in bytes. */
export const MAX_RESPONSE_BYTES = 1_024

/** When an attempt that was never reported counts as lost, in milliseconds: its process died. */
export const CLAIM_MS = 60_000

/** Attempts under way at once, in all, of one project and to one webhook: slow receivers take no places from others. */
export const MAX_IN_FLIGHT = 32
export const MAX_IN_FLIGHT_PER_PROJECT = 8
export const MAX_IN_FLIGHT_PER_WEBHOOK = 4

/** Deliveries of one webhook that may wait; with more of them it is disabled. */
export const MAX_WAITING_PER_WEBHOOK = 10_000

/** Events that one step turns into deliveries. */
export const EVENTS_PER_STEP = 200

/** Pauses after each failed attempt, in milliseconds: ten attempts over three days. */
export const RETRY_PAUSES_MS: readonly number[] = [
  5_000,
  5 * 60_000,
  30 * 60_000,
  2 * 3_600_000,
  5 * 3_600_000,
  10 * 3_600_000,
  14 * 3_600_000,
  16 * 3_600_000,
  24 * 3_600_000,
]

/** A pause is longer by up to this share, so that what failed together does not come back together. */
export const RETRY_JITTER = 0.2

/** Longest wait that a receiver can ask for with Retry-After, in milliseconds. */
export const MAX_RETRY_AFTER_MS = 24 * 3_600_000

/** A webhook that had no success for this long is disabled when a delivery fails for good, in milliseconds. */
export const PATIENCE_MS = 3 * 24 * 3_600_000

/** Finished deliveries are kept for this long, in milliseconds, and the latest of each webhook only. */
export const DELIVERIES_KEPT_MS = 30 * 24 * 3_600_000
export const DELIVERIES_KEPT_PER_WEBHOOK = 1_000

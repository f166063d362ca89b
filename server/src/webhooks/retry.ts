import { MAX_RETRY_AFTER_MS, RETRY_JITTER, RETRY_PAUSES_MS } from './limits.ts'

/**
 * How long to wait after the attempt with this number (from 1) has failed; null: it was the last one. `random` is in
 * [0, 1). A receiver may ask for longer, not for shorter.
 */
export function retryPauseMs(tries: number, random: number, retryAfterMs: number | null): number | null {
  const pauseMs = RETRY_PAUSES_MS[tries - 1]
  if (pauseMs === undefined) return null
  const asked = Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
  return Math.round(Math.max(pauseMs, asked) * (1 + random * RETRY_JITTER))
}

/** Retry-After in seconds or as a date (RFC 9110 section 10.2.3), as milliseconds from now; null: none, or nonsense. */
export function parseRetryAfterMs(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000
  const at = Date.parse(value)
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs)
}

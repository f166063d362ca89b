import type { IncomingHttpHeaders } from 'node:http'
import { MAX_RETRY_AFTER_SECONDS } from './limits.ts'
import type { UpstreamRateLimit } from './upstream.ts'

// Docker Hub: `ratelimit-limit: 100;w=21600`, `ratelimit-remaining: 97;w=21600`.
const AMOUNT = /^(\d{1,9})(?:\s*;\s*w=(\d{1,9}))?/

/** The pull limit that the headers speak of, or null. */
export function readRateLimit(headers: IncomingHttpHeaders): UpstreamRateLimit | null {
  const limit = amount(headers['ratelimit-limit'])
  if (limit === null) return null
  const remaining = amount(headers['ratelimit-remaining'])
  return {
    limit: limit.count,
    remaining: remaining?.count ?? null,
    windowSeconds: limit.windowSeconds ?? remaining?.windowSeconds ?? null,
  }
}

/** Seconds of a Retry-After header in either of its forms (RFC 9110, section 10.2.3); null without a usable one. */
export function readRetryAfterSeconds(headers: IncomingHttpHeaders, nowMs: number): number | null {
  const text = headers['retry-after']
  if (text === undefined) return null
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - nowMs) / 1000)
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 1), MAX_RETRY_AFTER_SECONDS) : null
}

function amount(
  header: string | string[] | undefined,
): { count: number; windowSeconds: number | null } | null {
  const match = AMOUNT.exec(Array.isArray(header) ? (header[0] ?? '') : (header ?? ''))
  if (match === null) return null
  return { count: Number(match[1]), windowSeconds: match[2] === undefined ? null : Number(match[2]) }
}

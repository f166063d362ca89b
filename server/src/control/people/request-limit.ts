import { createRequire } from 'node:module'
import { ApiError } from '@berth/api/errors'
import type { RateLimiterMemory as MemoryLimiter, RateLimiterRes } from 'rate-limiter-flexible'

// Only the limiter in memory: the package's main file loads one for each of twenty databases.
const RateLimiterMemory = createRequire(import.meta.url)(
  'rate-limiter-flexible/lib/RateLimiterMemory.js',
) as typeof MemoryLimiter

const WINDOW_SECONDS = 60
const EVERYONE = 'everyone'

/** Lets each client do something so many times a minute. */
export interface RequestLimit {
  /** Counts one. Raises `rate_limited`. */
  spend(client: string): Promise<void>
}

/** Keeps its counts in memory, of `clients` clients at most: beyond that everybody waits for the minute to end. */
export function createRequestLimit(perMinute: number, clients: number): RequestLimit {
  const perClient = new RateLimiterMemory({ points: perMinute, duration: WINDOW_SECONDS })
  const known = new RateLimiterMemory({ points: clients, duration: WINDOW_SECONDS })
  return {
    async spend(client) {
      try {
        if ((await perClient.get(client)) === null) await known.consume(EVERYONE)
        await perClient.consume(client)
      } catch (refusal) {
        if (refusal instanceof Error) throw refusal
        const waitSeconds = Math.max(1, Math.ceil((refusal as RateLimiterRes).msBeforeNext / 1000))
        throw new ApiError('rate_limited', `Too many requests. Try again in ${waitSeconds} s.`, {
          headers: { 'Retry-After': String(waitSeconds) },
        })
      }
    },
  }
}

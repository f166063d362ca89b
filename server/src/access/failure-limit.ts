import { createRequire } from 'node:module'
import type { RateLimiterMemory as MemoryLimiter, RateLimiterRes } from 'rate-limiter-flexible'
import { addressIdentity } from './cidr.ts'
import {
  FAILURE_WINDOW_SECONDS,
  MAX_COUNTED_FAILURES,
  MAX_FAILING_CREDENTIALS_PER_ADDRESS,
  MAX_FAILURES_PER_CREDENTIAL,
} from './limits.ts'

// Only the limiter in memory: the package's main file loads one for each of twenty databases, 10 MiB of them.
const RateLimiterMemory = createRequire(import.meta.url)(
  'rate-limiter-flexible/lib/RateLimiterMemory.js',
) as typeof MemoryLimiter

export interface FailureLimits {
  readonly failuresPerCredential: number
  readonly failingCredentialsPerAddress: number
  readonly countedFailures: number
  /** Default: a minute. */
  readonly windowSeconds?: number
}

export const DEFAULT_FAILURE_LIMITS: FailureLimits = {
  failuresPerCredential: MAX_FAILURES_PER_CREDENTIAL,
  failingCredentialsPerAddress: MAX_FAILING_CREDENTIALS_PER_ADDRESS,
  countedFailures: MAX_COUNTED_FAILURES,
}

/**
 * Counts failed sign-ins of each (credential, client) within a minute, and the different failing credentials of each
 * client. For secrets that cannot be guessed only failures are ever asked about: who shows a right one is let in whatever
 * others do. Attempts with a password are counted before it is checked and forgotten when it was right. Either way nobody
 * can lock anybody out who is elsewhere.
 */
export interface FailureLimit {
  /**
   * Counts one failure. `credential`: a key's id, or a hash of what was shown; never a secret. Answers the seconds
   * to wait when this client has failed too often, else null.
   */
  count(credential: string, clientAddress: string): Promise<number | null>
  /** Takes back what was counted for this pair: it was no failure. */
  forget(credential: string, clientAddress: string): Promise<void>
}

const EVERYONE = 'everyone'

/** Keeps its counts in memory: each replica counts for itself. */
export function createFailureLimit(limits: FailureLimits = DEFAULT_FAILURE_LIMITS): FailureLimit {
  const duration = limits.windowSeconds ?? FAILURE_WINDOW_SECONDS
  const perCredential = new RateLimiterMemory({ points: limits.failuresPerCredential, duration })
  const perAddress = new RateLimiterMemory({ points: limits.failingCredentialsPerAddress, duration })
  // The other two remember one entry for each key for the window; this one bounds how many entries there can be.
  const total = new RateLimiterMemory({ points: limits.countedFailures, duration })

  return {
    async count(credential, clientAddress) {
      const client = addressIdentity(clientAddress)
      const pair = `${credential} ${client}`
      if ((await perCredential.get(pair)) === null) {
        const ofClient = await perAddress.get(client)
        if (ofClient !== null && ofClient.consumedPoints >= limits.failingCredentialsPerAddress) {
          return toSeconds(ofClient)
        }
        const waitSeconds = (await consume(total, EVERYONE)) ?? (await consume(perAddress, client))
        if (waitSeconds !== null) return waitSeconds
      }
      return consume(perCredential, pair)
    },
    async forget(credential, clientAddress) {
      const client = addressIdentity(clientAddress)
      if (!(await perCredential.delete(`${credential} ${client}`))) return
      await perAddress.reward(client, 1)
      await total.reward(EVERYONE, 1)
    },
  }
}

async function consume(limiter: MemoryLimiter, key: string): Promise<number | null> {
  try {
    await limiter.consume(key)
    return null
  } catch (refusal) {
    // The library rejects with its result, and with an Error only when it is broken.
    if (refusal instanceof Error) throw refusal
    return toSeconds(refusal as RateLimiterRes)
  }
}

function toSeconds(result: RateLimiterRes): number {
  return Math.max(1, Math.ceil(result.msBeforeNext / 1000))
}

import { ApiError } from '@berth/api/errors'
import { addressIdentity } from '../../access/cidr.ts'
import { createFailureLimit, type FailureLimit } from '../../access/failure-limit.ts'
import { sweepExpired } from '../../metastore/queries/person-session.ts'
import type { ControlRuntime } from '../runtime.ts'
import type { Auth } from './auth.ts'
import {
  MAX_AUTH_REQUESTS_PER_MINUTE,
  MAX_CODE_ENTRIES_PER_MINUTE,
  MAX_COUNTED_SIGN_INS,
  MAX_DEVICE_STARTS_PER_MINUTE,
  MAX_FAILING_ACCOUNTS_PER_ADDRESS,
  MAX_LIMITED_CLIENTS,
  MAX_PASSWORD_FAILURES,
  PASSWORD_FAILURE_WINDOW_SECONDS,
  SSO_DISCOVERY_TIMEOUT_MS,
  SWEEP_INTERVAL_MS,
  SWEEP_ROWS,
} from './limits.ts'
import { createPasswords, type Passwords } from './password.ts'
import { createRequestLimit, type RequestLimit } from './request-limit.ts'
import type { SsoAuth } from './sso.ts'

/** What one console process keeps in memory to let people sign in. */
export interface People {
  readonly passwords: Passwords
  /** Wrong passwords, by account and address. */
  readonly passwordFailures: FailureLimit
  readonly requests: RequestLimit
  readonly deviceStarts: RequestLimit
  /** By person. */
  readonly codeEntries: RequestLimit
  /** The sign-in library, loaded by the first call. */
  auth(): Promise<Auth>
  /** The same with single sign-on. Raises `unavailable` while the issuer cannot be reached; null: not set up. */
  sso(): Promise<SsoAuth | null>
  /** Removes what has expired, now and then. Does not fail. */
  sweep(): Promise<void>
}

/** Makes it; nothing is loaded yet. */
export function createPeople(runtime: ControlRuntime): People {
  const passwords = createPasswords()
  let sweptAt = Number.NEGATIVE_INFINITY
  return {
    passwords,
    passwordFailures: createFailureLimit({
      failuresPerCredential: MAX_PASSWORD_FAILURES,
      failingCredentialsPerAddress: MAX_FAILING_ACCOUNTS_PER_ADDRESS,
      countedFailures: MAX_COUNTED_SIGN_INS,
      windowSeconds: PASSWORD_FAILURE_WINDOW_SECONDS,
    }),
    requests: perAddress(MAX_AUTH_REQUESTS_PER_MINUTE),
    deviceStarts: perAddress(MAX_DEVICE_STARTS_PER_MINUTE),
    codeEntries: createRequestLimit(MAX_CODE_ENTRIES_PER_MINUTE, MAX_LIMITED_CLIENTS),
    auth: onceItWorks(async () => {
      const { createAuth } = await import('./auth.ts')
      return createAuth(runtime, passwords)
    }),
    sso: onceItWorks(async () => {
      const { sso } = runtime.people
      if (sso === null) return null
      const { createSsoAuth } = await import('./sso.ts')
      return withinTime(createSsoAuth(runtime, sso), sso.name)
    }),
    async sweep() {
      const nowMs = runtime.clock.nowMs()
      if (nowMs - sweptAt < SWEEP_INTERVAL_MS) return
      sweptAt = nowMs
      try {
        // Anybody may start sign-ins and device logins, so there may be any number; each batch is a transaction of its own.
        while ((await runtime.db.run(sweepExpired, { nowMs, limit: SWEEP_ROWS })).more);
      } catch (error) {
        runtime.log.warn({ err: error }, 'expired sessions were not removed')
      }
    },
  }
}

function perAddress(perMinute: number): RequestLimit {
  const limit = createRequestLimit(perMinute, MAX_LIMITED_CLIENTS)
  return { spend: (address) => limit.spend(addressIdentity(address)) }
}

/** Does it at the first call and keeps what came out; what failed is tried again by the next call. */
function onceItWorks<Result>(make: () => Promise<Result>): () => Promise<Result> {
  let made: Promise<Result> | null = null
  return () => {
    made ??= make().catch((error: unknown) => {
      made = null
      throw error
    })
    return made
  }
}

async function withinTime<Result>(making: Promise<Result>, name: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new ApiError('unavailable', `${name} does not answer. Try again later.`)),
      SSO_DISCOVERY_TIMEOUT_MS,
    )
  })
  try {
    return await Promise.race([making, late])
  } finally {
    clearTimeout(timer)
  }
}

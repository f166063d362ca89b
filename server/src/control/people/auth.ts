import { passkey } from '@better-auth/passkey'
import { APIError } from 'better-auth/api'
import { type BetterAuthOptions, betterAuth } from 'better-auth/minimal'
import { deviceAuthorization } from 'better-auth/plugins/device-authorization'
import type { ControlRuntime } from '../runtime.ts'
import { createAuthAdapter } from './auth-adapter.ts'
import { cookiePrefix, isSecure } from './cookies.ts'
import {
  BROWSER_SESSION_MS,
  DEVICE_CODE_SECONDS,
  DEVICE_POLL_SECONDS,
  MAX_PASSWORD_LENGTH,
  MIN_PASSWORD_LENGTH,
} from './limits.ts'
import type { Passwords } from './password.ts'

/*
 * The sign-in library, set up over our tables. It is 40 MiB of memory: only the first sign-in of a process loads this file.
 */

/** The one client of the device flow. */
export const DEVICE_CLIENT_ID = 'berth'

const BASE_PATH = '/api/auth'

export type Auth = ReturnType<typeof createAuth>

/** Passwords, passkeys and the device flow. */
export function createAuth(runtime: ControlRuntime, passwords: Passwords) {
  return betterAuth({
    ...commonOptions(runtime),
    emailAndPassword: {
      enabled: true,
      // Accounts come from the setup link, from invitations and from single sign-on.
      disableSignUp: true,
      minPasswordLength: MIN_PASSWORD_LENGTH,
      maxPasswordLength: MAX_PASSWORD_LENGTH,
      password: { hash: passwords.hash, verify: passwords.verify },
    },
    plugins: [
      passkeys(runtime.consoleUrl),
      deviceAuthorization({
        expiresIn: `${DEVICE_CODE_SECONDS}s`,
        interval: `${DEVICE_POLL_SECONDS}s`,
        verificationUri: `${runtime.consoleUrl}/device`,
        validateClient: (clientId) => clientId === DEVICE_CLIENT_ID,
        schema: DEVICE_SCHEMA,
      }),
    ],
  })
}

/** Options that single sign-on shares, which is an instance of its own so that a silent issuer stops nobody else. */
export function commonOptions(runtime: ControlRuntime) {
  const { consoleUrl, people, db } = runtime
  return {
    appName: 'Berth',
    baseURL: new URL(consoleUrl).origin,
    basePath: BASE_PATH,
    secret: people.cookieSecret,
    trustedOrigins: [new URL(consoleUrl).origin],
    database: createAuthAdapter(db, people.tokenKey),
    telemetry: { enabled: false },
    logger: loggerOf(runtime),
    // Ours count by account and address; those of the library would lock out whoever shares an address.
    rateLimit: { enabled: false },
    // What the library did not expect, such as a database that is away, is ours to answer.
    onAPIError: { errorURL: `${consoleUrl}/sign-in`, throw: true },
    session: {
      ...SESSION_SCHEMA,
      expiresIn: BROWSER_SESSION_MS / 1000,
      disableSessionRefresh: true,
      // Our own rule, `confirmed_at`, decides what needs a fresh confirmation.
      freshAge: 0,
    },
    user: USER_SCHEMA,
    account: { ...ACCOUNT_SCHEMA, storeStateStrategy: 'cookie' },
    verification: { ...VERIFICATION_SCHEMA, storeIdentifier: 'hashed' },
    advanced: {
      cookiePrefix: cookiePrefix(consoleUrl),
      useSecureCookies: false,
      defaultCookieAttributes: {
        secure: isSecure(consoleUrl),
        httpOnly: true,
        sameSite: 'lax',
        path: '/',
      },
      // A header would say it; the adapter writes the address that the trusted proxies say.
      ipAddress: { disableIpTracking: true },
    },
  } satisfies BetterAuthOptions
}

function passkeys(consoleUrl: string) {
  const { hostname, origin } = new URL(consoleUrl)
  return passkey({
    rpID: hostname,
    rpName: 'Berth',
    origin,
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    // A passkey is the only factor here: without PIN or biometrics it would be no more than a key that was found.
    registration: {
      afterVerification: async ({ verification }) => {
        requireUserVerification(verification.registrationInfo?.userVerified)
      },
    },
    authentication: {
      afterVerification: async ({ verification }) => {
        requireUserVerification(verification.authenticationInfo.userVerified)
      },
    },
    advanced: { webAuthnChallengeCookie: 'passkey' },
    schema: PASSKEY_SCHEMA,
  })
}

function requireUserVerification(userVerified: boolean | undefined): void {
  if (userVerified === true) return
  throw new APIError('UNAUTHORIZED', { message: 'The authenticator did not verify its user.' })
}

/** What the library says goes to our log: wrong passwords are no warnings, and its arguments may hold anything. */
function loggerOf({ log }: ControlRuntime) {
  return {
    level: 'warn' as const,
    disableColors: true,
    log: (level: 'debug' | 'info' | 'success' | 'warn' | 'error', message: string, ...rest: unknown[]) => {
      const cause = rest.find((one) => one instanceof Error)
      const fields = cause === undefined ? {} : { err: cause }
      if (level === 'error') log.warn(fields, `sign-in library: ${message}`)
      else log.debug(fields, `sign-in library: ${message}`)
    },
  }
}

const CREATED = { createdAt: 'created_at' } as const
const TIMES = { ...CREATED, updatedAt: 'updated_at' } as const

const USER_SCHEMA = {
  modelName: 'user_account',
  fields: { ...TIMES, emailVerified: 'email_verified' },
} as const

const SESSION_SCHEMA = {
  modelName: 'user_session',
  fields: {
    ...TIMES,
    token: 'token_hmac',
    userId: 'user_id',
    expiresAt: 'expires_at',
    ipAddress: 'ip_address',
    userAgent: 'user_agent',
  },
} as const

const ACCOUNT_SCHEMA = {
  modelName: 'user_credential',
  fields: { ...TIMES, accountId: 'account_id', providerId: 'provider_id', userId: 'user_id' },
} as const

const VERIFICATION_SCHEMA = {
  modelName: 'user_verification',
  fields: { ...TIMES, expiresAt: 'expires_at' },
} as const

const PASSKEY_SCHEMA = {
  passkey: {
    modelName: 'user_passkey',
    fields: {
      ...CREATED,
      publicKey: 'public_key',
      userId: 'user_id',
      credentialID: 'credential_id',
      deviceType: 'device_type',
      backedUp: 'backed_up',
    },
  },
} as const

const DEVICE_SCHEMA = {
  deviceCode: {
    modelName: 'device_code',
    fields: {
      deviceCode: 'device_code',
      userCode: 'user_code',
      userId: 'user_id',
      expiresAt: 'expires_at',
      lastPolledAt: 'last_polled_at',
      pollingInterval: 'polling_interval',
      clientId: 'client_id',
    },
  },
}

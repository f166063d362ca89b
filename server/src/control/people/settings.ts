import { createSecretKey, type KeyObject } from 'node:crypto'
import { deriveKey, type InstallationKey, type RootKey } from '../../vault/root-key.ts'

/** The provider of single sign-on, in the path of the redirect URI. */
export const SSO_PROVIDER = 'sso'

/** Single sign-on of people, as the operator set it up. */
export interface SsoSettings {
  /** Its `/.well-known/openid-configuration` says the rest. */
  readonly issuer: string
  readonly clientId: string
  /** Null: a public client. */
  readonly clientSecret: string | null
  /** On the button. */
  readonly name: string
  /** Whoever has a verified address in one of these may make an account by signing in. Empty: only people who have one. */
  readonly domains: readonly string[]
}

/** What the console needs to let people sign in. */
export interface PeopleSettings {
  /** Signs cookies and form tokens. */
  readonly cookieSecret: string
  /** HMAC key of session tokens and device codes, so that the database alone opens nothing. */
  readonly tokenKey: KeyObject
  /** Null: people sign in with passwords and passkeys. */
  readonly sso: SsoSettings | null
}

/** The settings of single sign-on as the configuration has them. */
export interface SsoConfig {
  readonly ssoIssuer: string | null
  readonly ssoClientId: string | null
  readonly ssoClientSecret: string | null
  readonly ssoName: string
  readonly ssoDomains: readonly string[]
}

/** The settings of a process. The secrets behind sign-ins come from the root key: they are the same in each process. */
export function derivePeopleSettings(rootKey: RootKey | InstallationKey, config: SsoConfig): PeopleSettings {
  return {
    cookieSecret: Buffer.from(deriveKey(rootKey, 'people-cookies/v1')).toString('base64url'),
    tokenKey: createSecretKey(deriveKey(rootKey, 'people-tokens/v1')),
    sso: ssoSettings(config),
  }
}

function ssoSettings(config: SsoConfig): SsoSettings | null {
  const { ssoIssuer, ssoClientId, ssoClientSecret, ssoName, ssoDomains } = config
  if (ssoIssuer === null || ssoClientId === null) return null
  return {
    issuer: ssoIssuer,
    clientId: ssoClientId,
    clientSecret: ssoClientSecret,
    name: ssoName,
    domains: ssoDomains,
  }
}

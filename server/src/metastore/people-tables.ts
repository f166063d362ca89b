import type { Selectable } from 'kysely'

/*
 * The tables of people, part of `control-schema.ts`. Those that better-auth reads and writes have its columns under our
 * names; the adapter in `control/people/` maps them.
 */

export interface PeopleTables {
  user_account: UserAccountTable
  user_credential: UserCredentialTable
  user_passkey: UserPasskeyTable
  user_verification: UserVerificationTable
  user_session: UserSessionTable
  device_code: DeviceCodeTable
  personal_token: PersonalTokenTable
  password_reset: PasswordResetTable
}

export interface UserAccountTable {
  id: string
  name: string
  /** In lower case. */
  email: string
  email_verified: number
  image: string | null
  /** 1: may do what the operator token may. */
  is_operator: number
  created_at: number
  updated_at: number
  /** Since when the account is stopped: nobody signs in with it. */
  disabled_at: number | null
  last_sign_in_at: number | null
}

/** A way to sign in: `provider_id` `credential` with a password, or `sso` with `account_id` `<issuer>#<subject>`. */
export interface UserCredentialTable {
  id: string
  user_id: string
  provider_id: string
  account_id: string
  /** PHC string. */
  password: string | null
  created_at: number
  updated_at: number
}

export interface UserPasskeyTable {
  id: string
  user_id: string
  name: string | null
  public_key: string
  credential_id: string
  counter: number
  device_type: string
  backed_up: number
  transports: string | null
  aaguid: string | null
  created_at: number
}

/** Challenges of passkeys: used once, gone after minutes. */
export interface UserVerificationTable {
  id: string
  identifier: string
  value: string
  expires_at: number
  created_at: number
  updated_at: number
}

/** How somebody signed in. */
export type SignInMethod = 'setup' | 'password' | 'passkey' | 'sso' | 'device'

export interface UserSessionTable {
  id: string
  user_id: string
  /** HMAC of the token, which is nowhere in clear. */
  token_hmac: string
  kind: 'browser' | 'device'
  method: SignInMethod
  created_at: number
  /** Last use, to the hour. */
  updated_at: number
  expires_at: number
  /** When the person last proved who they are, in this session. */
  confirmed_at: number | null
  ip_address: string | null
  user_agent: string | null
}

export interface DeviceCodeTable {
  id: string
  /** HMACs of the two codes. */
  device_code: string
  user_code: string
  user_id: string | null
  status: 'pending' | 'approved' | 'denied'
  client_id: string | null
  scope: string | null
  created_at: number
  expires_at: number
  last_polled_at: number | null
  polling_interval: number | null
  /** When whoever approved it had last proved who they are. */
  confirmed_at: number | null
  /** Of the device that asks. */
  ip_address: string | null
  user_agent: string | null
}

export interface PersonalTokenTable {
  id: string
  user_id: string
  name: string
  pepper_version: number
  secret_hmac: Uint8Array
  created_at: number
  expires_at: number | null
  /** To some minutes. */
  last_used_at: number | null
  revoked_at: number | null
  /** 1: may do what asks a session for a fresh confirmation. */
  allow_sensitive: number
}

/** A link that lets its person set a new password, once. A person has one at most. */
export interface PasswordResetTable {
  user_id: string
  token_hmac: Uint8Array
  created_at: number
  expires_at: number
}

export type UserAccountRow = Selectable<UserAccountTable>
export type UserSessionRow = Selectable<UserSessionTable>
export type UserPasskeyRow = Selectable<UserPasskeyTable>
export type DeviceCodeRow = Selectable<DeviceCodeTable>
export type PersonalTokenRow = Selectable<PersonalTokenTable>

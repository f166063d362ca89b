import { hashSecret, parseKey, sameHash } from '../../access/key.ts'
import type { UserSessionRow } from '../../metastore/people-tables.ts'
import {
  extendSession,
  loadSessionByToken,
  type SessionWithPerson,
} from '../../metastore/queries/person-session.ts'
import { loadTokenWithPerson, notePersonalTokenUse } from '../../metastore/queries/personal-token.ts'
import type { PersonPrincipal } from '../principal.ts'
import type { ControlRuntime } from '../runtime.ts'
import {
  CONFIRMATION_MS,
  DEVICE_SESSION_IDLE_MS,
  DEVICE_SESSION_MAX_MS,
  SESSION_USE_GRANULARITY_MS,
  TOKEN_USE_GRANULARITY_MS,
} from './limits.ts'
import { tokenHmac } from './token-hmac.ts'

/** Longest session token that is looked up, in characters: the library makes 32. */
const MAX_SESSION_TOKEN_LENGTH = 128

/** The person whose session this token is. Null: no such session, or it has ended. */
export function principalOfSession(runtime: ControlRuntime, token: string): Promise<PersonPrincipal | null> {
  return principalOf(runtime, token, () => true)
}

/** The same for a cookie: the token of a command line opens no pages, which hand out more than it may do. */
export function principalOfCookie(runtime: ControlRuntime, token: string): Promise<PersonPrincipal | null> {
  return principalOf(runtime, token, ({ kind }) => kind === 'browser')
}

async function principalOf(
  runtime: ControlRuntime,
  token: string,
  accepts: (session: UserSessionRow) => boolean,
): Promise<PersonPrincipal | null> {
  if (token === '' || token.length > MAX_SESSION_TOKEN_LENGTH) return null
  const nowMs = runtime.clock.nowMs()
  const hmac = tokenHmac(runtime.people.tokenKey, token)
  const found = await loadSessionByToken(runtime.db.reader, hmac, nowMs)
  if (found === null || !accepts(found.session)) return null
  await noteUse(runtime, found.session, nowMs)
  return toPrincipal(found)
}

/** The principal of a session that was loaded. */
export function toPrincipal({ session, person }: SessionWithPerson): PersonPrincipal {
  return {
    kind: 'person',
    userId: person.id,
    email: person.email,
    name: person.name,
    isOperator: person.is_operator === 1,
    via: 'session',
    sessionId: session.id,
    tokenId: null,
    steppedUpUntil: session.confirmed_at === null ? null : session.confirmed_at + CONFIRMATION_MS,
    allowSensitive: false,
  }
}

/** When the person of a session last proved who they are, in ms since the epoch. Null: not in this session. */
export function confirmedAtOf({ steppedUpUntil }: PersonPrincipal): number | null {
  return steppedUpUntil === null ? null : steppedUpUntil - CONFIRMATION_MS
}

/** Once an hour; a session of the command line lives on with it, up to half a year. */
async function noteUse(runtime: ControlRuntime, session: UserSessionRow, nowMs: number): Promise<void> {
  if (nowMs - session.updated_at < SESSION_USE_GRANULARITY_MS) return
  const expiresAt =
    session.kind === 'device'
      ? Math.min(nowMs + DEVICE_SESSION_IDLE_MS, session.created_at + DEVICE_SESSION_MAX_MS)
      : session.expires_at
  await unlessUnavailable(runtime, () => runtime.db.run(extendSession, { id: session.id, nowMs, expiresAt }))
}

/** The person whose personal access token this is. Null: it is none, or not valid any more. */
export async function principalOfPersonalToken(
  runtime: ControlRuntime,
  text: string,
): Promise<PersonPrincipal | null> {
  const parsed = parseKey(text)
  if (parsed === null || parsed.kind !== 'p') return null
  const found = await loadTokenWithPerson(runtime.db.reader, parsed.id)
  if (found === null || found.token.pepper_version !== runtime.pepper.version) return null
  const { token, person } = found
  if (!sameHash(hashSecret(runtime.pepper.key, parsed.secret), token.secret_hmac)) return null
  const nowMs = runtime.clock.nowMs()
  if (token.revoked_at !== null || (token.expires_at !== null && token.expires_at <= nowMs)) return null
  if (nowMs - (token.last_used_at ?? 0) >= TOKEN_USE_GRANULARITY_MS) {
    await unlessUnavailable(runtime, () => runtime.db.run(notePersonalTokenUse, { id: token.id, nowMs }))
  }
  return {
    kind: 'person',
    userId: person.id,
    email: person.email,
    name: person.name,
    isOperator: person.is_operator === 1,
    via: 'token',
    sessionId: null,
    tokenId: token.id,
    steppedUpUntil: null,
    allowSensitive: token.allow_sensitive === 1,
  }
}

/** When a session was last used is no reason to refuse a read on a full disk. */
async function unlessUnavailable(runtime: ControlRuntime, write: () => Promise<unknown>): Promise<void> {
  try {
    await write()
  } catch (error) {
    runtime.log.warn({ err: error }, 'the last use of a session or token was not noted')
  }
}

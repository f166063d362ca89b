import { ApiError } from '@berth/api/errors'
import type { Passkey, Session } from '@berth/api/sessions'
import { z } from 'zod'
import type { UserPasskeyRow, UserSessionRow } from '../../metastore/people-tables.ts'
import { deletePasskey, listPasskeys } from '../../metastore/queries/passkey.ts'
import { endOtherSessions, endSession, listSessions } from '../../metastore/queries/person-session.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { CONFIRMATION_MS } from '../people/limits.ts'
import { personOf, refuseTokens } from '../principal.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'

const createdPlace = z.object({ createdAt: z.int(), id: z.string() })
const idPlace = z.object({ id: z.string() })

export const sessionHandlers: HandlersOf<
  'sessions.list' | 'sessions.end' | 'sessions.endOthers' | 'passkeys.list' | 'passkeys.delete'
> = {
  'sessions.list': async ({ runtime, principal }, { query }) => {
    const person = personOf(principal)
    const rows = await listSessions(runtime.db.reader, person.userId, {
      nowMs: runtime.clock.nowMs(),
      after: decodeCursor(createdPlace, query.cursor),
      limit: query.limit + 1,
    })
    return pageOfRows(
      rows,
      query.limit,
      (row) => toSession(row, person.sessionId),
      (row) => ({ createdAt: row.created_at, id: row.id }),
    )
  },
  'sessions.end': async ({ runtime, principal, origin }, { params }) => {
    const person = personOf(principal)
    const id = params.session === 'current' ? (person.sessionId ?? '') : params.session
    const ended = await runtime.db.run(endSession, { userId: person.userId, id, origin: origin() })
    if (ended === null) throw new ApiError('session_not_found')
    return { id: ended.id }
  },
  'sessions.endOthers': ({ runtime, principal, origin }) => {
    const { userId, sessionId } = personOf(principal)
    return runtime.db.run(endOtherSessions, { userId, keepId: sessionId, origin: origin() })
  },

  'passkeys.list': async ({ runtime, principal }, { query }) => {
    const rows = await listPasskeys(runtime.db.reader, personOf(principal).userId, {
      after: decodeCursor(idPlace, query.cursor)?.id ?? null,
      limit: query.limit + 1,
    })
    return pageOfRows(rows, query.limit, toPasskey, ({ id }) => ({ id }))
  },
  'passkeys.delete': async ({ runtime, principal, origin }, { params }) => {
    refuseTokens(principal)
    const target = { userId: personOf(principal).userId, id: params.passkey, origin: origin() }
    const deleted = await runtime.db.run(deletePasskey, target)
    if (deleted === null) throw new ApiError('passkey_not_found')
    return toPasskey(deleted)
  },
}

function toSession(row: UserSessionRow, currentId: string | null): Session {
  return {
    id: row.id,
    kind: row.kind,
    method: row.method,
    current: row.id === currentId,
    address: row.ip_address,
    userAgent: row.user_agent,
    createdAt: toTimestamp(row.created_at),
    lastUsedAt: toTimestamp(row.updated_at),
    expiresAt: toTimestamp(row.expires_at),
    steppedUpUntil: toTimestampOrNull(row.confirmed_at === null ? null : row.confirmed_at + CONFIRMATION_MS),
  }
}

function toPasskey(row: UserPasskeyRow): Passkey {
  return {
    id: row.id,
    name: row.name,
    createdAt: toTimestamp(row.created_at),
    backedUp: row.backed_up === 1,
  }
}

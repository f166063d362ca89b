import { ApiError } from '@berth/api/errors'
import type { PersonalToken } from '@berth/api/personal-tokens'
import { z } from 'zod'
import { hashSecret, mintKey } from '../../access/key.ts'
import type { PersonalTokenRow } from '../../metastore/people-tables.ts'
import {
  createPersonalToken,
  listPersonalTokens,
  revokePersonalToken,
} from '../../metastore/queries/personal-token.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { MAX_PERSONAL_TOKENS } from '../people/limits.ts'
import { personOf } from '../principal.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'

const place = z.object({ createdAt: z.int(), id: z.string() })

export const personalTokenHandlers: HandlersOf<
  'personalTokens.list' | 'personalTokens.create' | 'personalTokens.revoke'
> = {
  'personalTokens.list': async ({ runtime, principal }, { query }) => {
    const nowMs = runtime.clock.nowMs()
    const rows = await listPersonalTokens(runtime.db.reader, personOf(principal).userId, {
      activeAt: query.state === 'active' ? nowMs : null,
      after: decodeCursor(place, query.cursor),
      limit: query.limit + 1,
    })
    return pageOfRows(
      rows,
      query.limit,
      (row) => toPersonalToken(row, nowMs),
      (row) => ({ createdAt: row.created_at, id: row.id }),
    )
  },
  'personalTokens.create': async ({ runtime, principal, origin }, { body }) => {
    const person = personOf(principal)
    // Else whoever finds one could live on after it was revoked.
    if (person.via === 'token') {
      throw new ApiError(
        'forbidden',
        'A personal access token cannot make another one. Log in with berth login.',
      )
    }
    const { nowMs } = origin()
    const expiresAt = typeof body.expiresAt === 'string' ? Date.parse(body.expiresAt) : null
    if (expiresAt !== null && expiresAt <= nowMs) {
      const errors = [{ path: 'body.expiresAt', message: 'must be in the future' }]
      throw new ApiError('validation_failed', undefined, { errors })
    }
    const minted = mintKey('p')
    const token = {
      id: minted.id,
      userId: person.userId,
      name: body.name,
      pepperVersion: runtime.pepper.version,
      secretHmac: hashSecret(runtime.pepper.key, minted.secret),
      expiresAt,
      allowSensitive: body.allowSensitive,
      limit: MAX_PERSONAL_TOKENS,
    }
    const outcome = await runtime.db.run(createPersonalToken, { token, origin: origin() })
    if (!outcome.ok) throw new ApiError(outcome.reason === 'disabled' ? 'unauthenticated' : 'too_many_tokens')
    return { ...toPersonalToken(outcome.token, nowMs), token: minted.text }
  },
  'personalTokens.revoke': async ({ runtime, principal, origin }, { params }) => {
    const person = personOf(principal)
    const id = params.token === 'current' ? (person.tokenId ?? '') : params.token
    const revoked = await runtime.db.run(revokePersonalToken, { userId: person.userId, id, origin: origin() })
    if (revoked === null) throw new ApiError('personal_token_not_found')
    return toPersonalToken(revoked, runtime.clock.nowMs())
  },
}

function toPersonalToken(row: PersonalTokenRow, nowMs: number): PersonalToken {
  return {
    id: row.id,
    name: row.name,
    state: stateOf(row, nowMs),
    createdAt: toTimestamp(row.created_at),
    expiresAt: toTimestampOrNull(row.expires_at),
    revokedAt: toTimestampOrNull(row.revoked_at),
    lastUsedAt: toTimestampOrNull(row.last_used_at),
    allowSensitive: row.allow_sensitive === 1,
  }
}

function stateOf(row: PersonalTokenRow, nowMs: number): PersonalToken['state'] {
  if (row.revoked_at !== null) return 'revoked'
  return row.expires_at !== null && row.expires_at <= nowMs ? 'expired' : 'active'
}

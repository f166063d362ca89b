import { z } from 'zod'
import { listPeople } from '../../metastore/queries/person-upkeep.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { refuseTokens } from '../principal.ts'
import { createPasswordReset, toPerson, updatePerson } from './service.ts'

const place = z.object({ createdAt: z.int(), id: z.string() })

export const personHandlers: HandlersOf<'people.list' | 'people.update' | 'people.resetPassword'> = {
  'people.list': async ({ runtime }, { query }) => {
    const page = { after: decodeCursor(place, query.cursor), limit: query.limit + 1 }
    const rows = await listPeople(runtime.db.reader, page)
    return pageOfRows(rows, query.limit, toPerson, ({ person }) => ({
      createdAt: person.created_at,
      id: person.id,
    }))
  },
  'people.update': async ({ runtime, principal, origin }, { params, body }) => {
    // What it gives outlives the token.
    if (body.isOperator === true) refuseTokens(principal)
    return updatePerson(runtime, params.user, body, origin())
  },
  'people.resetPassword': async ({ runtime, principal, origin }, { params }) => {
    refuseTokens(principal)
    return createPasswordReset(runtime, params.user, origin())
  },
}

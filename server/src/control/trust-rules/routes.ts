import { z } from 'zod'
import { listTrustRules } from '../../metastore/queries/trust-rule.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { createTrustRule, removeTrustRule, showTrustRule, toTrustRules, updateTrustRule } from './service.ts'

const place = z.object({ createdAt: z.int(), id: z.string() })

export const trustRuleHandlers: HandlersOf<
  'trustRules.list' | 'trustRules.create' | 'trustRules.show' | 'trustRules.update' | 'trustRules.remove'
> = {
  'trustRules.list': async ({ runtime, project }, { query }) => {
    const rows = await listTrustRules(runtime.db.reader, project.id, {
      after: decodeCursor(place, query.cursor),
      limit: query.limit + 1,
    })
    const page = pageOfRows(
      rows,
      query.limit,
      (row) => row,
      (row) => ({ createdAt: row.created_at, id: row.id }),
    )
    return { ...page, items: await toTrustRules(runtime, page.items) }
  },
  'trustRules.create': ({ runtime, project, origin }, { body }) =>
    createTrustRule(runtime, project, body, origin()),
  'trustRules.show': ({ runtime, project }, { params }) =>
    showTrustRule(runtime, { projectId: project.id, id: params.rule }),
  'trustRules.update': ({ runtime, project, origin }, { params, body }) =>
    updateTrustRule(runtime, project, params.rule, body, origin()),
  'trustRules.remove': ({ runtime, project, origin }, { params }) =>
    removeTrustRule(runtime, { projectId: project.id, id: params.rule }, origin()),
}

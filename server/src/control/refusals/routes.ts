import { setTimeout as wait } from 'node:timers/promises'
import { ApiError } from '@berth/api/errors'
import type { Refusal } from '@berth/api/refusals'
import type { DenialRule } from '../../access/denial.ts'
import type { RefusalRow } from '../../metastore/audit-tables.ts'
import { loadProjectWithRole } from '../../metastore/queries/project.ts'
import { loadRefusal } from '../../metastore/queries/refusal.ts'
import { auditSources } from '../audit-events/sources.ts'
import type { CallContext, HandlersOf } from '../handler.ts'
import { actorOf, isOperator, mayInProject } from '../principal.ts'
import { toTimestamp } from '../time.ts'
import { RULES, type RuleValues } from './rules.ts'

/** Refusals are written about once a second: who asks at once waits for that. */
const WRITE_WAIT_MS = 1_500

export const refusalHandlers: HandlersOf<'refusals.explain'> = {
  async 'refusals.explain'(context, { params: { requestId } }) {
    const found =
      (await findVisible(context, requestId)) ??
      (await wait(WRITE_WAIT_MS, null, { signal: context.signal })) ??
      (await findVisible(context, requestId))
    if (found === null) throw new ApiError('refusal_not_found')
    return found
  },
}

/** Who may not see a refusal is told what is told of one that is not there, and as late. */
async function findVisible(context: CallContext, requestId: string): Promise<Refusal | null> {
  const { runtime } = context
  await runtime.refusals.flush()
  for (const { name, reader } of auditSources(runtime)) {
    const row = await loadRefusal(reader, requestId)
    if (row !== null) return (await maySee(context, row)) ? toRefusal(name, row) : null
  }
  return null
}

async function maySee({ runtime, principal }: CallContext, row: RefusalRow): Promise<boolean> {
  if (isOperator(principal) || row.actor === actorOf(principal)) return true
  if (row.project_id === '' || principal.kind !== 'person') return false
  const found = await loadProjectWithRole(runtime.db.reader, row.project_id, principal.userId)
  return found !== null && found.role !== null && mayInProject(principal, 'audit.read', found.role)
}

function toRefusal(source: string, row: RefusalRow): Refusal {
  const { rule, detail } = JSON.parse(row.rule) as { rule: DenialRule; detail: RuleValues }
  const words = RULES[rule]
  return {
    requestId: row.request_id,
    at: toTimestamp(row.at),
    source,
    projectId: row.project_id === '' ? null : row.project_id,
    actor: row.actor,
    address: row.address,
    operation: row.operation,
    resource: row.resource,
    status: row.status,
    code: row.code,
    rule,
    detail,
    explanation: words.explanation(detail),
    remedy: words.remedy,
  }
}

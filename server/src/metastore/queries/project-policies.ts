import { defineCommand } from '../database.ts'
import type { ControlSchema, ProjectRow } from '../control-schema.ts'
import { publishAccessChange } from './access-feed.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

/** Fields that are left out stay as they are; both are JSON, `retention` null for no rules. */
export interface PoliciesChange {
  readonly immutableTags?: string
  readonly retention?: string | null
}

export type PoliciesUpdated =
  | { readonly ok: true; readonly seq: number; readonly project: ProjectRow }
  | { readonly ok: false; readonly reason: 'not_found' }

/** Changes a project's rules about images, and publishes them to the regions. `seq`: the change to wait for. */
export const updatePolicies = defineCommand<
  ControlSchema,
  { readonly id: string; readonly change: PoliciesChange; readonly origin: ChangeOrigin },
  PoliciesUpdated
>('project.update_policies', async (tx, { id, change, origin }) => {
  const project = await tx
    .updateTable('project')
    .set({
      ...(change.immutableTags === undefined ? {} : { immutable_tags: change.immutableTags }),
      ...(change.retention === undefined ? {} : { retention: change.retention }),
    })
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  if (project === undefined) return { ok: false, reason: 'not_found' }
  await insertControlAuditEvent(tx, origin, {
    projectId: id,
    action: 'policies.update',
    target: project.namespace,
    detail: { ...change },
  })
  const seq = await publishAccessChange(tx, 'project', id, origin.nowMs)
  return { ok: true, seq, project }
})

export const projectPoliciesCommands = [updatePolicies]

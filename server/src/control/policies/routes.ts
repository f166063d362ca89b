import { ApiError } from '@berth/api/errors'
import { type Policies, policies, type PoliciesUpdate } from '@berth/api/policies'
import type { ProjectRow } from '../../metastore/control-schema.ts'
import { updatePolicies } from '../../metastore/queries/project-policies.ts'
import { checkGlobs } from '../globs.ts'
import type { HandlersOf } from '../handler.ts'
import { propagateEverywhere } from '../propagate.ts'

export const policyHandlers: HandlersOf<'policies.show' | 'policies.update'> = {
  'policies.show': async ({ project }) => toPolicies(project),
  'policies.update': async ({ runtime, project, origin }, { body }) => {
    checkRules(body)
    const { immutableTags, retention } = body
    const change = {
      ...(immutableTags === undefined ? {} : { immutableTags: JSON.stringify(immutableTags) }),
      ...(retention === undefined
        ? {}
        : { retention: retention === null ? null : JSON.stringify(retention) }),
    }
    const outcome = await runtime.db.run(updatePolicies, { id: project.id, change, origin: origin() })
    if (!outcome.ok) throw new ApiError('project_not_found')
    // Who makes a tag immutable relies on it, as does who changes what is removed.
    await propagateEverywhere(runtime, outcome.seq)
    return toPolicies(outcome.project)
  },
}

function toPolicies(project: ProjectRow): Policies {
  const { immutable_tags, retention } = project
  return policies.parse({
    immutableTags: JSON.parse(immutable_tags),
    retention: retention === null ? null : JSON.parse(retention),
  })
}

function checkRules({ immutableTags, retention }: PoliciesUpdate): void {
  for (const [i, rule] of (immutableTags ?? []).entries())
    checkGlobs(rule.repositories, `body.immutableTags.${i}.repositories`)
  for (const [i, rule] of (retention?.rules ?? []).entries())
    checkGlobs(rule.repositories, `body.retention.rules.${i}.repositories`)
  for (const [i, rule] of (retention?.untagged ?? []).entries())
    checkGlobs(rule.repositories, `body.retention.untagged.${i}.repositories`)
}

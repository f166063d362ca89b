import type { Page } from '@berth/api/paging'
import type { RetentionVerdict } from '@berth/api/policies'
import { z } from 'zod'
import { loadRepository } from '../../metastore/queries/browse.ts'
import { planRepository, PLAN_START, type PlanPlace, type Verdict } from '../../retention/plan.ts'
import { planOfRepository, plannedRepositories, type RepositoryPlan } from '../../retention/run.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { ProjectCallContext } from '../handler.ts'
import { RETENTION_LOOKED_AT } from '../limits.ts'
import { regionsOf } from '../repositories/find-repository.ts'
import type { ControlRegion } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'

const place = z.object({
  region: z.string(),
  path: z.string(),
  kind: z.enum(['tag', 'manifest']),
  after: z.string(),
})

type Place = z.output<typeof place>

interface PreviewQuery {
  readonly region?: string | undefined
  readonly repository?: string | undefined
  readonly show: 'all' | 'removed' | 'kept'
  readonly limit: number
  readonly cursor?: string | undefined
}

/**
 * One page of what the rules say. Ends early when it has looked at much and found little to show, so that one request
 * is bounded work whatever is asked for. Raises `region_not_found`.
 */
export async function previewRetention(
  context: ProjectCallContext,
  query: PreviewQuery,
): Promise<Page<RetentionVerdict>> {
  const start = decodeCursor(place, query.cursor)
  const items: RetentionVerdict[] = []
  let lookedAt = 0
  for await (const { region, plan, verdict } of walk(context, query, start)) {
    lookedAt += 1
    const isShown = query.show === 'all' || verdict.keep === (query.show === 'kept')
    if (isShown) items.push(toVerdict(region, plan, verdict))
    if (items.length >= query.limit || lookedAt >= RETENTION_LOOKED_AT)
      return { items, nextCursor: encodeCursor(placeAfter(region, plan, verdict)) }
  }
  return { items, nextCursor: null }
}

async function* walk({ runtime, project }: ProjectCallContext, query: PreviewQuery, start: Place | null) {
  const rules = {
    projectId: project.id,
    retention: project.retention,
    immutableTags: project.immutable_tags,
  }
  const regions = regionsOf(runtime, query.region)
  const first = regions.findIndex(({ region }) => region.id === start?.region)
  for (const region of regions.slice(Math.max(first, 0))) {
    const { reader } = region.db
    const here = start?.region === region.region.id ? start : null
    const one = here?.path ?? query.repository ?? null
    const row = one === null ? null : await loadRepository(reader, project.id, one)
    const plan = row === null ? null : planOfRepository(row, rules)
    const nowMs = await region.db.nowMs()
    if (plan !== null) {
      const from: PlanPlace = here ?? PLAN_START
      for await (const verdict of planRepository(reader, plan, nowMs, from)) yield { region, plan, verdict }
    }
    if (query.repository !== undefined) continue
    for await (const next of plannedRepositories(region.db, rules, here?.path ?? null)) {
      for await (const verdict of planRepository(reader, next, nowMs)) yield { region, plan: next, verdict }
    }
  }
}

function placeAfter({ region }: ControlRegion, { path }: RepositoryPlan, verdict: Verdict): Place {
  const after = verdict.kind === 'tag' ? verdict.tag : verdict.digest
  return { region: region.id, path, kind: verdict.kind, after }
}

function toVerdict({ region }: ControlRegion, { path }: RepositoryPlan, verdict: Verdict): RetentionVerdict {
  const { kind, digest, keep, rule, reason, pulledAt } = verdict
  return {
    repository: path,
    region: region.id,
    kind,
    tag: verdict.kind === 'tag' ? verdict.tag : null,
    digest,
    keep,
    rule,
    reason,
    pushedAt: verdict.kind === 'tag' ? toTimestamp(verdict.pushedAt) : null,
    lastPulledAt: toTimestampOrNull(pulledAt),
  }
}

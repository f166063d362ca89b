import { ApiError } from '@berth/api/errors'
import type { RetentionRegionReport } from '@berth/api/policies'
import { loadRetentionRun } from '../../metastore/queries/retention-run.ts'
import { forecastRetention, runRetention } from '../../retention/run.ts'
import type { HandlersOf, ProjectCallContext } from '../handler.ts'
import { regionsOf } from '../repositories/find-repository.ts'
import type { ControlRegion } from '../runtime.ts'
import { toTimestampOrNull } from '../time.ts'
import { previewRetention } from './preview.ts'

export const retentionHandlers: HandlersOf<'retention.status' | 'retention.preview' | 'retention.run'> = {
  'retention.status': async ({ runtime, project }) => ({
    regions: await Promise.all(
      [...runtime.regions.values()].map(async ({ region, db }) => {
        const run = await loadRetentionRun(db.reader, project.id)
        return {
          region: region.id,
          outcome: run?.outcome ?? null,
          startedAt: toTimestampOrNull(run?.started_at ?? null),
          finishedAt: toTimestampOrNull(run?.finished_at ?? null),
          removedTags: run?.removed_tags ?? 0,
          removedManifests: run?.removed_manifests ?? 0,
          detail: run?.detail ?? null,
        }
      }),
    ),
  }),
  'retention.preview': (context, { query }) => previewRetention(context, query),
  'retention.run': async (context, { body }) => {
    const regions: RetentionRegionReport[] = []
    // One region after the other: a run is work for the same few processors.
    for (const region of regionsOf(context.runtime, body.region))
      regions.push(body.dryRun ? await forecast(context, region) : await run(context, region))
    return { dryRun: body.dryRun, regions }
  },
}

async function forecast(
  { project, signal }: ProjectCallContext,
  region: ControlRegion,
): Promise<RetentionRegionReport> {
  const found = await forecastRetention(region, project.id, signal)
  return { region: region.region.id, forecast: found, result: null }
}

async function run(context: ProjectCallContext, region: ControlRegion): Promise<RetentionRegionReport> {
  const { project, requestId, signal } = context
  const startedBefore = (await region.db.nowMs()) + 1
  const result = await runRetention(region, { projectId: project.id, requestId, signal, startedBefore })
  if (result === null)
    throw new ApiError('retention_running', `Retention is running in ${region.region.id} already.`)
  const { removedTags, removedManifests, detail } = result
  return { region: region.region.id, forecast: null, result: { removedTags, removedManifests, detail } }
}

import { ApiError } from '@berth/api/errors'
import type { GcRegionReport, GcRegionStatus } from '@berth/api/gc'
import { countGcTasks, loadBlobTotals } from '../../metastore/queries/gc.ts'
import { listGcRuns } from '../../metastore/queries/gc-run.ts'
import type { HandlersOf } from '../handler.ts'
import { regionsOf } from '../repositories/find-repository.ts'
import type { ControlRegion } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'

export const gcHandlers: HandlersOf<'gc.status' | 'gc.run'> = {
  'gc.status': async ({ runtime }, { query }) => ({
    regions: await Promise.all(regionsOf(runtime, query.region).map(statusOf)),
  }),
  'gc.run': async ({ runtime, signal }, { body }) => {
    const regions: GcRegionReport[] = []
    // One region after the other: a run is work for the same few processors.
    for (const region of regionsOf(runtime, body.region)) {
      regions.push(body.dryRun ? await dryRun(region) : await run(region, { force: body.force, signal }))
    }
    return { dryRun: body.dryRun, regions }
  },
}

async function statusOf({ region, db }: ControlRegion): Promise<GcRegionStatus> {
  const [tasks, totals, [last]] = await Promise.all([
    countGcTasks(db.reader, await db.nowMs()),
    loadBlobTotals(db.reader),
    listGcRuns(db.reader, 1),
  ])
  const dueTasks = tasks.reduce((sum, { due }) => sum + due, 0)
  const queuedTasks = tasks.reduce((sum, { queued }) => sum + queued, 0)
  return {
    region: region.id,
    running: last?.outcome === 'running',
    dueTasks,
    waitingTasks: queuedTasks - dueTasks,
    trashedBlobs: totals.trashed,
    trashedBytes: totals.trashedBytes,
    lastCycle:
      last === undefined
        ? null
        : {
            startedAt: toTimestamp(last.started_at),
            finishedAt: toTimestampOrNull(last.finished_at),
            outcome: last.outcome,
            detail: last.detail,
            examined: last.examined,
            trashedBlobs: last.trashed_blobs,
            trashedBytes: last.trashed_bytes,
            purgedBlobs: last.purged_blobs,
            purgedBytes: last.purged_bytes,
            purgedManifests: last.purged_manifests,
          },
  }
}

async function dryRun({ region, gc }: ControlRegion): Promise<GcRegionReport> {
  return { region: region.id, result: null, preview: await gc.preview() }
}

async function run(
  { region, gc }: ControlRegion,
  options: { readonly force: boolean; readonly signal: AbortSignal },
): Promise<GcRegionReport> {
  const result = await gc.runCycle(options)
  if (result === null) throw new ApiError('gc_running', `A cycle is running in ${region.id} already.`)
  return { region: region.id, result, preview: null }
}

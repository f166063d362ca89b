import type { GcReport, GcStatus } from '@berth/api/gc'
import { type Define, leaf, withSession } from '../command.ts'
import { formatBytes, formatRelative } from '../format.ts'
import { outputWidth } from '../io.ts'
import { show } from '../output.ts'
import { inRegion, type RegionOptions } from '../region-option.ts'
import { withSpinner } from '../spinner.ts'
import { definePurge } from './trash.ts'
import { renderTable } from '../table.ts'

interface RunOptions extends RegionOptions {
  readonly dryRun?: boolean
  readonly force?: boolean
}

/** Longest that a run is waited for: a cycle looks at no more than a fixed number of things. */
const RUN_TIMEOUT_MS = 30 * 60_000

/** `gc …` */
export const defineGc: Define = (parent, io) => {
  const gc = parent
    .command('gc')
    .description('garbage collection: runs by itself, and can be looked at and run by hand')

  leaf(gc, 'status', 'show what waits, what is in the trash and the last cycle')
    .option('--region <region>', 'only of this region')
    .action(
      withSession<RegionOptions>(io, async (session, _args, options) => {
        const status = await session.client.call('gc.status', { query: inRegion(options) })
        show(session, status, (found) => statusTable(found, io.nowMs(), outputWidth(io)))
      }),
    )

  leaf(gc, 'run', 'collect what is due now')
    .option('--region <region>', 'only in this region')
    .option('--dry-run', 'say what would be removed and why, and remove nothing')
    .option('--force', 'go on where a cycle would stop itself because it removes a large share')
    .action(
      withSession<RunOptions>(io, async (session, _args, options) => {
        const body = { ...inRegion(options), dryRun: options.dryRun === true, force: options.force === true }
        const report = await withSpinner(session, 'Collecting', () =>
          session.client.call('gc.run', { body }, { timeoutMs: RUN_TIMEOUT_MS }),
        )
        show(session, report, (found) => reportLines(found, outputWidth(io)))
      }),
    )
  definePurge(gc, io)
}

function statusTable({ regions }: GcStatus, nowMs: number, width: number | null): string[] {
  return renderTable(
    [
      { title: 'REGION', value: (row) => row.region },
      { title: 'STATE', value: (row) => (row.running ? 'running' : 'idle') },
      { title: 'DUE', value: (row) => String(row.dueTasks), align: 'right' },
      { title: 'WAITING', value: (row) => String(row.waitingTasks), align: 'right' },
      { title: 'TRASH', value: (row) => formatBytes(row.trashedBytes), align: 'right' },
      { title: 'LAST CYCLE', value: (row) => formatRelative(row.lastCycle?.startedAt ?? null, nowMs) },
      {
        title: 'OUTCOME',
        value: ({ lastCycle }) => [lastCycle?.outcome, lastCycle?.detail].filter(Boolean).join(': '),
        shrink: true,
      },
    ],
    regions,
    width,
  )
}

function reportLines({ regions }: GcReport, width: number | null): string[] {
  return regions.flatMap(({ region, result, preview }) => {
    if (preview !== null) return previewLines(region, preview, width)
    if (result === null) return []
    const {
      outcome,
      detail,
      examined,
      trashedBlobs,
      trashedBytes,
      purgedBlobs,
      purgedBytes,
      purgedManifests,
    } = result
    return [
      `${region}: ${outcome}${detail === null ? '' : `: ${detail}`}. Looked at ${examined}.`,
      `  to the trash: ${trashedBlobs} blobs (${formatBytes(trashedBytes)})`,
      `  removed for good: ${purgedBlobs} blobs (${formatBytes(purgedBytes)}), ${purgedManifests} manifests`,
    ]
  })
}

function previewLines(
  region: string,
  { examined, candidates }: NonNullable<GcReport['regions'][number]['preview']>,
  width: number | null,
): string[] {
  const summary = `${region}: looked at ${examined}, would remove ${candidates.length}.`
  if (candidates.length === 0) return [summary]
  const table = renderTable(
    [
      { title: 'WHAT', value: (row) => row.kind },
      { title: 'REPOSITORY', value: (row) => row.repository ?? '' },
      { title: 'DIGEST', value: (row) => row.digest ?? '' },
      {
        title: 'SIZE',
        value: (row) => (row.sizeBytes === null ? '' : formatBytes(row.sizeBytes)),
        align: 'right',
      },
      { title: 'WHY', value: (row) => row.reason, shrink: true },
    ],
    candidates,
    width,
  )
  return [summary, ...table]
}

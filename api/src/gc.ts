import { z } from 'zod'
import { regionId, sizeBytes, timestamp } from './fields.ts'

export const gcRegionQuery = z.strictObject({
  region: regionId.optional().describe('Left out: all regions.'),
})

/** What a cycle of garbage collection did. */
export const gcResult = z
  .object({
    outcome: z
      .string()
      .describe('`running`, `done`, `stopped` (it would have removed too much) or `failed`.'),
    detail: z.string().nullable(),
    examined: z.int(),
    trashedBlobs: z.int(),
    trashedBytes: sizeBytes,
    purgedBlobs: z.int(),
    purgedBytes: sizeBytes,
    purgedManifests: z.int(),
  })
  .meta({ id: 'GcResult' })

export type GcResult = z.output<typeof gcResult>

export const gcCycle = gcResult
  .extend({ startedAt: timestamp, finishedAt: timestamp.nullable() })
  .meta({ id: 'GcCycle' })

export type GcCycle = z.output<typeof gcCycle>

export const gcRegionStatus = z
  .object({
    region: z.string(),
    running: z.boolean(),
    dueTasks: z.int().describe('Things to look at now.'),
    waitingTasks: z.int().describe('Things to look at later: leases and trash periods that run.'),
    trashedBlobs: z.int(),
    trashedBytes: sizeBytes,
    lastCycle: gcCycle.nullable().describe('The newest cycle that found something to look at.'),
  })
  .meta({ id: 'GcRegionStatus' })

export type GcRegionStatus = z.output<typeof gcRegionStatus>

export const gcStatus = z.object({ regions: z.array(gcRegionStatus) }).meta({ id: 'GcStatus' })

export type GcStatus = z.output<typeof gcStatus>

export const gcRun = z
  .strictObject({
    region: regionId.optional().describe('Left out: all regions.'),
    dryRun: z.boolean().default(false).describe('Say what would be removed, and remove nothing.'),
    force: z
      .boolean()
      .default(false)
      .describe('Go on where a cycle would stop itself because it removes too large a share of the region.'),
  })
  .meta({ id: 'GcRun' })

export type GcRun = z.output<typeof gcRun>

/** Something that a cycle would remove now. */
export const gcCandidate = z
  .object({
    kind: z.string().describe('`membership`, `blob`, `purge_blob`, `purge_manifest` or `project`.'),
    projectId: z.string(),
    repository: z.string().nullable().describe('Path below the namespace.'),
    digest: z.string().nullable(),
    sizeBytes: sizeBytes.nullable(),
    reason: z.string().describe('Why it is unreachable.'),
  })
  .meta({ id: 'GcCandidate' })

export type GcCandidate = z.output<typeof gcCandidate>

/** What a dry run found. One step only: what would lose its last holder in the same cycle is named once. */
export const gcPreview = z
  .object({ examined: z.int(), candidates: z.array(gcCandidate) })
  .meta({ id: 'GcPreview' })

export type GcPreview = z.output<typeof gcPreview>

export const gcRegionReport = z
  .object({
    region: z.string(),
    result: gcResult.nullable().describe('Null for a dry run.'),
    preview: gcPreview.nullable().describe('Of a dry run, else null.'),
  })
  .meta({ id: 'GcRegionReport' })

export type GcRegionReport = z.output<typeof gcRegionReport>

export const gcReport = z
  .object({ dryRun: z.boolean(), regions: z.array(gcRegionReport) })
  .meta({ id: 'GcReport' })

export type GcReport = z.output<typeof gcReport>

import { z } from 'zod'
import { regionId, sizeBytes, timestamp } from './fields.ts'
import { MAX_GC_CANDIDATES } from './limits.ts'

export const gcRegionQuery = z.strictObject({
  region: regionId.optional().describe('Left out: all regions.'),
})

/** One cycle of garbage collection. */
export const gcCycle = z
  .object({
    startedAt: timestamp,
    finishedAt: timestamp.nullable(),
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
  .meta({ id: 'GcCycle' })

export type GcCycle = z.output<typeof gcCycle>

export const gcRegionStatus = z
  .object({
    region: z.string(),
    running: z.boolean(),
    dueTasks: z.int().describe('Things to look at now.'),
    waitingTasks: z.int().describe('Things to look at later: leases and trash periods that run.'),
    oldestDueAt: timestamp.nullable(),
    trashedBlobs: z.int(),
    trashedBytes: sizeBytes,
    lastCycle: gcCycle.nullable(),
  })
  .meta({ id: 'GcRegionStatus' })

export type GcRegionStatus = z.output<typeof gcRegionStatus>

export const gcStatus = z.object({ regions: z.array(gcRegionStatus) }).meta({ id: 'GcStatus' })

export type GcStatus = z.output<typeof gcStatus>

export const gcRun = z
  .strictObject({
    region: regionId.optional().describe('Left out: all regions.'),
    dryRun: z.boolean().default(false).describe('Say what would be removed, and remove nothing.'),
  })
  .meta({ id: 'GcRun' })

export const gcCandidate = z
  .object({
    kind: z.string().describe('`membership`, `blob`, `purge_blob`, `purge_manifest` or `project`.'),
    project: z.string().describe('Id of the project.'),
    repository: z.string().nullable(),
    digest: z.string().nullable(),
    sizeBytes: sizeBytes.nullable(),
    reason: z.string().describe('Why it is unreachable.'),
  })
  .meta({ id: 'GcCandidate' })

export type GcCandidate = z.output<typeof gcCandidate>

export const gcRegionReport = z
  .object({
    region: z.string(),
    dryRun: z.boolean(),
    cycle: gcCycle.describe('Of a dry run: what the cycle would have done.'),
    candidates: z
      .array(gcCandidate)
      .max(MAX_GC_CANDIDATES)
      .describe('Of a dry run: the first 1000; else empty.'),
  })
  .meta({ id: 'GcRegionReport' })

export type GcRegionReport = z.output<typeof gcRegionReport>

export const gcReport = z.object({ regions: z.array(gcRegionReport) }).meta({ id: 'GcReport' })

export type GcReport = z.output<typeof gcReport>

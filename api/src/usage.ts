import { z } from 'zod'
import { regionId, sizeBytes } from './fields.ts'
import { pageOf, pageQuery } from './paging.ts'

export const regionUsage = z
  .object({
    region: z.string(),
    usedBytes: sizeBytes.describe(
      'Blobs (each digest once) and manifests that are not in the trash: what counts against the quota.',
    ),
    reservedBytes: sizeBytes.describe('Held by uploads that are running.'),
    trashBytes: sizeBytes.describe(
      'Deleted, and freed when its time in the trash is over. Used and trash together are at most twice the quota.',
    ),
    repositoryCount: z.int(),
  })
  .meta({ id: 'RegionUsage' })

export type RegionUsage = z.output<typeof regionUsage>

export const projectUsage = z
  .object({
    quotaBytes: sizeBytes.nullable().describe('Per region; null: no limit.'),
    usedBytes: sizeBytes.describe('In all regions together.'),
    regions: z.array(regionUsage),
  })
  .meta({ id: 'ProjectUsage' })

export type ProjectUsage = z.output<typeof projectUsage>

export const repositoryUsage = z
  .object({
    name: z.string(),
    region: z.string(),
    uniqueBytes: sizeBytes.describe('Manifests, and blobs that only this repository holds.'),
    sharedBytes: sizeBytes.describe('Blobs that other repositories of the project hold too.'),
    freedBytes: sizeBytes.describe('What deleting the repository frees.'),
  })
  .meta({ id: 'RepositoryUsage' })

export type RepositoryUsage = z.output<typeof repositoryUsage>

export const repositoryUsagePage = pageOf('RepositoryUsagePage', repositoryUsage)

export const usageListQuery = pageQuery.extend({
  region: regionId.optional().describe('Left out: all regions, one after the other.'),
})

import { z } from 'zod'
import { regionId, repositoryPath, sizeBytes, timestamp } from './fields.ts'
import { pageOf, pageQuery } from './paging.ts'
import { projectParams } from './projects.ts'

export const repositoryParams = projectParams.extend({
  repository: repositoryPath.describe('Path below the namespace, URL-encoded: `web%2Fapi`.'),
})

/** Where a repository is looked for. */
export const regionQuery = z.strictObject({
  region: regionId.optional().describe('Needed only when the repository exists in several regions.'),
})

export const repositoryListQuery = pageQuery.extend({
  region: regionId.optional().describe('Left out: all regions, one after the other.'),
  prefix: z.string().max(255).optional().describe('Only repositories whose path starts with this.'),
  state: z
    .enum(['live', 'all'])
    .default('live')
    .describe('`all` also lists repositories in which nothing is left but the trash.'),
})

export const regionPageQuery = pageQuery.extend(regionQuery.shape)

export const repository = z
  .object({
    name: z.string().describe('Path below the namespace.'),
    region: z.string(),
    address: z.string().describe('What docker calls it: `<host>/<namespace>/<name>`.'),
    public: z.boolean().describe('Whether anyone may pull it.'),
    createdAt: timestamp,
  })
  .meta({ id: 'Repository' })

export type Repository = z.output<typeof repository>

export const repositoryPage = pageOf('RepositoryPage', repository)

export const repositoryDetail = repository
  .extend({
    tagCount: z.int(),
    manifestCount: z.int().describe('Manifests that are not in the trash.'),
    trashedManifestCount: z.int(),
    lastPushedAt: timestamp.nullable(),
    manifestBytes: sizeBytes,
    blobBytes: sizeBytes.describe('Bytes of all blobs of the repository, shared ones included.'),
    uniqueBytes: sizeBytes.describe('Manifests, and blobs that only this repository holds.'),
    sharedBytes: sizeBytes.describe('Blobs that other repositories of the project hold too.'),
    freedBytes: sizeBytes.describe('What deleting the repository frees.'),
  })
  .meta({ id: 'RepositoryDetail' })

export type RepositoryDetail = z.output<typeof repositoryDetail>

export const repositoryDeleted = z
  .object({
    name: z.string(),
    region: z.string(),
    deletedTags: z.int(),
    trashedManifests: z.int(),
    purgeAt: timestamp.describe('Until then its manifests and tags can be restored.'),
  })
  .meta({ id: 'RepositoryDeleted' })

export type RepositoryDeleted = z.output<typeof repositoryDeleted>

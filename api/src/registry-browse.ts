import { z } from 'zod'
import { reference, repositoryPath, sizeBytes } from './fields.ts'
import { descriptor } from './manifests.ts'
import { pageOf, pageQuery } from './paging.ts'
import { registryParams } from './registries.ts'

/** A repository as the other registry names it. */
export const browsedRepositoryParams = registryParams.extend({
  repository: repositoryPath.describe('Its name at the other registry, URL-encoded: `library%2Falpine`.'),
})

export const browsedManifestParams = browsedRepositoryParams.extend({
  reference: reference.describe('A tag or a digest.'),
})

export const browseQuery = pageQuery.extend({
  q: z.string().min(1).max(255).optional().describe('Only names that contain this.'),
})

export const browsedRepository = z
  .object({
    name: z.string().describe('At the other registry.'),
    pullAddresses: z
      .array(z.object({ region: z.string(), address: z.string() }))
      .describe('What docker pulls through Berth, in each region.'),
  })
  .meta({ id: 'BrowsedRepository' })

export type BrowsedRepository = z.output<typeof browsedRepository>

export const browsedRepositoryPage = pageOf('BrowsedRepositoryItems', browsedRepository)
  .extend({
    reason: z
      .string()
      .nullable()
      .default(null)
      .describe('Why there is no list, where the other registry has none.'),
  })
  .meta({ id: 'BrowsedRepositoryPage' })

export type BrowsedRepositoryPage = z.output<typeof browsedRepositoryPage>

export const browsedTag = z.object({ name: z.string() }).meta({ id: 'BrowsedTag' })

export const browsedTagPage = pageOf('BrowsedTagPage', browsedTag)

export type BrowsedTagPage = z.output<typeof browsedTagPage>

export const browsedManifest = z
  .object({
    digest: z.string(),
    mediaType: z.string(),
    kind: z.enum(['image', 'index']),
    artifactType: z.string().nullable(),
    subject: z.string().nullable().describe('Digest of the manifest that this one refers to.'),
    manifestBytes: sizeBytes,
    totalBytes: sizeBytes.describe('Manifest, config and layers; for an index the manifest alone.'),
    annotations: z.record(z.string(), z.string()).nullable(),
    config: descriptor.nullable().describe('Of an image manifest.'),
    layers: z.array(descriptor).describe('Of an image manifest, lowest first.'),
    manifests: z.array(descriptor).describe('Of an index.'),
    pullAddresses: browsedRepository.shape.pullAddresses,
  })
  .meta({ id: 'BrowsedManifest' })

export type BrowsedManifest = z.output<typeof browsedManifest>

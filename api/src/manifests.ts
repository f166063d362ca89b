import { z } from 'zod'
import { digest, reference, sizeBytes, timestamp } from './fields.ts'
import { pageOf } from './paging.ts'
import { regionPageQuery, regionQuery, repositoryParams } from './repositories.ts'

export const manifestParams = repositoryParams.extend({ reference: reference.describe('A tag or a digest.') })
export const manifestDigestParams = repositoryParams.extend({ reference: digest.describe('A digest.') })

export const manifestListQuery = regionPageQuery.extend({
  state: z
    .enum(['live', 'trashed'])
    .default('live')
    .describe('`trashed`: deleted, and can still be restored.'),
})

const annotations = z.record(z.string(), z.string())

export const platform = z
  .object({
    os: z.string().nullable(),
    architecture: z.string().nullable(),
    variant: z.string().nullable(),
    osVersion: z.string().nullable(),
  })
  .meta({ id: 'Platform' })

export const descriptor = z
  .object({
    mediaType: z.string(),
    digest: z.string(),
    sizeBytes,
    artifactType: z.string().nullable(),
    platform: platform.nullable(),
    annotations: annotations.nullable(),
  })
  .meta({ id: 'Descriptor' })

export const manifest = z
  .object({
    digest: z.string(),
    region: z.string(),
    mediaType: z.string(),
    kind: z.enum(['image', 'index']),
    artifactType: z.string().nullable(),
    subject: z.string().nullable().describe('Digest of the manifest that this one refers to.'),
    manifestBytes: sizeBytes.describe('Length of the manifest itself.'),
    createdAt: timestamp,
    deletedAt: timestamp.nullable(),
    purgeAt: timestamp.nullable().describe('Until then it can be restored.'),
    tags: z.array(z.string()).describe('The first 100 tags that point at it.'),
    lastPulledAt: timestamp
      .nullable()
      .describe('By digest or any tag, to the hour; null: never since it was noted.'),
    heldBy: z.array(z.string()).describe('What runs, or may be rolled back to, and needs it.'),
  })
  .meta({ id: 'Manifest' })

export type Manifest = z.output<typeof manifest>

export const manifestPage = pageOf('ManifestPage', manifest)

/** A manifest that names this one as its subject: a signature, an SBOM, an attestation. */
export const referrer = z
  .object({
    digest: z.string(),
    mediaType: z.string(),
    artifactType: z.string().nullable(),
    manifestBytes: sizeBytes,
    annotations: annotations.nullable(),
  })
  .meta({ id: 'Referrer' })

export type Referrer = z.output<typeof referrer>

export const referrerPage = pageOf('ReferrerPage', referrer)

/** What is worth showing of an image's configuration. Null fields are not in it. */
export const imageConfig = z
  .object({
    platform,
    createdAt: z.string().nullable().describe('As the builder wrote it.'),
    author: z.string().nullable(),
    user: z.string().nullable(),
    workingDir: z.string().nullable(),
    entrypoint: z.array(z.string()).nullable(),
    command: z.array(z.string()).nullable(),
    env: z.array(z.string()).nullable(),
    exposedPorts: z.array(z.string()).nullable(),
    labels: annotations.nullable(),
  })
  .meta({ id: 'ImageConfig' })

export type ImageConfig = z.output<typeof imageConfig>

export const manifestDetail = manifest
  .extend({
    address: z.string().describe('What docker pulls.'),
    annotations: annotations.nullable(),
    config: descriptor.nullable().describe('Of an image manifest.'),
    layers: z.array(descriptor).describe('Of an image manifest, lowest first.'),
    manifests: z.array(descriptor).describe('Of an index.'),
    totalBytes: sizeBytes.describe('Manifest, config and layers; for an index the manifest alone.'),
    imageConfig: imageConfig.nullable().describe('Parsed, when the registry can read it at once.'),
    frees: z
      .object({
        bytes: sizeBytes.describe('What deleting this manifest alone frees.'),
        withPartsBytes: sizeBytes.describe('The same with everything that only this manifest needs.'),
        parts: z.int().describe('How many manifests that are, besides this one.'),
      })
      .describe('By the rules of garbage collection, when the time in the trash is over.'),
    referrers: referrerPage.describe('The first page; see the list of referrers for more.'),
  })
  .meta({ id: 'ManifestDetail' })

export type ManifestDetail = z.output<typeof manifestDetail>

export const manifestDeleteQuery = regionQuery.extend({
  parts: z
    .enum(['keep', 'delete'])
    .default('keep')
    .describe(
      '`delete`: also what only this manifest needs: the manifests that an index lists, signatures and other artifacts that refer to it.',
    ),
})

export const manifestDeleted = z
  .object({
    digest: z.string(),
    region: z.string(),
    deletedTags: z.array(z.string()),
    deletedParts: z.array(z.string()).describe('Digests of the manifests that went along.'),
    purgeAt: timestamp.describe('Until then it can be restored.'),
  })
  .meta({ id: 'ManifestDeleted' })

export type ManifestDeleted = z.output<typeof manifestDeleted>

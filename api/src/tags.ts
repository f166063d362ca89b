import { z } from 'zod'
import { sizeBytes, tagName, timestamp } from './fields.ts'
import { pageOf } from './paging.ts'
import { regionPageQuery, repositoryParams } from './repositories.ts'

export const tagParams = repositoryParams.extend({ tag: tagName })

export const tagListQuery = regionPageQuery.extend({
  prefix: z.string().max(128).optional().describe('Only tags whose name starts with this.'),
})

export const tag = z
  .object({
    name: z.string(),
    digest: z.string(),
    mediaType: z.string(),
    artifactType: z.string().nullable(),
    manifestBytes: sizeBytes.describe('Length of the manifest itself.'),
    version: z.int().min(1).describe('Rises by one with each change of the tag.'),
    updatedAt: timestamp,
    lastPulledAt: timestamp.nullable().describe('By this tag, to the hour; null: never since it was noted.'),
    immutable: z.boolean().describe('By a rule of the project: it is never moved or deleted.'),
    address: z.string().describe('What docker pulls.'),
    region: z.string(),
  })
  .meta({ id: 'Tag' })

export type Tag = z.output<typeof tag>

export const tagPage = pageOf('TagPage', tag)

export const tagDetail = tag
  .extend({
    freedBytes: sizeBytes.describe(
      'What deleting the tag together with its image frees, parts that only the image needs included; 0 while something else needs the image.',
    ),
    keptBy: z
      .string()
      .nullable()
      .describe('Something else that needs the image: another tag, an index, what runs; null: nothing.'),
  })
  .meta({ id: 'TagDetail' })

export type TagDetail = z.output<typeof tagDetail>

/** One acknowledged change of a tag, newest first in a list. */
export const tagVersion = z
  .object({
    version: z.int().min(1),
    digest: z.string().nullable().describe('Null: the tag was deleted.'),
    at: timestamp,
    actor: z.string().describe('Who: a credential id, or `operator`.'),
    manifest: z
      .enum(['live', 'trashed', 'gone'])
      .nullable()
      .describe('Whether that manifest is still there; null for a deletion.'),
  })
  .meta({ id: 'TagVersion' })

export type TagVersion = z.output<typeof tagVersion>

export const tagVersionPage = pageOf('TagVersionPage', tagVersion)

export const tagDeleted = z
  .object({
    name: z.string(),
    region: z.string(),
    digest: z.string().describe('What it pointed at. The manifest stays.'),
    version: z.int().describe('Version of the deletion in the history.'),
  })
  .meta({ id: 'TagDeleted' })

export type TagDeleted = z.output<typeof tagDeleted>

export const tagUndelete = z
  .strictObject({
    version: z
      .int()
      .min(1)
      .optional()
      .describe('Which version of the history to restore; left out: the last one before the deletion.'),
  })
  .meta({ id: 'TagUndelete' })

export type TagUndelete = z.output<typeof tagUndelete>

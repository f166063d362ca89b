import { z } from 'zod'
import { regionId, sizeBytes, timestamp } from './fields.ts'
import { pageOf } from './paging.ts'

/** A deleted manifest that can still be restored. */
export const trashedManifest = z
  .object({
    digest: z.string(),
    region: z.string(),
    mediaType: z.string(),
    kind: z.enum(['image', 'index']),
    artifactType: z.string().nullable(),
    subject: z.string().nullable(),
    manifestBytes: sizeBytes.describe('Length of the manifest itself.'),
    tags: z.array(z.string()).describe('Tags that it had: restoring it brings them back.'),
    deletedAt: timestamp,
    purgeAt: timestamp.describe('Until then it can be restored.'),
  })
  .meta({ id: 'TrashedManifest' })

export type TrashedManifest = z.output<typeof trashedManifest>

export const trashPage = pageOf('TrashPage', trashedManifest)

export const trashPurge = z
  .strictObject({
    region: regionId.optional().describe('Left out: all regions.'),
    confirm: z.string().max(63).describe("The project's namespace: what is purged cannot be restored."),
  })
  .meta({ id: 'TrashPurge' })

export const trashPurged = z
  .object({
    regions: z.array(
      z.object({
        region: z.string(),
        purgedManifests: z.int(),
        purgedBlobs: z.int(),
        trashBytes: sizeBytes.describe(
          'Left in the trash: what is in use, was pushed less than a day ago, or is being removed.',
        ),
        detail: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'TrashPurged' })

export type TrashPurged = z.output<typeof trashPurged>

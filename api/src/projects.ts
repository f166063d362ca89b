import { z } from 'zod'
import { ROLES } from './access.ts'
import {
  displayName,
  namespaceName,
  projectReference,
  repositoryGlob,
  sizeBytes,
  timestamp,
} from './fields.ts'
import { MAX_GLOBS } from './limits.ts'
import { pageOf } from './paging.ts'

export const projectParams = z.strictObject({
  project: projectReference.describe("The project's id or namespace."),
})

const publicRepositories = z
  .array(repositoryGlob)
  .max(MAX_GLOBS)
  .describe('Globs of repositories (below the namespace) that anyone may pull without a credential.')
const allowSparseIndexes = z
  .boolean()
  .describe('Whether an image index may be pushed that names manifests which are not in the repository.')
const quotaBytes = sizeBytes
  .nullable()
  .describe('Most bytes that the project may store in each region; null: no limit.')

const homeRegion = z
  .string()
  .max(40)
  .describe(
    'Id of the region that the host without a region leads to. The first region when it was never chosen.',
  )

export const project = z
  .object({
    id: z.string(),
    namespace: z.string().describe('First path component of every repository of the project. Never changes.'),
    name: z.string().describe('Display name.'),
    quotaBytes,
    publicRepositories,
    allowSparseIndexes,
    homeRegion,
    registryHost: z
      .string()
      .nullable()
      .describe('Host and port that lead to the home region whichever it is; null: there is no such host.'),
    role: z
      .enum(ROLES)
      .nullable()
      .describe('What the caller is in the project; null: an operator who is no member.'),
    createdAt: timestamp,
  })
  .meta({ id: 'Project' })

export type Project = z.output<typeof project>

export const projectPage = pageOf('ProjectPage', project)

export const projectCreate = z
  .strictObject({
    name: displayName,
    namespace: namespaceName.optional().describe('Made from the name when left out.'),
    quotaBytes: quotaBytes.optional(),
    publicRepositories: publicRepositories.optional(),
    allowSparseIndexes: allowSparseIndexes.optional(),
    homeRegion: homeRegion.optional(),
  })
  .meta({ id: 'ProjectCreate' })

export type ProjectCreate = z.output<typeof projectCreate>

export const projectUpdate = z
  .strictObject({
    name: displayName.optional(),
    quotaBytes: quotaBytes.optional(),
    publicRepositories: publicRepositories.optional(),
    allowSparseIndexes: allowSparseIndexes.optional(),
    homeRegion: homeRegion.optional(),
  })
  .refine((update) => Object.values(update).some((value) => value !== undefined), 'must change something')
  .meta({ id: 'ProjectUpdate' })

export type ProjectUpdate = z.output<typeof projectUpdate>

export const projectDeleteQuery = z.strictObject({
  confirm: z
    .string()
    .max(63)
    .optional()
    .describe("The project's namespace, to confirm that all its data is to go."),
})

/** How far a change of access has come: it is in force on every replica of every region but those that are named. */
export const propagation = z
  .object({
    replicas: z.int().min(0).describe('Live replicas of the regions that were reached.'),
    pendingRegions: z
      .array(z.string())
      .describe(
        'Regions that could not be reached; they follow as soon as they can. Empty when all is well.',
      ),
    tookMs: z.number().min(0).describe('Time from the commit until then.'),
  })
  .meta({ id: 'Propagation' })

export type Propagation = z.output<typeof propagation>

export const projectDeleted = z
  .object({ id: z.string(), namespace: z.string(), deletedAt: timestamp, propagation })
  .meta({ id: 'ProjectDeleted' })

export type ProjectDeleted = z.output<typeof projectDeleted>

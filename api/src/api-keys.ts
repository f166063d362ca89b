import { z } from 'zod'
import { cidr, displayName, regionId, repositoryGlob, timestamp, timestampInput } from './fields.ts'
import {
  DEFAULT_OVERLAP_SECONDS,
  MAX_GLOBS,
  MAX_KEY_CIDRS,
  MAX_KEY_REGIONS,
  MAX_OVERLAP_SECONDS,
} from './limits.ts'
import { pageOf, pageQuery } from './paging.ts'
import { projectParams, propagation } from './projects.ts'

export const apiKeyParams = projectParams.extend({
  key: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[A-Za-z0-9]+$/, 'must be the id of an API key')
    .describe("The key's id: the part after `brth_k_`."),
})

export const keyAction = z.enum(['pull', 'push', 'delete'])

const actions = z.array(keyAction).min(1).max(3).describe('What the key may do.')
const repositories = z
  .array(repositoryGlob)
  .min(1)
  .max(MAX_GLOBS)
  .describe('Globs of repositories below the namespace; `**` is the whole project.')
const regions = z.array(regionId).max(MAX_KEY_REGIONS).describe('Regions in which the key works; empty: all.')
const cidrs = z
  .array(cidr)
  .max(MAX_KEY_CIDRS)
  .describe('Source networks from which the key works; empty: any.')

export const apiKey = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z.enum(['active', 'expired', 'revoked']),
    actions,
    repositories,
    regions,
    cidrs,
    createdAt: timestamp,
    createdBy: z.string().describe('Who made it.'),
    userId: z
      .string()
      .nullable()
      .describe(
        'The member whose own key it is, which ends with the membership; null: a key of the project.',
      ),
    registry: z
      .string()
      .nullable()
      .describe('The managed registry whose credential it is: rotated there, not here; null: none.'),
    expiresAt: timestamp.nullable(),
    expiresSoon: z.boolean().describe('Whether it works but expires within 7 days. Rotate or replace it.'),
    revokedAt: timestamp.nullable(),
    lastUsedAt: timestamp.nullable().describe('Last use in any region, to the minute.'),
    version: z.int().min(1).describe('Rises by one with each rotation.'),
    overlapEndsAt: timestamp.nullable().describe('Until then the secret before the last rotation works too.'),
  })
  .meta({ id: 'ApiKey' })

export type ApiKey = z.output<typeof apiKey>

export const apiKeyPage = pageOf('ApiKeyPage', apiKey)

export const apiKeyListQuery = pageQuery.extend({
  state: z.enum(['active', 'all']).default('active').describe('`all` also lists expired and revoked keys.'),
})

export const apiKeyCreate = z
  .strictObject({
    name: displayName,
    actions: actions.optional().describe('Default: pull and push, as far as the role allows.'),
    repositories: repositories.optional().describe('Default: the whole project.'),
    regions: regions.optional(),
    cidrs: cidrs.optional(),
    expiresAt: timestampInput.nullish().describe('Default: never.'),
    own: z
      .boolean()
      .optional()
      .describe(
        'Whether it is a key of one’s own, which can do no more than one’s role and ends with the membership. Default: only for who may not make keys of the project.',
      ),
  })
  .meta({ id: 'ApiKeyCreate' })

export type ApiKeyCreate = z.output<typeof apiKeyCreate>

/**
 * A ready command per host: each region's, and the one without a region when the key is good in all of them. The key
 * goes in through standard input, never through the arguments.
 */
export const loginCommand = z
  .object({
    region: z.string().nullable().describe('Null: the host that leads to the home region.'),
    host: z.string(),
    username: z.literal('api'),
    command: z.string().describe('Shell line that logs docker in.'),
  })
  .meta({ id: 'LoginCommand' })

/** A key with its secret: the only answer that ever shows it. */
export const apiKeySecret = apiKey
  .extend({
    key: z.string().describe('The key itself. It is not shown again.'),
    login: z.array(loginCommand),
    propagation,
  })
  .meta({ id: 'ApiKeySecret' })

export type ApiKeySecret = z.output<typeof apiKeySecret>

export const apiKeyRotate = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(MAX_OVERLAP_SECONDS)
      .default(DEFAULT_OVERLAP_SECONDS)
      .describe('How long the secret before goes on working. 0: it ends at once, on every replica.'),
  })
  .meta({ id: 'ApiKeyRotate' })

/** Answer of what takes access away: it is true on every replica of every region. */
export const apiKeyChanged = apiKey.extend({ propagation }).meta({ id: 'ApiKeyChanged' })

export type ApiKeyChanged = z.output<typeof apiKeyChanged>

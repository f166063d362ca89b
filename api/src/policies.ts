import { z } from 'zod'
import { regionId, repositoryGlob, repositoryPath, sizeBytes, timestamp } from './fields.ts'
import {
  MAX_GLOBS,
  MAX_KEPT_TAGS,
  MAX_POLICY_RULES,
  MAX_RETENTION_DAYS,
  MAX_TAG_PATTERN_LENGTH,
} from './limits.ts'
import { pageOf, pageQuery } from './paging.ts'

/** Pattern of tags: `*` is any run of characters; one that begins with `!` takes out of the list what it matches. */
export const tagPattern = z
  .string()
  .max(MAX_TAG_PATTERN_LENGTH)
  .regex(/^!?[A-Za-z0-9_.*-]+$/, 'must be a tag; * is a wildcard, ! before it excludes')
  .meta({ examples: ['v*'] })

const repositories = z
  .array(repositoryGlob)
  .min(1)
  .max(MAX_GLOBS)
  .describe('Globs of repositories below the namespace; `**` is all.')

const tags = z
  .array(tagPattern)
  .min(1)
  .max(MAX_GLOBS)
  .refine((list) => list.some((pattern) => !pattern.startsWith('!')), 'must match something')
  .describe('Patterns of tags; `*` is any run of characters, `!` before a pattern excludes what it matches.')

export const immutableTagRule = z
  .strictObject({ repositories: repositories.default(['**']), tags })
  .meta({ id: 'ImmutableTagRule' })

const days = z.int().min(1).max(MAX_RETENTION_DAYS)

export const retentionRule = z
  .strictObject({
    name: z.string().trim().min(1).max(100).describe('Reasons name it.'),
    repositories: repositories.default(['**']),
    tags: tags.default(['*']),
    keepLast: z
      .int()
      .min(1)
      .max(MAX_KEPT_TAGS)
      .nullable()
      .default(null)
      .describe('Keep the newest so many of these tags in each repository, by their last push.'),
    keepPushedWithinDays: days.nullable().default(null),
    keepPulledWithinDays: days
      .nullable()
      .default(null)
      .describe('Keep tags whose image was pulled lately, by whatever name.'),
  })
  .refine(
    (rule) =>
      rule.keepLast !== null || rule.keepPushedWithinDays !== null || rule.keepPulledWithinDays !== null,
    'must keep something: set keepLast, keepPushedWithinDays or keepPulledWithinDays',
  )
  .meta({ id: 'RetentionRule' })

export type RetentionRule = z.output<typeof retentionRule>

export const untaggedRule = z
  .strictObject({
    repositories: repositories.default(['**']),
    afterDays: days.describe('Days without a tag, a push and a pull.'),
  })
  .meta({ id: 'UntaggedRule' })

export const retention = z
  .strictObject({
    rules: z
      .array(retentionRule)
      .max(MAX_POLICY_RULES)
      .default([])
      .describe('A tag is removed only if at least one rule is about it and none of those keeps it.'),
    untagged: z
      .array(untaggedRule)
      .max(MAX_POLICY_RULES)
      .default([])
      .describe('Removes manifests without a tag that nothing needs. Of several rules the longest holds.'),
  })
  .meta({ id: 'Retention' })

export type Retention = z.output<typeof retention>

export const policies = z
  .object({
    immutableTags: z.array(immutableTagRule).describe('Tags that are never moved or deleted.'),
    retention: retention.nullable().describe('Null: everything is kept.'),
  })
  .meta({ id: 'Policies' })

export type Policies = z.output<typeof policies>

export const policiesUpdate = z
  .strictObject({
    immutableTags: z.array(immutableTagRule).max(MAX_POLICY_RULES).optional(),
    retention: retention.nullable().optional(),
  })
  .refine((update) => Object.values(update).some((value) => value !== undefined), 'must change something')
  .meta({ id: 'PoliciesUpdate' })

export type PoliciesUpdate = z.output<typeof policiesUpdate>

export const retentionPreviewQuery = pageQuery.extend({
  region: regionId.optional().describe('Left out: all regions, one after the other.'),
  repository: repositoryPath.optional().describe('Left out: all repositories that a rule is about.'),
  show: z.enum(['all', 'removed', 'kept']).default('all'),
})

/** What the rules say about one tag, or about one manifest without a tag. */
export const retentionVerdict = z
  .object({
    repository: z.string(),
    region: z.string(),
    kind: z.enum(['tag', 'manifest']).describe('`manifest`: one without a tag.'),
    tag: z.string().nullable(),
    digest: z.string(),
    keep: z.boolean(),
    rule: z.string().nullable().describe('The rule that decided; null when none did.'),
    reason: z.string(),
    pushedAt: timestamp.nullable().describe('Of a tag.'),
    lastPulledAt: timestamp.nullable().describe('To the hour.'),
  })
  .meta({ id: 'RetentionVerdict' })

export type RetentionVerdict = z.output<typeof retentionVerdict>

export const retentionPreviewPage = pageOf('RetentionPreviewPage', retentionVerdict)

export const retentionRun = z
  .strictObject({
    region: regionId.optional().describe('Left out: all regions.'),
    dryRun: z.boolean().default(false).describe('Say what would be removed and freed, and remove nothing.'),
  })
  .meta({ id: 'RetentionRun' })

export const retentionForecast = z
  .object({
    keptTags: z.int(),
    removedTags: z.int(),
    removedManifests: z.int(),
    freedBytes: sizeBytes.describe('Counts as trash at once, and is free when the trash is purged.'),
    isPartial: z.boolean().describe('There is more than one run removes.'),
  })
  .meta({ id: 'RetentionForecast' })

export const retentionResult = z
  .object({ removedTags: z.int(), removedManifests: z.int(), detail: z.string().nullable() })
  .meta({ id: 'RetentionResult' })

export const retentionRegionReport = z
  .object({
    region: z.string(),
    forecast: retentionForecast.nullable().describe('Of a dry run, else null.'),
    result: retentionResult.nullable().describe('Null for a dry run.'),
  })
  .meta({ id: 'RetentionRegionReport' })

export type RetentionRegionReport = z.output<typeof retentionRegionReport>

export const retentionReport = z
  .object({ dryRun: z.boolean(), regions: z.array(retentionRegionReport) })
  .meta({ id: 'RetentionReport' })

export type RetentionReport = z.output<typeof retentionReport>

export const retentionStatus = z
  .object({
    regions: z.array(
      z.object({
        region: z.string(),
        outcome: z.string().nullable().describe('`running`, `done`, `failed`; null: never ran.'),
        startedAt: timestamp.nullable(),
        finishedAt: timestamp.nullable(),
        removedTags: z.int(),
        removedManifests: z.int(),
        detail: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'RetentionStatus' })

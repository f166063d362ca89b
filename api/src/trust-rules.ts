import { z } from 'zod'
import { keyAction } from './api-keys.ts'
import { cidr, displayName, regionId, repositoryGlob, repositoryPath, timestamp } from './fields.ts'
import {
  DEFAULT_CI_SESSION_SECONDS,
  MAX_AUDIENCE_LENGTH,
  MAX_CI_SESSION_SECONDS,
  MAX_CLAIM_NAME_LENGTH,
  MAX_CLAIM_VALUE_LENGTH,
  MAX_GLOBS,
  MAX_ISSUER_LENGTH,
  MAX_KEY_CIDRS,
  MAX_KEY_REGIONS,
  MAX_TRUST_CONDITIONS,
  MIN_CI_SESSION_SECONDS,
} from './limits.ts'
import { pageOf, pageQuery } from './paging.ts'
import { projectParams, propagation } from './projects.ts'

export const trustRuleParams = projectParams.extend({
  rule: z
    .string()
    .max(64)
    .regex(/^rule_[a-z0-9]+$/, 'must be the id of a trust rule')
    .describe("The rule's id: `rule_…`."),
})

export const CI_PROVIDER_NAMES = ['github_actions', 'gitlab_ci', 'circleci', 'custom'] as const

export const ciProvider = z.enum(CI_PROVIDER_NAMES).describe('Whose tokens the rule is about.')

const PRINTABLE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

const issuer = z
  .string()
  .min(1)
  .max(MAX_ISSUER_LENGTH)
  .describe(
    '`iss` of the tokens, exactly: an https address. Default: https://token.actions.githubusercontent.com for `github_actions`, https://gitlab.com for `gitlab_ci`. `circleci` needs https://oidc.circleci.com/org/<organization id>.',
  )

const audience = z
  .string()
  .max(MAX_AUDIENCE_LENGTH)
  .regex(PRINTABLE, 'must be printable ASCII')
  .describe(
    'What the CI job asks its token to be made for (`aud`), exactly. A token that was made for anything else is refused.',
  )

const conditions = z
  .record(
    z.string().min(1).max(MAX_CLAIM_NAME_LENGTH).regex(PRINTABLE, 'must be printable ASCII'),
    z.string().min(1).max(MAX_CLAIM_VALUE_LENGTH).regex(PRINTABLE, 'must be printable ASCII'),
  )
  .refine((claims) => Object.keys(claims).length >= 1, 'must name at least one claim')
  .refine(
    (claims) => Object.keys(claims).length <= MAX_TRUST_CONDITIONS,
    `may name ${MAX_TRUST_CONDITIONS} claims`,
  )
  .describe(
    'Claim → what it must be; all have to hold. Needs the stable id: `repository_id` (GitHub), `project_id` (GitLab), `oidc.circleci.com/project-id` (CircleCI), any claim besides `sub` (custom). A ref may hold one `*` (no slash) or `**`.',
  )

const actions = z.array(keyAction).min(1).max(3).describe('What jobs may do.')
const repositories = z
  .array(repositoryGlob)
  .min(1)
  .max(MAX_GLOBS)
  .describe('Globs of repositories below the namespace; `**` is the whole project.')
const regions = z
  .array(regionId)
  .max(MAX_KEY_REGIONS)
  .describe('Regions in which the rule works; empty: all.')
const cidrs = z.array(cidr).max(MAX_KEY_CIDRS).describe('Source networks from which it works; empty: any.')
const sessionSeconds = z
  .int()
  .min(MIN_CI_SESSION_SECONDS)
  .max(MAX_CI_SESSION_SECONDS)
  .describe('How long a job may sign in with what its token was exchanged for.')
const exchangeOnly = z
  .boolean()
  .describe('The CI token is only taken in an exchange, which takes each token once, and not as a password.')
const enabled = z.boolean()

export const trustRule = z
  .object({
    id: z.string(),
    name: z.string(),
    provider: ciProvider,
    issuer: z.string(),
    audience: z.string(),
    conditions: z.record(z.string(), z.string()),
    actions,
    repositories,
    regions,
    cidrs,
    sessionSeconds,
    exchangeOnly,
    enabled,
    version: z
      .int()
      .min(1)
      .describe('Rises when the rule trusts others than before; tokens made before end.'),
    createdAt: timestamp,
    createdBy: z.string(),
    updatedAt: timestamp,
    lastUsedAt: timestamp.nullable().describe('Last use in any region, to the minute.'),
  })
  .meta({ id: 'TrustRule' })

export type TrustRule = z.output<typeof trustRule>

export const trustRulePage = pageOf('TrustRulePage', trustRule)

const changeable = {
  audience: audience.optional(),
  conditions: conditions.optional(),
  actions: actions.optional(),
  repositories: repositories.optional(),
  regions: regions.optional(),
  cidrs: cidrs.optional(),
  sessionSeconds: sessionSeconds.optional(),
  exchangeOnly: exchangeOnly.optional(),
  enabled: enabled.optional(),
}

export const trustRuleCreate = z
  .strictObject({
    name: displayName,
    provider: ciProvider,
    issuer: issuer.optional(),
    ...changeable,
    audience: audience
      .optional()
      .describe(
        "Default: the console's address and the project's namespace, such as https://console.example/acme. No other project can have that.",
      ),
    conditions,
    actions: actions.optional().describe('Default: pull and push.'),
    repositories: repositories.optional().describe('Default: the whole project.'),
    sessionSeconds: sessionSeconds.default(DEFAULT_CI_SESSION_SECONDS),
  })
  .meta({ id: 'TrustRuleCreate' })

export type TrustRuleCreate = z.output<typeof trustRuleCreate>

export const trustRuleUpdate = z
  .strictObject({ name: displayName.optional(), ...changeable })
  .meta({ id: 'TrustRuleUpdate' })

export type TrustRuleUpdate = z.output<typeof trustRuleUpdate>

/** It is in force on every replica of every region. */
export const trustRuleChanged = trustRule.extend({ propagation }).meta({ id: 'TrustRuleChanged' })

export type TrustRuleChanged = z.output<typeof trustRuleChanged>

export const trustRuleListQuery = pageQuery

export const SNIPPET_PROVIDERS = ['github', 'gitlab', 'circleci', 'jenkins'] as const

export const ciSnippetQuery = z.strictObject({
  provider: z.enum(SNIPPET_PROVIDERS),
  mode: z
    .enum(['key', 'keyless'])
    .default('keyless')
    .describe('With an API key, or with the CI service’s own tokens.'),
  region: regionId
    .optional()
    .describe('Default: the host without a region when there is one, else the first region.'),
  image: repositoryPath.optional().describe('Repository below the namespace. Default: `app`.'),
})

export type CiSnippetQuery = z.output<typeof ciSnippetQuery>

export const ciSnippet = z
  .object({
    provider: z.enum(SNIPPET_PROVIDERS),
    mode: z.enum(['key', 'keyless']),
    region: z.string().describe('Where the image ends up.'),
    host: z.string(),
    image: z.string().describe('Full name of the repository, as image references begin.'),
    fileName: z.string().describe('Where the snippet belongs.'),
    content: z.string(),
    shell: z.array(z.string()).describe('The shell lines in it that sign in, build and push.'),
    setup: z.array(z.string()).describe('What has to be done once besides.'),
  })
  .meta({ id: 'CiSnippet' })

export type CiSnippet = z.output<typeof ciSnippet>

import { z } from 'zod'
import { loginCommand } from './api-keys.ts'
import { displayName, repositoryPath, tagName, timestamp } from './fields.ts'
import {
  DEFAULT_OVERLAP_SECONDS,
  MAX_OVERLAP_SECONDS,
  MAX_REGISTRY_HOST_LENGTH,
  MAX_REGISTRY_PASSWORD_LENGTH,
  MAX_REGISTRY_SLUG_LENGTH,
  MAX_REGISTRY_USERNAME_LENGTH,
  MAX_ROTATION_DAYS,
} from './limits.ts'
import { pageOf } from './paging.ts'
import { projectParams, propagation } from './projects.ts'

const registryId = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'must be the id of a registry')

export const registryParams = projectParams.extend({ registry: registryId })

/** A registry's place in the project's namespace: one path component. */
export const registrySlug = z
  .string()
  .min(2)
  .max(MAX_REGISTRY_SLUG_LENGTH)
  .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'must be a-z, 0-9 and single hyphens inside')
  .meta({ examples: ['docker-hub'] })

/** `host` or `host:port` in the one way that it is written in; no scheme, no user, no path. */
export const registryHost = z
  .string()
  .min(1)
  .max(MAX_REGISTRY_HOST_LENGTH)
  .superRefine((text, context) => {
    const message = mistakeInHost(text)
    if (message !== null) context.addIssue({ code: 'custom', message })
  })
  .meta({ examples: ['registry.example.com:5000'] })

function mistakeInHost(text: string): string | null {
  if (text.includes('://')) return 'must be a host without https:// in front'
  if (/[/?#\\]/.test(text)) return 'must be a host without a path'
  if (text.includes('@')) return 'must be a host without a user name; give that in username'
  if (!/^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[1-9]\d{0,4})?$/i.test(text))
    return 'must be a host, or host:port'
  if (text !== text.toLowerCase()) return 'must be in lower case'
  if (text.endsWith(':443')) return 'must leave out :443, which every registry has'
  // Only what a URL leaves as it is: 0x7f.1 and 2130706433 are addresses in disguise, 01 is no port.
  if (!URL.canParse(`https://${text}/`) || new URL(`https://${text}/`).host !== text) {
    return 'must be a host name or address in its usual spelling'
  }
  return /(?:^|\.)(?:-|\.)|(?:-|\.)(?:\.|:|$)/.test(text) ? 'must be a host, or host:port' : null
}

const username = z
  .string()
  .min(1)
  .max(MAX_REGISTRY_USERNAME_LENGTH)
  // RFC 7617 section 2: the first colon ends a user name.
  .regex(/^[^:\p{Cc}]+$/u, 'must not have a colon or control characters')
const password = z
  .string()
  .min(1)
  .max(MAX_REGISTRY_PASSWORD_LENGTH)
  .regex(/^(?:[^\p{Cc}]|[\t\r\n])+$/u, 'must not have control characters')
const overlapSeconds = z.int().min(0).max(MAX_OVERLAP_SECONDS)

export const rotationSchedule = z
  .strictObject({
    everyDays: z.int().min(1).max(MAX_ROTATION_DAYS),
    overlapSeconds: overlapSeconds
      .default(DEFAULT_OVERLAP_SECONDS)
      .describe('How long the secret before goes on working after each rotation.'),
  })
  .meta({ id: 'RotationSchedule' })

export const registry = z
  .object({
    id: z.string(),
    provider: z.enum(['managed', 'docker_hub', 'ghcr', 'custom']),
    name: z.string(),
    slug: z
      .string()
      .nullable()
      .describe('First path component of what is pulled through a third-party registry; managed: null.'),
    host: z.string(),
    region: z.string().nullable().describe('Region of a managed registry, else null.'),
    address: z
      .string()
      .describe(
        "Put a repository's path behind it: `<host>/<namespace>`, for a third-party registry its own host.",
      ),
    pullAddresses: z
      .array(z.object({ region: z.string(), address: z.string() }))
      .describe('What is pulled from the registry through Berth begins with this, in each region.'),
    username: z.string().nullable(),
    hasPassword: z.boolean().describe('Whether a password or token is stored. It is never answered.'),
    exchange: z
      .enum(['ecr'])
      .nullable()
      .describe('`ecr`: the stored access key is exchanged for a short-lived password at use.'),
    keyId: z.string().nullable().describe('API key behind the credentials of a managed registry.'),
    passwordSetAt: timestamp.nullable(),
    rotation: z
      .object({
        everyDays: z.int(),
        overlapSeconds: z.int(),
        dueAt: timestamp.nullable().describe('Null: there are no credentials to rotate.'),
      })
      .nullable()
      .describe('Schedule on which the credentials of a managed registry are rotated.'),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: 'Registry' })

export type Registry = z.output<typeof registry>

export const registryPage = pageOf('RegistryPage', registry)

export const registryCreate = z
  .strictObject({
    provider: z.enum(['docker_hub', 'ghcr', 'custom']),
    name: displayName.optional().describe('Default: by the provider, or the host.'),
    slug: registrySlug
      .optional()
      .describe('Reserved in the namespace of the project. Default: by the provider, or the host.'),
    host: registryHost.optional().describe('Of a custom registry; the others have theirs.'),
    username: username.optional().describe('With a password, or neither for public images.'),
    password: password.optional().describe('A password or token. Stored encrypted; never answered.'),
  })
  .meta({ id: 'RegistryCreate' })

export type RegistryCreate = z.output<typeof registryCreate>

export const registryUpdate = z
  .strictObject({
    name: displayName.optional(),
    slug: registrySlug.optional(),
    host: registryHost
      .optional()
      .describe(
        'Of a custom registry. A stored password belongs to its host: give it again, or it is removed.',
      ),
    username: username.nullish().describe('With a password; null for both removes the stored login.'),
    password: password.nullish(),
    rotation: rotationSchedule.nullish().describe('Of a managed registry; null: no schedule.'),
  })
  .meta({ id: 'RegistryUpdate' })

export type RegistryUpdate = z.output<typeof registryUpdate>

export const registryChanged = registry
  .extend({
    notice: z.string().nullable().describe('What a person should know of this change.'),
    propagation: propagation.nullable(),
  })
  .meta({ id: 'RegistryChanged' })

export type RegistryChanged = z.output<typeof registryChanged>

export const registryDeleted = z
  .object({ id: z.string(), slug: z.string(), propagation })
  .meta({ id: 'RegistryDeleted' })

export type RegistryDeleted = z.output<typeof registryDeleted>

export const registryTest = z
  .strictObject({
    repository: z
      .union([
        repositoryPath,
        z
          .templateLiteral([z.string(), ':', z.string()])
          .refine(isTagged, 'must be a repository, or repository:tag'),
      ])
      .optional()
      .describe('Also look whether this can be pulled, such as `library/alpine:latest`.'),
  })
  .meta({ id: 'RegistryTest' })

function isTagged(text: string): boolean {
  const colon = text.lastIndexOf(':')
  return (
    repositoryPath.safeParse(text.slice(0, colon)).success && tagName.safeParse(text.slice(colon + 1)).success
  )
}

export const registryTested = z
  .object({
    ok: z.boolean(),
    reason: z.string().nullable().describe('Stable code of what is wrong; null: nothing.'),
    message: z.string(),
    nextStep: z.string().nullable().describe('What to do about it.'),
    checks: z.array(z.object({ step: z.string(), ok: z.boolean(), message: z.string() })),
  })
  .meta({ id: 'RegistryTested' })

export type RegistryTested = z.output<typeof registryTested>

/** The one kind of answer that shows a stored secret. */
export const registryCredentials = z
  .object({
    registry: z.string(),
    host: z.string(),
    username: z.literal('api'),
    password: z.string().describe('An API key of the project that works in this region only.'),
    keyId: z.string(),
    version: z.int().min(1).describe('Rises by one with each rotation.'),
    overlapEndsAt: timestamp.nullable().describe('Until then the password before works too.'),
    login: z.array(loginCommand),
    propagation: propagation.nullable(),
  })
  .meta({ id: 'RegistryCredentials' })

export type RegistryCredentials = z.output<typeof registryCredentials>

export const registryCredentialsRotate = z
  .strictObject({
    overlapSeconds: overlapSeconds
      .default(DEFAULT_OVERLAP_SECONDS)
      .describe('How long the password before goes on working. 0: it ends at once, on every replica.'),
  })
  .meta({ id: 'RegistryCredentialsRotate' })

export const registryCredentialsRevoked = z
  .object({ registry: z.string(), keyId: z.string(), propagation })
  .meta({ id: 'RegistryCredentialsRevoked' })

export type RegistryCredentialsRevoked = z.output<typeof registryCredentialsRevoked>

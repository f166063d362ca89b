import { isIP } from 'node:net'
import { parseDigest } from '@berth/oci/digest'
import { isReservedNamespace, parseNamespace, parseReference, parseTag } from '@berth/oci/name'
import { MAX_REPOSITORY_NAME_LENGTH } from '@berth/oci/limits'
import { parseRepositoryName } from '@berth/oci/name'
import { z } from 'zod'
import { MAX_DISPLAY_NAME_LENGTH, MAX_GLOB_LENGTH } from './limits.ts'

/** A moment in an answer: RFC 3339 in UTC with milliseconds. */
export const timestamp = z.iso.datetime().meta({ pattern: undefined })

/** A moment in a request: RFC 3339 with any offset. */
export const timestampInput = z.iso.datetime({ offset: true }).meta({ pattern: undefined })

export const sizeBytes = z.int().min(0)

/** What people read. Trimmed, not empty, without control characters. */
export const displayName = z
  .string()
  .trim()
  .min(1, 'must not be empty')
  .max(MAX_DISPLAY_NAME_LENGTH)
  .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u, 'must not contain control characters')

/** A project's namespace: the first path component of its repositories. */
export const namespaceName = z
  .string()
  .superRefine((text, context) => {
    if (parseNamespace(text) !== null) return
    const message = isReservedNamespace(text)
      ? 'is reserved; choose another'
      : 'must be 2 to 63 of a-z, 0-9 and single hyphens inside'
    context.addIssue({ code: 'custom', message })
  })
  .meta({ examples: ['acme'] })

/** In a path: a project's id or namespace. An id never looks like another project's namespace. */
export const projectReference = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9-]+$/, 'must be a project id or namespace')
  .meta({ examples: ['acme'] })

/** A repository's path below its project's namespace: `web/api` of `acme/web/api`. */
export const repositoryPath = z
  .string()
  .max(MAX_REPOSITORY_NAME_LENGTH)
  .refine((text) => parseRepositoryName(text) !== null, 'must be lower-case path components joined by /')
  .meta({ examples: ['web/api'] })

export const tagName = z
  .string()
  .refine(
    (text) => parseTag(text) !== null,
    'must be 1 to 128 of A-Z a-z 0-9 _ . - and not start with . or -',
  )
  .meta({ examples: ['latest'] })

export const digest = z
  .string()
  .refine((text) => parseDigest(text) !== null, 'must be sha256: or sha512: and lower-case hex')
  .meta({ examples: [`sha256:${'0'.repeat(64)}`] })

/** A tag or a digest. */
export const reference = z
  .string()
  .refine((text) => parseReference(text) !== null, 'must be a tag or a digest')
  .meta({ examples: ['latest'] })

export const regionId = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'must be a region slug')
  .meta({ examples: ['local'] })

/** Pattern of repository paths below a namespace: `*` within a component, `**` over components. */
export const repositoryGlob = z
  .string()
  .min(1)
  .max(MAX_GLOB_LENGTH)
  .regex(/^[a-z0-9._*-]+(?:\/[a-z0-9._*-]+)*$/, 'must be a repository path; * and ** are wildcards')
  .meta({ examples: ['web/**'] })

/** A source network. A bare address stands for itself. */
export const cidr = z
  .string()
  .max(64)
  .refine(isCidr, 'must be an address or CIDR such as 10.0.0.0/8')
  .meta({ examples: ['10.0.0.0/8'] })

function isCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || address.includes('%') || rest.length > 0) return false
  if (prefix === undefined) return true
  return /^(?:0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128)
}

import { z } from 'zod'
import { ROLES } from './access.ts'
import { timestamp } from './fields.ts'
import { pageOf } from './paging.ts'
import { projectParams, propagation } from './projects.ts'

/** What a person is in a project. */
export const role = z
  .enum(ROLES)
  .describe(
    '`viewer` sees and pulls, `developer` also pushes, `admin` also manages members, keys, registries and rules and deletes images, `owner` also deletes the project and decides who owns it.',
  )

/** A person's id in a path. */
export const userId = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9_-]+$/, "must be a person's id")
  .meta({ examples: ['u7f3k2'] })

export const memberParams = projectParams.extend({ user: userId.describe("The person's id.") })

export const member = z
  .object({
    userId: z.string(),
    name: z.string(),
    email: z.string(),
    role,
    createdAt: timestamp.describe('Since when the person is a member.'),
  })
  .meta({ id: 'Member' })

export type Member = z.output<typeof member>

export const memberPage = pageOf('MemberPage', member)

export const memberUpdate = z.strictObject({ role }).meta({ id: 'MemberUpdate' })

export const revokedKeys = z
  .array(z.string())
  .describe("Ids of the person's own API keys that ended with this. No replica accepts them any more.")

export const memberChanged = member
  .extend({ revokedKeys, propagation: propagation.nullable().describe('Null when no key ended.') })
  .meta({ id: 'MemberChanged' })

export type MemberChanged = z.output<typeof memberChanged>

export const memberRemoved = z
  .object({
    userId: z.string(),
    revokedKeys,
    propagation: propagation.nullable().describe('Null when no key ended.'),
  })
  .meta({ id: 'MemberRemoved' })

export type MemberRemoved = z.output<typeof memberRemoved>

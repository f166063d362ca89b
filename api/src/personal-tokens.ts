import { z } from 'zod'
import { displayName, timestamp, timestampInput } from './fields.ts'
import { pageOf, pageQuery } from './paging.ts'

export const personalToken = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z.enum(['active', 'expired', 'revoked']),
    createdAt: timestamp,
    expiresAt: timestamp.nullable(),
    revokedAt: timestamp.nullable(),
    lastUsedAt: timestamp.nullable().describe('To some minutes.'),
    allowSensitive: z.boolean().describe('Whether it may do what asks a session for a fresh confirmation.'),
  })
  .meta({ id: 'PersonalToken' })

export type PersonalToken = z.output<typeof personalToken>

export const personalTokenPage = pageOf('PersonalTokenPage', personalToken)

export const personalTokenListQuery = pageQuery.extend({
  state: z.enum(['active', 'all']).default('active').describe('`all` also lists expired and revoked tokens.'),
})

export const personalTokenCreate = z
  .strictObject({
    name: displayName,
    expiresAt: timestampInput.nullish().describe('Default: never.'),
    allowSensitive: z
      .boolean()
      .default(false)
      .describe(
        'Let it do what asks a session for a fresh confirmation: keys, credentials, members, deletions.',
      ),
  })
  .meta({ id: 'PersonalTokenCreate' })

/** A token with its secret: the only answer that ever shows it. */
export const personalTokenSecret = personalToken
  .extend({ token: z.string().describe('The token itself. It is not shown again.') })
  .meta({ id: 'PersonalTokenSecret' })

export type PersonalTokenSecret = z.output<typeof personalTokenSecret>

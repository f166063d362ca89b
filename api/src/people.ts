import { z } from 'zod'
import { timestamp } from './fields.ts'
import { revokedKeys, userId } from './members.ts'
import { pageOf } from './paging.ts'
import { propagation } from './projects.ts'

export const personParams = z.strictObject({ user: userId.describe("The person's id.") })

export const person = z
  .object({
    id: z.string(),
    name: z.string(),
    email: z.string(),
    isOperator: z.boolean().describe('May do what the operator token may.'),
    disabled: z.boolean().describe('Nobody signs in with the account.'),
    methods: z
      .array(z.enum(['password', 'passkey', 'sso']))
      .describe('How the person can sign in; without one only after a password reset.'),
    createdAt: timestamp,
    lastSignInAt: timestamp.nullable().describe('In a browser or on a command line. Null: not known.'),
  })
  .meta({ id: 'Person' })

export type Person = z.output<typeof person>

export const personPage = pageOf('PersonPage', person)

export const personUpdate = z
  .strictObject({
    isOperator: z.boolean().optional(),
    disabled: z
      .boolean()
      .optional()
      .describe(
        'True ends sessions, personal access tokens and own API keys; false brings none of them back.',
      ),
  })
  .refine((update) => Object.values(update).some((value) => value !== undefined), 'must change something')
  .meta({ id: 'PersonUpdate' })

export type PersonUpdate = z.output<typeof personUpdate>

export const personChanged = person
  .extend({ revokedKeys, propagation: propagation.nullable().describe('Null when no key ended.') })
  .meta({ id: 'PersonChanged' })

export type PersonChanged = z.output<typeof personChanged>

/** Berth sends no mail: the operator passes the link on. This answer alone has it. */
export const passwordReset = z
  .object({
    userId: z.string(),
    email: z.string(),
    link: z.string().describe('To be opened by the person. It works once, and is not shown again.'),
    expiresAt: timestamp,
  })
  .meta({ id: 'PasswordReset' })

export type PasswordReset = z.output<typeof passwordReset>

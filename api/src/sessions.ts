import { z } from 'zod'
import { timestamp } from './fields.ts'
import { pageOf } from './paging.ts'

/** Id of one's own session, token or passkey in a path. `current`: the one that the call is made with. */
const ownId = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9-]+$/, 'must be an id')

export const sessionParams = z.strictObject({
  session: ownId.describe('Id of the session; `current` is the one of the call.'),
})

export const session = z
  .object({
    id: z.string(),
    kind: z.enum(['browser', 'device']).describe('In a browser, or of the command line.'),
    method: z
      .enum(['setup', 'password', 'passkey', 'sso', 'device'])
      .describe('How the person signed in; `device`: approved in a browser.'),
    current: z.boolean().describe('It is the one of the call.'),
    address: z.string().nullable().describe('Where it was begun from.'),
    userAgent: z.string().nullable(),
    createdAt: timestamp,
    lastUsedAt: timestamp.describe('To the hour.'),
    expiresAt: timestamp,
    steppedUpUntil: timestamp.nullable().describe('Until then sensitive operations need no confirmation.'),
  })
  .meta({ id: 'Session' })

export type Session = z.output<typeof session>

export const sessionPage = pageOf('SessionPage', session)

export const sessionEnded = z.object({ id: z.string() }).meta({ id: 'SessionEnded' })

export const sessionsEnded = z
  .object({ ended: z.int().min(0).describe('How many.') })
  .meta({ id: 'SessionsEnded' })

export const passkeyParams = z.strictObject({ passkey: ownId.describe('Id of the passkey.') })

export const passkey = z
  .object({
    id: z.string(),
    name: z.string().nullable(),
    createdAt: timestamp,
    backedUp: z.boolean().describe('Synchronized to other devices of the person.'),
  })
  .meta({ id: 'Passkey' })

export type Passkey = z.output<typeof passkey>

export const passkeyPage = pageOf('PasskeyPage', passkey)

export const personalTokenParams = z.strictObject({
  token: ownId.describe("The token's id: the part after `brth_p_`; `current` is the one of the call."),
})

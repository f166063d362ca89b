import { z } from 'zod'
import { timestamp } from './fields.ts'

/** The operator token, or a person. */
export const whoamiPrincipal = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('operator') }),
    z.object({
      kind: z.literal('person'),
      id: z.string(),
      email: z.string(),
      name: z.string(),
      isOperator: z.boolean().describe('May do what the operator token may.'),
      via: z.enum(['session', 'token']).describe('A session, or a personal access token.'),
      sessionId: z.string().nullable(),
      tokenId: z.string().nullable(),
      steppedUpUntil: timestamp
        .nullable()
        .describe('Until then sensitive operations need no further confirmation; null: they do.'),
    }),
  ])
  .meta({ id: 'WhoamiPrincipal' })

/** Whom the console takes the caller for. */
export const whoami = z
  .object({
    principal: whoamiPrincipal,
    installation: z.object({
      id: z.string(),
      version: z.string(),
      registryHost: z
        .string()
        .nullable()
        .describe('Host and port without a region, which lead each project to its home region; null: none.'),
    }),
  })
  .meta({ id: 'Whoami' })

export type Whoami = z.output<typeof whoami>

import { z } from 'zod'

/** Whom the console takes the caller for. People follow with their roles. */
export const whoami = z
  .object({
    principal: z.object({ kind: z.literal('operator') }),
    installation: z.object({ id: z.string(), version: z.string() }),
  })
  .meta({ id: 'Whoami' })

export type Whoami = z.output<typeof whoami>

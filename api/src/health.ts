import { z } from 'zod'

/**
 * Body of `/readyz` (on the console's and the registry's port) for those who may see details; others get one word.
 * Each check is `ok`, or says what is wrong.
 */
export const readiness = z
  .object({
    ready: z.boolean(),
    draining: z.boolean(),
    checks: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Readiness' })

export type Readiness = z.output<typeof readiness>

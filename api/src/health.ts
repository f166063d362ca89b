import { z } from 'zod'

/** Body of `/readyz` for those who may see it. `/livez` and everybody else get the status code and `status` alone. */
export const readiness = z
  .object({
    status: z.enum(['ready', 'not_ready']),
    version: z.string(),
    checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string().nullable() })),
  })
  .meta({ id: 'Readiness' })

export type Readiness = z.output<typeof readiness>

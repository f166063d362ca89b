import { z } from 'zod'

export const namespaceParams = z.strictObject({
  namespace: z.string().min(1).max(100).describe('What somebody typed; anything goes.'),
})

export const namespaceCheck = z
  .object({
    namespace: z.string(),
    available: z.boolean(),
    reason: z
      .enum(['invalid', 'reserved', 'taken'])
      .nullable()
      .describe(
        'Null when it is available. `invalid`: not a slug; `reserved`: kept for the product; `taken`: a project has it, or a deleted one had it.',
      ),
    message: z.string().nullable().describe('The reason as a sentence.'),
  })
  .meta({ id: 'NamespaceCheck' })

export type NamespaceCheck = z.output<typeof namespaceCheck>

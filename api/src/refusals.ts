import { z } from 'zod'
import { timestamp } from './fields.ts'

export const refusalParams = z.strictObject({
  requestId: z
    .string()
    .regex(/^[0-9a-f-]{8,64}$/, 'must be a request id')
    .describe('`X-Request-Id` of the answer.'),
})

/** A refused request, and the rule that decided. */
export const refusal = z
  .object({
    requestId: z.string(),
    at: timestamp,
    source: z.string().describe('`control`, or the region that refused.'),
    projectId: z
      .string()
      .nullable()
      .describe('The project that the credential belongs to, or whose content was asked for without one.'),
    actor: z.string().describe('A key id, `person:<id>` or `anonymous`.'),
    address: z.string().describe('Where the request came from.'),
    operation: z.string(),
    resource: z.string().describe('The repository or path, as the request named it.'),
    status: z.int(),
    code: z.string(),
    rule: z.string().describe('Which rule decided. Stable.'),
    detail: z.record(z.string(), z.unknown()).describe("The rule's values."),
    explanation: z.string().describe('The same in words.'),
    remedy: z.string().nullable().describe('What would have to be different.'),
  })
  .meta({ id: 'Refusal' })

export type Refusal = z.output<typeof refusal>

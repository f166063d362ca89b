import { z } from 'zod'
import { timestamp } from './fields.ts'
import { pageOf, pageQuery } from './paging.ts'

export const auditEvent = z
  .object({
    id: z.string().describe('Unique in the installation.'),
    at: timestamp,
    source: z.string().describe('`control`, or the id of the region in which it happened.'),
    projectId: z.string().nullable().describe('Null: it concerns the installation.'),
    actor: z.string().describe('Who: `operator`, `system`, or the id of a key.'),
    action: z.string().describe('`<noun>.<verb>`, such as `api_key.create` or `manifest.push`.'),
    target: z.string(),
    detail: z.record(z.string(), z.unknown()),
    requestId: z.string(),
  })
  .meta({ id: 'AuditEvent' })

export type AuditEvent = z.output<typeof auditEvent>

export const auditEventPage = pageOf('AuditEventPage', auditEvent)

export const auditEventQuery = pageQuery.extend({
  action: z
    .string()
    .max(64)
    .regex(/^[a-z_]+(?:\.[a-z_]+)?$/, 'must be <noun>.<verb> or a noun')
    .optional()
    .describe('Only this action (`tag.delete`), or all of a noun (`tag`).'),
  source: z.string().max(63).optional().describe('Only `control`, or one region.'),
})

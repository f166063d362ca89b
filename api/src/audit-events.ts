import { z } from 'zod'
import { timestamp, timestampInput } from './fields.ts'
import { MAX_AUDIT_FILTER_LENGTH, MAX_REMEMBERED_HEADS } from './limits.ts'
import { pageOf, pageQuery } from './paging.ts'

const chainPlace = z
  .object({
    seq: z.int().describe("Counts the events of the project's chain in this source, from 1, without gaps."),
    hash: z.string().describe('SHA-256 in hex over this event and the hash of the one before.'),
  })
  .nullable()
  .describe('Place in the hash chain; null for a moment, until the event is sealed.')

export const auditEvent = z
  .object({
    id: z.string().describe('Unique in the installation.'),
    at: timestamp,
    source: z.string().describe('`control`, or the id of the region in which it happened.'),
    projectId: z.string().nullable().describe('Null: it concerns the installation.'),
    actor: z.string().describe('Who: `operator`, `person:<id>`, `system`, `anonymous`, or the id of a key.'),
    action: z.string().describe('`<noun>.<verb>`, such as `api_key.create` or `manifest.push`.'),
    target: z.string(),
    detail: z.record(z.string(), z.unknown()),
    requestId: z.string(),
    chain: chainPlace,
  })
  .meta({ id: 'AuditEvent' })

export type AuditEvent = z.output<typeof auditEvent>

export const auditEventPage = pageOf('AuditEventPage', auditEvent)

const filterText = z.string().min(1).max(MAX_AUDIT_FILTER_LENGTH)

const auditFilter = {
  action: z
    .string()
    .max(64)
    .regex(/^[a-z_]+(?:\.[a-z_]+)?$/, 'must be <noun>.<verb> or a noun')
    .optional()
    .describe('Only this action (`tag.delete`), or all of a noun (`tag`).'),
  source: z.string().max(63).optional().describe('Only `control`, or one region.'),
  actor: filterText.optional().describe('Only what this actor did: `operator`, `person:<id>`, a key id.'),
  target: filterText.optional().describe('Only targets that begin with this.'),
  since: timestampInput.optional().describe('Only events of this time or later.'),
  until: timestampInput.optional().describe('Only events before this time.'),
  requestId: filterText.optional().describe('Only what this request did.'),
}

export const auditEventQuery = pageQuery.extend(auditFilter)

export const auditExportQuery = z.strictObject(auditFilter)

/** Where a verification stood when it was last run, as `head` of it says. */
export const auditHead = z
  .string()
  .regex(/^[a-z0-9-]{1,63}:[a-z0-9-]{1,63}:\d{1,16}:[0-9a-f]{64}$/, 'must be a head that verify printed')

export const auditVerificationQuery = z.strictObject({
  cursor: pageQuery.shape.cursor,
  sinceHeads: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(auditHead).max(MAX_REMEMBERED_HEADS))
    .optional()
    .describe('Heads of an earlier verification, joined by commas: what was there then must be there still.'),
})

export const auditFinding = z
  .object({
    kind: z
      .enum(['changed', 'removed', 'inserted', 'moved', 'truncated', 'head_changed'])
      .describe(
        '`changed`: the event does not fit its hash: it was altered, or put there. `removed`: events are missing. `inserted`: a second event at one place. `moved`: an event of another place. `truncated`: the end of the chain is gone, or was replaced. `head_changed`: the record of the end was altered.',
      ),
    source: z.string(),
    projectId: z.string().nullable(),
    seq: z.int().describe('Place in the chain; the first one where several are missing.'),
    eventId: z.string().nullable(),
    message: z.string(),
  })
  .meta({ id: 'AuditFinding' })

export type AuditFinding = z.output<typeof auditFinding>

export const auditVerification = z
  .object({
    checked: z.int().describe('Events that this call has checked.'),
    findings: z.array(auditFinding),
    heads: z
      .array(
        z.object({
          source: z.string(),
          projectId: z.string().nullable(),
          seq: z.int(),
          head: z.string().describe('Keep it elsewhere, and pass it as `sinceHeads` another time.'),
        }),
      )
      .describe('Chains that this call has checked to their end.'),
    continuation: z.string().nullable().describe('`cursor` of the next call; null when all is checked.'),
  })
  .meta({ id: 'AuditVerification' })

export type AuditVerification = z.output<typeof auditVerification>

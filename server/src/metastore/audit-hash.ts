import { hash } from 'node:crypto'

/** What of an event is hashed: all that is shown of it. `detail` is the JSON text as it is stored. */
export interface HashedEvent {
  readonly id: number
  readonly project_id: string | null
  readonly at: number
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly detail: string
  readonly request_id: string
}

const FORM = 'berth-audit/1'

/** What the first event of a chain holds in place of the hash before it. */
export const GENESIS_HASH = '0'.repeat(64)

/** Which chain an event belongs to: its project's, or the installation's (empty). */
export function chainOf(event: { readonly project_id: string | null }): string {
  return event.project_id ?? ''
}

/**
 * The hash of an event at a place of its chain: SHA-256, in hex, over a JSON array of texts and integers, which has
 * one spelling only. `previous` is the hash of the event before. docs/guides/audit.md shows the form.
 */
export function hashAuditEvent(event: HashedEvent, seq: number, previous: string): string {
  const { id, at, actor, action, target, detail, request_id } = event
  const form = [FORM, previous, chainOf(event), seq, id, at, actor, action, target, detail, request_id]
  return hash('sha256', JSON.stringify(form), 'hex')
}

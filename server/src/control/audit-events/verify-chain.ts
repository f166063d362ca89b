import type { AuditFinding } from '@berth/api/audit-events'
import type { Kysely } from 'kysely'
import { GENESIS_HASH, hashAuditEvent } from '../../metastore/audit-hash.ts'
import type { AuditEventRow, AuditTables } from '../../metastore/audit-tables.ts'
import { listChainEvents, loadChain } from '../../metastore/queries/audit-chain.ts'

/** How far a chain was verified: the place and the hash of the last event. */
export interface ChainPlace {
  readonly seq: number
  readonly hash: string
}

/** A place of a chain that somebody noted down earlier. */
export interface RememberedHead extends ChainPlace {
  readonly chain: string
}

export type ChainFinding = Pick<AuditFinding, 'kind' | 'seq' | 'message'> & {
  readonly eventId: number | null
}

export interface VerifiedPart {
  readonly checked: number
  readonly findings: readonly ChainFinding[]
  /** Null: the chain ends here. */
  readonly next: ChainPlace | null
  /** The end of the chain, once it is reached. */
  readonly head: ChainPlace | null
}

/**
 * Verifies the next events of a chain, at most `limit`. After a finding it goes on from the hash that is stored, so
 * that each alteration is reported once, at its own place.
 */
export async function verifyChainPart(
  reader: Kysely<AuditTables>,
  chain: string,
  options: {
    readonly from: ChainPlace | null
    readonly limit: number
    readonly remembered: readonly RememberedHead[]
  },
): Promise<VerifiedPart> {
  const record = await loadChain(reader, chain)
  const base = { seq: record?.base_seq ?? 0, hash: record?.base_hash ?? GENESIS_HASH }
  const from = options.from ?? base
  const events = await listChainEvents(reader, chain, from.seq, options.limit)
  const findings: ChainFinding[] = []
  const hashes = new Map([[from.seq, from.hash]])
  let last = from
  let isAfterFinding = false
  for (const event of events) {
    const finding = checkEvent(event, last, { around: events, isAfterFinding })
    if (finding !== null) findings.push(finding)
    isAfterFinding = finding !== null
    if (event.chain_seq === null || event.chain_hash === null) continue
    last = { seq: event.chain_seq, hash: event.chain_hash }
    hashes.set(last.seq, last.hash)
  }
  findings.push(...compareRemembered(options.remembered, { base, from, last, hashes }))
  if (events.length === options.limit) return { checked: events.length, findings, next: last, head: null }
  findings.push(...checkEnd(record, last, options.remembered))
  return { checked: events.length, findings, next: null, head: last }
}

function checkEvent(
  event: AuditEventRow,
  before: ChainPlace,
  { around, isAfterFinding }: { readonly around: readonly AuditEventRow[]; readonly isAfterFinding: boolean },
): ChainFinding | null {
  const seq = event.chain_seq ?? 0
  const eventId = event.id
  if (seq === before.seq)
    return { kind: 'inserted', seq, eventId, message: `A second event stands at place ${seq}.` }
  if (seq > before.seq + 1) {
    const count = seq - before.seq - 1
    const message = `${count === 1 ? 'One event is' : `${count} events are`} missing before place ${seq}.`
    return { kind: 'removed', seq: before.seq + 1, eventId: null, message }
  }
  if (hashAuditEvent(event, seq, before.hash) === event.chain_hash) return null
  const origin = placeOfOrigin(event, around)
  // It is where it belongs: what was before it is not.
  if (origin === seq && isAfterFinding) return null
  return origin === null || origin === seq
    ? {
        kind: 'changed',
        seq,
        eventId,
        message: `The event at place ${seq} does not fit its hash: it was altered, or put there.`,
      }
    : { kind: 'moved', seq, eventId, message: `The event at place ${seq} belongs to place ${origin}.` }
}

/** The place for which an event's hash was made, among those read together with it; null: none of them. */
function placeOfOrigin(event: AuditEventRow, around: readonly AuditEventRow[]): number | null {
  for (const { chain_seq: seq, chain_hash: hash } of around) {
    if (seq === null || hash === null) continue
    for (const place of [seq + 1, seq, seq + 2]) {
      if (hashAuditEvent(event, place, hash) === event.chain_hash) return place
    }
  }
  return null
}

interface Walked {
  readonly base: ChainPlace
  readonly from: ChainPlace
  readonly last: ChainPlace
  readonly hashes: ReadonlyMap<number, string>
}

/** Heads of earlier verifications that lie in the part that was walked now. */
function compareRemembered(
  remembered: readonly RememberedHead[],
  { base, from, last, hashes }: Walked,
): ChainFinding[] {
  return remembered
    .filter(({ seq }) => seq > from.seq && seq <= last.seq)
    .filter(({ seq, hash }) => hashes.get(seq) !== hash && seq > base.seq)
    .map(({ seq }) => ({
      kind: 'truncated' as const,
      seq,
      eventId: null,
      message: `Place ${seq} holds another event than when its head was noted: the chain was cut and written anew.`,
    }))
}

function checkEnd(
  record: { readonly seq: number; readonly hash: string } | null,
  last: ChainPlace,
  remembered: readonly RememberedHead[],
): ChainFinding[] {
  const findings: ChainFinding[] = []
  if (record !== null && record.seq > last.seq) {
    const message = `The chain ends at place ${last.seq}, but its record says ${record.seq}: the end was removed.`
    findings.push({ kind: 'truncated', seq: last.seq + 1, eventId: null, message })
  } else if ((record?.seq ?? 0) !== last.seq || (last.seq > 0 && record?.hash !== last.hash)) {
    const message = 'The record of the end of the chain is not that of its last event.'
    findings.push({ kind: 'head_changed', seq: last.seq, eventId: null, message })
  }
  for (const { seq } of remembered.filter((head) => head.seq > last.seq)) {
    const message = `The chain ends at place ${last.seq}, but a head of place ${seq} was noted: the end was removed.`
    findings.push({ kind: 'truncated', seq: last.seq + 1, eventId: null, message })
  }
  return findings
}

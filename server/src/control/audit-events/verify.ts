import type { AuditVerification } from '@berth/api/audit-events'
import { z } from 'zod'
import { listChains } from '../../metastore/queries/audit-chain.ts'
import { sealControlEvents, sealRegionEvents } from '../../metastore/seal-audit.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { ControlRuntime } from '../runtime.ts'
import { type AuditSource, auditSources } from './sources.ts'
import { type ChainFinding, type RememberedHead, verifyChainPart } from './verify-chain.ts'

/** Events that one call checks: some tens of milliseconds. */
const EVENTS_PER_CALL = 2_000
/** Chains that one call looks at: an installation may have many that are short. */
const CHAINS_PER_CALL = 100
/** What stands for the installation's chain in a head; no project has this id. */
const INSTALLATION = '-'

/** Where a verification goes on. Whoever makes one up only misleads themselves. */
const placeSchema = z.object({
  source: z.string(),
  chain: z.string(),
  from: z.object({ seq: z.int().min(0), hash: z.string().max(64) }).nullable(),
})

type Place = z.output<typeof placeSchema>

interface SourceHead extends RememberedHead {
  readonly source: string
}

/**
 * Verifies the chains of a project (null: of the installation and all projects) in all sources, a part a call. What was
 * written just now is sealed first. A deleted event is a gap, an altered one does not fit its hash; a chain that was cut
 * and written anew is found by a head that was noted before.
 */
export async function verifyAudit(
  runtime: ControlRuntime,
  projectId: string | null,
  query: { readonly cursor?: string | undefined; readonly sinceHeads?: readonly string[] | undefined },
): Promise<AuditVerification> {
  const remembered = (query.sinceHeads ?? []).map(parseHead)
  let place = decodeCursor(placeSchema, query.cursor)
  if (place === null) {
    await sealControlEvents(runtime.db)
    for (const { db } of runtime.regions.values()) await sealRegionEvents(db)
    place = await placeAfter(runtime, projectId, null)
  }
  const result: AuditVerification = { checked: 0, findings: [], heads: [], continuation: null }
  for (let chains = 0; place !== null; chains += 1) {
    if (chains === CHAINS_PER_CALL || result.checked >= EVENTS_PER_CALL) break
    place = await verifyPlace(runtime, projectId, { place, remembered, result })
  }
  return { ...result, continuation: place === null ? null : encodeCursor(place) }
}

interface Step {
  readonly place: Place
  readonly remembered: readonly SourceHead[]
  readonly result: AuditVerification
}

/** Verifies at one place, adds to the result, and answers the next place. */
async function verifyPlace(
  runtime: ControlRuntime,
  projectId: string | null,
  { place, remembered, result }: Step,
): Promise<Place | null> {
  const source = auditSources(runtime).find(({ name }) => name === place.source)
  // A cursor of another project's chain would tell of it.
  if (source === undefined || (projectId !== null && place.chain !== projectId)) return null
  const { chain } = place
  const part = await verifyChainPart(source.reader, chain, {
    from: place.from,
    limit: EVENTS_PER_CALL - result.checked,
    remembered: remembered.filter((head) => head.source === source.name && head.chain === chain),
  })
  result.checked += part.checked
  result.findings.push(...part.findings.map((finding) => toFinding(finding, source, chain)))
  if (part.next !== null) return { ...place, from: part.next }
  if (part.head !== null && part.head.seq > 0) {
    const { seq, hash } = part.head
    const head = [source.name, chain === '' ? INSTALLATION : chain, seq, hash].join(':')
    result.heads.push({ source: source.name, projectId: chain === '' ? null : chain, seq, head })
  }
  return placeAfter(runtime, projectId, place)
}

/** The beginning of the next chain: of the same source, or of the one after it. */
async function placeAfter(
  runtime: ControlRuntime,
  projectId: string | null,
  before: Place | null,
): Promise<Place | null> {
  const sources = auditSources(runtime)
  const current = sources.findIndex(({ name }) => name === before?.source)
  for (const [i, source] of sources.entries()) {
    if (i < current) continue
    const after = i === current ? (before?.chain ?? null) : null
    if (projectId !== null) {
      if (after === null) return { source: source.name, chain: projectId, from: null }
      continue
    }
    const [chain] = await listChains(source.reader, after, 1)
    if (chain !== undefined) return { source: source.name, chain, from: null }
  }
  return null
}

function toFinding({ kind, seq, eventId, message }: ChainFinding, { name }: AuditSource, chain: string) {
  return {
    kind,
    source: name,
    projectId: chain === '' ? null : chain,
    seq,
    eventId: eventId === null ? null : `${name}-${eventId}`,
    message,
  }
}

function parseHead(text: string): SourceHead {
  const [source = '', chain = '', seq = '', hash = ''] = text.split(':')
  return { source, chain: chain === INSTALLATION ? '' : chain, seq: Number(seq), hash }
}

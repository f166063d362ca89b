import { type Kysely, sql } from 'kysely'
import { chainOf, GENESIS_HASH, hashAuditEvent } from '../audit-hash.ts'
import type { AuditChainRow, AuditEventRow, AuditTables } from '../audit-tables.ts'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'

/*
 * The hash chain of the audit log. Events are sealed after their commit, in one transaction at a time, so that the
 * transactions that write them never wait for each other (ADR 0013).
 */

const SEALER_ID = 1

/** Either database's handle as one of the tables that both have. */
export function auditTables(db: Kysely<ControlSchema> | Kysely<RegionSchema>): Kysely<AuditTables> {
  return db as unknown as Kysely<AuditTables>
}

/** Whether an event waits to be sealed: a read, so that an idle database is not written to. */
export async function hasUnsealedEvents(reader: Kysely<AuditTables>): Promise<boolean> {
  const query = reader.selectFrom('audit_event').select('id').where('position', 'is', null).limit(1)
  return (await query.executeTakeFirst()) !== undefined
}

export interface SealOutcome {
  readonly sealed: number
}

async function seal(tx: Kysely<AuditTables>, limit: number): Promise<SealOutcome> {
  const sealer = tx.selectFrom('audit_sealer').select('position').where('id', '=', SEALER_ID)
  const { position } = await lockForUpdate(sealer, dialectOf(tx)).executeTakeFirstOrThrow()
  const events = await tx
    .selectFrom('audit_event')
    .selectAll()
    .where('position', 'is', null)
    .orderBy('id')
    .limit(limit)
    .execute()
  if (events.length === 0) return { sealed: 0 }
  const heads = await loadHeads(tx, new Set(events.map(chainOf)))
  const places = events.map((event, i) => {
    const chain = chainOf(event)
    const head = heads.get(chain) ?? { seq: 0, hash: GENESIS_HASH }
    const seq = head.seq + 1
    const hash = hashAuditEvent(event, seq, head.hash)
    heads.set(chain, { seq, hash })
    return sql`(cast(${event.id} as bigint), cast(${position + 1 + i} as bigint), cast(${seq} as bigint), cast(${hash} as text))`
  })
  await sql`with place (id, position, seq, hash) as (values ${sql.join(places)})
    update audit_event set position = place.position, chain_seq = place.seq, chain_hash = place.hash
    from place where audit_event.id = place.id`.execute(tx)
  for (const [chain, { seq, hash }] of heads) {
    await tx
      .insertInto('audit_chain')
      .values({ chain, seq, hash, base_seq: 0, base_hash: GENESIS_HASH })
      .onConflict((conflict) => conflict.column('chain').doUpdateSet({ seq, hash }))
      .execute()
  }
  await tx
    .updateTable('audit_sealer')
    .set({ position: position + events.length })
    .where('id', '=', SEALER_ID)
    .execute()
  return { sealed: events.length }
}

async function loadHeads(
  tx: Kysely<AuditTables>,
  chains: ReadonlySet<string>,
): Promise<Map<string, { seq: number; hash: string }>> {
  const rows = await tx
    .selectFrom('audit_chain')
    .select(['chain', 'seq', 'hash'])
    .where('chain', 'in', [...chains])
    .execute()
  return new Map(rows.map(({ chain, seq, hash }) => [chain, { seq, hash }]))
}

/** Gives the oldest events that have none their places in the chains: at most `limit` of them. */
export const sealControlAudit = defineCommand<ControlSchema, { readonly limit: number }, SealOutcome>(
  'audit.seal',
  (tx, { limit }) => seal(auditTables(tx), limit),
)

/** The same in a region. */
export const sealRegionAudit = defineCommand<RegionSchema, { readonly limit: number }, SealOutcome>(
  'audit.seal',
  (tx, { limit }) => seal(auditTables(tx), limit),
)

/** The end and the beginning of a chain. Null: nothing of it was sealed yet. */
export async function loadChain(reader: Kysely<AuditTables>, chain: string): Promise<AuditChainRow | null> {
  const query = reader.selectFrom('audit_chain').selectAll().where('chain', '=', chain)
  return (await query.executeTakeFirst()) ?? null
}

/** Names of chains after `after` in byte order; null: from the first. */
export async function listChains(
  reader: Kysely<AuditTables>,
  after: string | null,
  limit: number,
): Promise<string[]> {
  let query = reader.selectFrom('audit_chain').select('chain')
  if (after !== null) query = query.where('chain', '>', after)
  return (await query.orderBy('chain').limit(limit).execute()).map(({ chain }) => chain)
}

/** Sealed events of a chain after `afterSeq`, in the order of the chain. */
export async function listChainEvents(
  reader: Kysely<AuditTables>,
  chain: string,
  afterSeq: number,
  limit: number,
): Promise<AuditEventRow[]> {
  return reader
    .selectFrom('audit_event')
    .selectAll()
    .where(sql<string>`coalesce(project_id, '')`, '=', chain)
    .where('chain_seq', '>', afterSeq)
    .orderBy('chain_seq')
    .limit(limit)
    .execute()
}

/** Sealed events of the database after `afterPosition`, in the order in which they were sealed. */
export async function listSealedEvents(
  reader: Kysely<AuditTables>,
  afterPosition: number,
  limit: number,
): Promise<AuditEventRow[]> {
  return reader
    .selectFrom('audit_event')
    .selectAll()
    .where('position', '>', afterPosition)
    .orderBy('position')
    .limit(limit)
    .execute()
}

/** The position of the last sealed event. */
export async function loadSealedPosition(reader: Kysely<AuditTables>): Promise<number> {
  const query = reader.selectFrom('audit_sealer').select('position').where('id', '=', SEALER_ID)
  return (await query.executeTakeFirstOrThrow()).position
}

export interface PruneOutcome {
  readonly removed: number
}

async function prune(
  tx: Kysely<AuditTables>,
  { chain, writtenBefore, limit, nowMs }: PruneArgs,
): Promise<PruneOutcome> {
  const query = tx.selectFrom('audit_chain').selectAll().where('chain', '=', chain)
  const head = await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()
  if (head === undefined) return { removed: 0 }
  const oldest = await listChainEvents(tx, chain, head.base_seq, limit)
  // Only from the beginning: what is kept stays one chain. The last event stays, so that the chain goes on from it.
  const kept = oldest.findIndex(({ at, chain_seq }) => at >= writtenBefore || chain_seq === head.seq)
  const removed = kept === -1 ? oldest : oldest.slice(0, kept)
  const last = removed.at(-1)
  if (last === undefined || last.chain_seq === null || last.chain_hash === null) return { removed: 0 }
  await tx
    .deleteFrom('audit_event')
    .where(sql<string>`coalesce(project_id, '')`, '=', chain)
    .where('chain_seq', '<=', last.chain_seq)
    .execute()
  await tx
    .updateTable('audit_chain')
    .set({ base_seq: last.chain_seq, base_hash: last.chain_hash })
    .where('chain', '=', chain)
    .execute()
  await tx
    .insertInto('audit_event')
    .values({
      project_id: last.project_id,
      at: nowMs,
      actor: 'system',
      action: 'audit.prune',
      target: `events up to ${last.chain_seq}`,
      detail: JSON.stringify({ removed: removed.length, throughSeq: last.chain_seq, hash: last.chain_hash }),
      request_id: 'retention',
    })
    .execute()
  return { removed: removed.length }
}

export interface PruneArgs {
  readonly chain: string
  /** Milliseconds. */
  readonly writtenBefore: number
  readonly limit: number
  readonly nowMs: number
}

/** Removes the oldest events of a chain, and notes where it begins from then on. */
export const pruneControlAudit = defineCommand<ControlSchema, PruneArgs, PruneOutcome>(
  'audit.prune',
  (tx, args) => prune(auditTables(tx), args),
)

/** The same in a region. */
export const pruneRegionAudit = defineCommand<RegionSchema, PruneArgs, PruneOutcome>(
  'audit.prune',
  (tx, args) => prune(auditTables(tx), args),
)

export const controlAuditChainCommands = [sealControlAudit, pruneControlAudit]
export const regionAuditChainCommands = [sealRegionAudit, pruneRegionAudit]

import { type Kysely, sql } from 'kysely'
import type { AuditTables, RefusalRow } from '../audit-tables.ts'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'
import { auditTables } from './audit-chain.ts'

/*
 * Refused requests: the latest of each project for `explain`, and their counts in the audit log.
 */

/** How often something was refused, for the audit log. */
export interface RefusalCount {
  readonly projectId: string | null
  readonly at: number
  readonly actor: string
  readonly target: string
  readonly detail: string
  readonly requestId: string
}

export interface RefusalBatch {
  readonly refusals: readonly RefusalRow[]
  readonly counts: readonly RefusalCount[]
}

async function record(
  tx: Kysely<AuditTables>,
  { refusals, counts }: RefusalBatch,
  nobody: string | null,
): Promise<null> {
  if (refusals.length > 0) {
    await tx
      .insertInto('refusal')
      .values([...refusals])
      .onConflict((conflict) => conflict.column('request_id').doNothing())
      .execute()
  }
  if (counts.length > 0) {
    await tx
      .insertInto('audit_event')
      .values(
        counts.map(({ projectId, requestId, ...count }) => ({
          ...count,
          project_id: projectId ?? nobody,
          action: 'access.deny',
          request_id: requestId,
        })),
      )
      .execute()
  }
  return null
}

/** Writes refusals of the console and their counts. */
export const recordControlRefusals = defineCommand<ControlSchema, RefusalBatch, null>(
  'refusal.record',
  (tx, batch) => record(auditTables(tx), batch, null),
)

/** The same in a region. */
export const recordRegionRefusals = defineCommand<RegionSchema, RefusalBatch, null>(
  'refusal.record',
  (tx, batch) => record(auditTables(tx), batch, ''),
)

export interface RefusalPruning {
  /** Milliseconds. */
  readonly writtenBefore: number
  /** How many of each project stay. */
  readonly keptPerProject: number
  readonly projectIds: readonly string[]
}

async function prune(
  tx: Kysely<AuditTables>,
  { writtenBefore, keptPerProject, projectIds }: RefusalPruning,
): Promise<null> {
  await tx.deleteFrom('refusal').where('at', '<', writtenBefore).execute()
  for (const projectId of projectIds) {
    await sql`delete from refusal where project_id = ${projectId} and at < (
      select at from refusal where project_id = ${projectId}
      order by at desc limit 1 offset ${keptPerProject - 1})`.execute(tx)
  }
  return null
}

/** Removes refusals of the console that are old or too many. */
export const pruneControlRefusals = defineCommand<ControlSchema, RefusalPruning, null>(
  'refusal.prune',
  (tx, pruning) => prune(auditTables(tx), pruning),
)

/** The same in a region. */
export const pruneRegionRefusals = defineCommand<RegionSchema, RefusalPruning, null>(
  'refusal.prune',
  (tx, pruning) => prune(auditTables(tx), pruning),
)

/** A refusal by the id of its request. */
export async function loadRefusal(
  reader: Kysely<AuditTables>,
  requestId: string,
): Promise<RefusalRow | null> {
  const query = reader.selectFrom('refusal').selectAll().where('request_id', '=', requestId)
  return (await query.executeTakeFirst()) ?? null
}

export const controlRefusalCommands = [recordControlRefusals, pruneControlRefusals]
export const regionRefusalCommands = [recordRegionRefusals, pruneRegionRefusals]

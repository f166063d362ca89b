import type { Kysely, Selectable } from 'kysely'
import { defineCommand } from '../database.ts'
import { dialectOf, lockForShare } from '../dialect.ts'
import type { RegionSchema, ReplicaTable } from '../region-schema.ts'

export type ReplicaRow = Selectable<ReplicaTable>

/** All processes that serve the region or did so a short while ago. */
export async function listReplicas(reader: Kysely<RegionSchema>): Promise<ReplicaRow[]> {
  return reader.selectFrom('replica').selectAll().orderBy('id').execute()
}

/**
 * Says that a process has dropped all that changed up to `appliedSeq`. Does nothing when the region has gone further
 * meanwhile: then the process holds something that may be outdated, and must not be trusted for another lease. The
 * cursor is locked against being moved, so whoever moves it next sees this row.
 */
export const renewReplica = defineCommand<
  RegionSchema,
  {
    readonly id: string
    readonly version: string
    readonly appliedSeq: number
    readonly startedAt: number
    readonly nowMs: number
  },
  { readonly renewed: boolean }
>('replica.renew', async (tx, { id, version, appliedSeq, startedAt, nowMs }) => {
  const query = tx.selectFrom('access_cursor').select('applied_seq')
  const cursor = await lockForShare(query, dialectOf(tx)).executeTakeFirstOrThrow()
  if (cursor.applied_seq !== appliedSeq) return { renewed: false }
  const row = { applied_seq: appliedSeq, renewed_at: nowMs, started_at: startedAt, version }
  await tx
    .insertInto('replica')
    .values({ id, ...row })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute()
  return { renewed: true }
})

/** Takes a process off the list: one that stops, or all that were last heard of before a time. */
export const removeReplicas = defineCommand<
  RegionSchema,
  { readonly id: string } | { readonly renewedBefore: number },
  null
>('replica.remove', async (tx, which) => {
  const query = tx.deleteFrom('replica')
  await ('id' in which
    ? query.where('id', '=', which.id)
    : query.where('renewed_at', '<', which.renewedBefore)
  ).execute()
  return null
})

export const accessReplicaCommands = [renewReplica, removeReplicas]

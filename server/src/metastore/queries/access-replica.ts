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
 * `behind`: the region has gone further, so the process holds something that may be outdated. `forgotten`: its row
 * was taken away, so changes may have passed that nobody waited for it to drop. Neither may be trusted for another
 * lease.
 */
export type ReplicaRenewal = 'renewed' | 'behind' | 'forgotten'

/**
 * Says that a process has dropped all that changed up to `appliedSeq`. The cursor is locked against being moved
 * meanwhile, so whoever moves it next sees this row.
 */
export const renewReplica = defineCommand<
  RegionSchema,
  {
    readonly id: string
    readonly version: string
    readonly appliedSeq: number
    readonly startedAt: number
    readonly nowMs: number
    /** The process has no row yet. */
    readonly isNew: boolean
  },
  ReplicaRenewal
>('replica.renew', async (tx, { id, version, appliedSeq, startedAt, nowMs, isNew }) => {
  const query = tx.selectFrom('access_cursor').select('applied_seq')
  const cursor = await lockForShare(query, dialectOf(tx)).executeTakeFirstOrThrow()
  if (cursor.applied_seq !== appliedSeq) return 'behind'
  const row = { applied_seq: appliedSeq, renewed_at: nowMs, started_at: startedAt, version }
  if (isNew) {
    await tx
      .insertInto('replica')
      .values({ id, ...row })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
      .execute()
    return 'renewed'
  }
  const updated = await tx.updateTable('replica').set(row).where('id', '=', id).executeTakeFirst()
  return updated.numUpdatedRows === 0n ? 'forgotten' : 'renewed'
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

import type { Database } from '../metastore/database.ts'
import { removeReplicas, renewReplica, type ReplicaRenewal } from '../metastore/queries/access-replica.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import { REPLICA_FORGOTTEN_AFTER_MS } from './limits.ts'

/** This process's row among those that serve a region: what a revocation waits for. */
export interface Replica {
  /** Reports that everything up to `appliedSeq` is dropped here. A process that was forgotten starts as a new one. */
  report(appliedSeq: number): Promise<ReplicaRenewal>
  /** Takes the row away, so that nobody waits for a process that has ended. */
  remove(): Promise<void>
}

/** `id` is new with each start of a process. */
export function createReplica(
  db: Database<RegionSchema>,
  identity: { readonly id: string; readonly version: string },
): Replica {
  let startedAt: number | null = null
  let isNew = true

  return {
    async report(appliedSeq) {
      const nowMs = await db.nowMs()
      if (startedAt === null) {
        await db.run(removeReplicas, { renewedBefore: nowMs - REPLICA_FORGOTTEN_AFTER_MS })
        startedAt = nowMs
      }
      const outcome = await db.run(renewReplica, { ...identity, appliedSeq, startedAt, nowMs, isNew })
      if (outcome !== 'behind') isNew = outcome === 'forgotten'
      return outcome
    },
    async remove() {
      await db.run(removeReplicas, { id: identity.id })
    },
  }
}

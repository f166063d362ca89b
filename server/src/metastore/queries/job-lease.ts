import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'

export interface LeaseRequest {
  readonly name: string
  /** Who asks: new with each start of a process. */
  readonly owner: string
  readonly nowMs: number
  readonly untilMs: number
}

/** Takes or renews a lease. False: another process holds it. */
export const holdJobLease = defineCommand<ControlSchema, LeaseRequest, boolean>(
  'job_lease.hold',
  async (tx, { name, owner, nowMs, untilMs }) => {
    await tx
      .insertInto('job_lease')
      .values({ name, owner, until: untilMs })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
    const { numUpdatedRows } = await tx
      .updateTable('job_lease')
      .set({ owner, until: untilMs })
      .where('name', '=', name)
      .where((where) => where.or([where('owner', '=', owner), where('until', '<=', nowMs)]))
      .executeTakeFirst()
    return numUpdatedRows === 1n
  },
)

/** Gives a lease back, so that another process need not wait for its end. */
export const releaseJobLease = defineCommand<
  ControlSchema,
  { readonly name: string; readonly owner: string },
  null
>('job_lease.release', async (tx, { name, owner }) => {
  await tx.deleteFrom('job_lease').where('name', '=', name).where('owner', '=', owner).execute()
  return null
})

export const jobLeaseCommands = [holdJobLease, releaseJobLease]

import { defineCommand } from '../database.ts'
import type { HealthCheckTable } from '../region-schema.ts'

/** The smallest write that reaches the disk. */
export const touchHealth = defineCommand<{ health_check: HealthCheckTable }, { nowMs: number }, void>(
  'health.touch',
  async (tx, { nowMs }) => {
    await tx.updateTable('health_check').set({ checked_at: nowMs }).where('id', '=', 1).execute()
  },
)

export const healthCommands = [touchHealth]

import { sql } from 'kysely'
import { defineCommand } from '../database.ts'
import { COMMANDS as PRODUCT_COMMANDS } from '../commands.ts'
import type { RegionSchema } from '../region-schema.ts'

/** Appends an event and counts it, in two tables. For the kill -9 test. */
export const appendPair = defineCommand<RegionSchema, { requestId: string }, void>(
  'kill9.append_pair',
  async (tx, { requestId }) => {
    await tx
      .insertInto('audit_event')
      .values({
        project_id: 'project',
        at: 1,
        actor: 'kill9',
        action: 'append',
        target: '',
        detail: '{}',
        request_id: requestId,
      })
      .execute()
    await tx
      .insertInto('project_usage')
      .values({ project_id: 'project', used_bytes: 1 })
      .onConflict((conflict) =>
        conflict.column('project_id').doUpdateSet({ used_bytes: sql`project_usage.used_bytes + 1` }),
      )
      .execute()
  },
)

export const COMMANDS = {
  control: PRODUCT_COMMANDS.control,
  region: [...PRODUCT_COMMANDS.region, appendPair],
}

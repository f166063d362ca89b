import { sql } from 'kysely'
import type { ControlSchema } from '@berth/server/metastore/control-schema'
import { COMMANDS as PRODUCT_COMMANDS } from '@berth/server/metastore/commands'
import { defineCommand } from '@berth/server/metastore/database'
import { dialectOf } from '@berth/server/metastore/dialect'
import { apiKeyCommands } from '@berth/server/metastore/queries/api-key'
import { projectCommands } from '@berth/server/metastore/queries/project'
import type { RegionSchema } from '@berth/server/metastore/region-schema'
import {
  assertKeyStillValid,
  type RevokedOutcome,
  type WriteGuard,
} from '@berth/server/metastore/queries/access-guard'

/** Whoever holds this advisory lock holds up `guardedWrite` between its check and its commit. PostgreSQL only. */
export const WRITE_GATE = 4711

/** A write of a key, as the data plane's commands are: the check first. */
export const guardedWrite = defineCommand<
  RegionSchema,
  {
    readonly guard: WriteGuard | null
    readonly nowMs: number
    readonly projectId: string
    readonly path: string
  },
  { readonly ok: true } | RevokedOutcome
>('test.guarded_write', async (tx, { guard, nowMs, projectId, path }) => {
  await assertKeyStillValid(tx, guard, nowMs)
  if (dialectOf(tx) === 'postgres') await sql`select pg_advisory_xact_lock_shared(${WRITE_GATE})`.execute(tx)
  await tx.insertInto('repository').values({ project_id: projectId, path, created_at: nowMs }).execute()
  return { ok: true }
})

/** Puts the control database back to where it was before a key was made, as restoring a backup does. */
export const forgetKey = defineCommand<ControlSchema, { readonly keyId: string }, null>(
  'test.forget_key',
  async (tx, { keyId }) => {
    const query = tx.selectFrom('access_change').select('seq').where('entity_id', '=', keyId).orderBy('seq')
    const { seq } = await query.executeTakeFirstOrThrow()
    await tx.deleteFrom('access_change').where('seq', '>=', seq).execute()
    await tx.deleteFrom('api_key').where('id', '=', keyId).execute()
    await tx
      .updateTable('access_counter')
      .set({ seq: seq - 1 })
      .execute()
    return null
  },
)

const control = new Map(
  [...PRODUCT_COMMANDS.control, ...projectCommands, ...apiKeyCommands, forgetKey].map((command) => [
    command.name,
    command,
  ]),
)

/** For the writer thread of these tests: the product's commands and the one above. */
export const COMMANDS = {
  control: [...control.values()],
  region: [...PRODUCT_COMMANDS.region, guardedWrite],
}

import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

/** The facts about an installation that are kept as texts. */
export type InstallationFact =
  | 'id'
  | 'created_at'
  | 'root_key_canary'
  | 'root_key_id'
  | 'installation_key'
  | 'rekey_started_at'
  | 'operator_token_hmac'
  | 'setup_token_hmac'
  | 'setup_used_at'

/** All facts that are known. */
export async function loadInstallation(
  reader: Kysely<ControlSchema>,
): Promise<ReadonlyMap<InstallationFact, string>> {
  const rows = await reader.selectFrom('installation').selectAll().execute()
  return new Map(rows.map(({ name, value }) => [name as InstallationFact, value]))
}

/**
 * Stores facts that are not there yet and answers with all facts as they are then: of several processes that start
 * at the same time one wins, and all see its values.
 */
export const initializeInstallation = defineCommand<
  ControlSchema,
  { readonly facts: Readonly<Partial<Record<InstallationFact, string>>> },
  Record<string, string>
>('installation.initialize', async (tx, { facts }) => {
  const values = Object.entries(facts).map(([name, value]) => ({ name, value }))
  if (values.length > 0) {
    await tx
      .insertInto('installation')
      .values(values)
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
  }
  const rows = await tx.selectFrom('installation').selectAll().execute()
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
})

/** Replaces one fact, such as the HMAC of an operator token that was set anew. */
export const setInstallationFact = defineCommand<
  ControlSchema,
  { readonly name: InstallationFact; readonly value: string; readonly origin: ChangeOrigin },
  { readonly changed: boolean }
>('installation.set_fact', async (tx, { name, value, origin }) => {
  const before = await tx
    .selectFrom('installation')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirst()
  if (before?.value === value) return { changed: false }
  await tx
    .insertInto('installation')
    .values({ name, value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'installation.update',
    target: name,
    detail: {},
  })
  return { changed: true }
})

export const installationCommands = [initializeInstallation, setInstallationFact]

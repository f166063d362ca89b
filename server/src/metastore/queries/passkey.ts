import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import type { UserPasskeyRow } from '../people-tables.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

/** A person's passkeys, by id. */
export async function listPasskeys(
  reader: Kysely<ControlSchema>,
  userId: string,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<UserPasskeyRow[]> {
  let query = reader.selectFrom('user_passkey').selectAll().where('user_id', '=', userId)
  if (after !== null) query = query.where('id', '>', after)
  return query.orderBy('id').limit(limit).execute()
}

/** Removes a person's passkey. Null: they have none with this id. */
export const deletePasskey = defineCommand<
  ControlSchema,
  { readonly userId: string; readonly id: string; readonly origin: ChangeOrigin },
  UserPasskeyRow | null
>('passkey.delete', async (tx, { userId, id, origin }) => {
  const row = await tx
    .deleteFrom('user_passkey')
    .where('id', '=', id)
    .where('user_id', '=', userId)
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) return null
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'passkey.delete',
    target: id,
    detail: { person: userId, name: row.name },
  })
  return row
})

export const passkeyCommands = [deletePasskey]

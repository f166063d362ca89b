import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { publishAccessChange } from './access-feed.ts'
import { registrySecretContext } from './registry.ts'
import { webhookSecretContext } from './webhook.ts'

/*
 * Where sealed secrets are. A re-keying walks this list, so a column that holds one and is not listed here would
 * become unreadable: a project's old key is deleted when nothing in the list needs it.
 */

/** A stored secret and what it is sealed for. */
export interface SealedRecord {
  readonly id: string
  readonly context: {
    readonly projectId: string
    readonly record: string
    readonly field: string
    readonly host: string
  }
  readonly sealed: string
}

/** One column of one table. */
export interface SealedColumn {
  readonly name: string
  /** Secrets of a project that are sealed with another version of its key than this one. */
  listOthers(
    reader: Kysely<ControlSchema>,
    projectId: string,
    keyVersion: number,
    limit: number,
  ): Promise<SealedRecord[]>
  isUsed(tx: Kysely<ControlSchema>, projectId: string, keyVersion: number): Promise<boolean>
  /** Puts `after` where `before` is. `seq`: an access change to wait for. */
  replace(
    tx: Kysely<ControlSchema>,
    change: {
      readonly id: string
      readonly before: string
      readonly after: string
      readonly nowMs: number
    },
  ): Promise<{ readonly replaced: boolean; readonly seq: number | null }>
}

/** A pattern for `like` that finds what is sealed with this version of a project's key. */
export function sealedWith(keyVersion: number): string {
  return `s1.${keyVersion}.%`
}

const registryPassword: SealedColumn = {
  name: 'registry.sealed_password',
  async listOthers(reader, projectId, keyVersion, limit) {
    const rows = await reader
      .selectFrom('registry')
      .selectAll()
      .where('project_id', '=', projectId)
      .where('sealed_password', 'is not', null)
      .where('sealed_password', 'not like', sealedWith(keyVersion))
      .orderBy('id')
      .limit(limit)
      .execute()
    return rows.map((row) => ({
      id: row.id,
      context: registrySecretContext(row),
      sealed: row.sealed_password ?? '',
    }))
  },
  async isUsed(tx, projectId, keyVersion) {
    const row = await tx
      .selectFrom('registry')
      .select('id')
      .where('project_id', '=', projectId)
      .where('sealed_password', 'like', sealedWith(keyVersion))
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
  },
  async replace(tx, { id, before, after, nowMs }) {
    const row = await tx
      .updateTable('registry')
      .set({ sealed_password: after })
      .where('id', '=', id)
      .where('sealed_password', '=', before)
      .returning('provider')
      .executeTakeFirst()
    if (row === undefined) return { replaced: false, seq: null }
    const seq = row.provider === 'managed' ? null : await publishAccessChange(tx, 'registry', id, nowMs)
    return { replaced: true, seq }
  },
}

const webhookSecret: SealedColumn = {
  name: 'webhook_secret.sealed',
  async listOthers(reader, projectId, keyVersion, limit) {
    const rows = await reader
      .selectFrom('webhook_secret')
      .selectAll()
      .where('project_id', '=', projectId)
      .where('sealed', 'not like', sealedWith(keyVersion))
      .orderBy('id')
      .limit(limit)
      .execute()
    return rows.map((row) => ({ id: row.id, context: webhookSecretContext(row), sealed: row.sealed }))
  },
  async isUsed(tx, projectId, keyVersion) {
    const row = await tx
      .selectFrom('webhook_secret')
      .select('id')
      .where('project_id', '=', projectId)
      .where('sealed', 'like', sealedWith(keyVersion))
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
  },
  async replace(tx, { id, before, after }) {
    const { numUpdatedRows } = await tx
      .updateTable('webhook_secret')
      .set({ sealed: after })
      .where('id', '=', id)
      .where('sealed', '=', before)
      .executeTakeFirst()
    return { replaced: numUpdatedRows === 1n, seq: null }
  },
}

/** Every column that holds secrets of projects. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [registryPassword, webhookSecret]

import type { Kysely } from 'kysely'
import type { ApiKeyRow, ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { publishAccessChange } from './access-feed.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'

/** An API key of a project, revoked or not. Null: the project has none with this id. */
export async function loadApiKey(
  reader: Kysely<ControlSchema>,
  projectId: string,
  id: string,
): Promise<ApiKeyRow | null> {
  const row = await reader
    .selectFrom('api_key')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .executeTakeFirst()
  return row ?? null
}

export interface ApiKeyPageRequest {
  /** Leaves out revoked and expired keys. */
  readonly activeAt: number | null
  readonly after: { readonly createdAt: number; readonly id: string } | null
  readonly limit: number
}

/** API keys of a project, newest first. */
export async function listApiKeys(
  reader: Kysely<ControlSchema>,
  projectId: string,
  { activeAt, after, limit }: ApiKeyPageRequest,
): Promise<ApiKeyRow[]> {
  let query = reader.selectFrom('api_key').selectAll().where('project_id', '=', projectId)
  if (activeAt !== null) {
    query = query
      .where('revoked_at', 'is', null)
      .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', activeAt)]))
  }
  if (after !== null) {
    query = query.where((where) =>
      where.or([
        where('created_at', '<', after.createdAt),
        where.and([where('created_at', '=', after.createdAt), where('id', '<', after.id)]),
      ]),
    )
  }
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
}

/** The secret itself never gets here: only its HMAC. */
export interface NewApiKey {
  readonly id: string
  readonly projectId: string
  readonly name: string
  readonly pepperVersion: number
  readonly secretHmac: Uint8Array
  readonly actions: readonly string[]
  readonly repositories: readonly string[]
  readonly regions: readonly string[]
  readonly cidrs: readonly string[]
  readonly expiresAt: number | null
}

/** `seq`: the access change to wait for. */
export type ApiKeyCreation =
  | { readonly ok: true; readonly seq: number; readonly key: ApiKeyRow }
  | { readonly ok: false; readonly reason: 'project_not_found' }

/** Creates an API key. */
export const createApiKey = defineCommand<
  ControlSchema,
  { readonly key: NewApiKey; readonly origin: ChangeOrigin },
  ApiKeyCreation
>('api_key.create', async (tx, { key, origin }) => {
  if (!(await projectIsLive(tx, key.projectId))) return { ok: false, reason: 'project_not_found' }
  const row = await tx
    .insertInto('api_key')
    .values({
      id: key.id,
      project_id: key.projectId,
      name: key.name,
      pepper_version: key.pepperVersion,
      secret_version: 1,
      secret_hmac: key.secretHmac,
      previous_hmac: null,
      previous_expires_at: null,
      actions: JSON.stringify(key.actions),
      repositories: JSON.stringify(key.repositories),
      regions: JSON.stringify(key.regions),
      cidrs: JSON.stringify(key.cidrs),
      created_at: origin.nowMs,
      created_by: origin.actor,
      expires_at: key.expiresAt,
      revoked_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  const { name, actions, repositories, regions, cidrs, expiresAt } = key
  await insertControlAuditEvent(tx, origin, {
    projectId: key.projectId,
    action: 'api_key.create',
    target: key.id,
    detail: { name, actions, repositories, regions, cidrs, expiresAt },
  })
  return { ok: true, seq: await publishAccessChange(tx, 'key', key.id, origin.nowMs), key: row }
})

async function projectIsLive(tx: Kysely<ControlSchema>, projectId: string): Promise<boolean> {
  const row = await tx
    .selectFrom('project')
    .select('id')
    .where('id', '=', projectId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row !== undefined
}

export interface ApiKeyTarget {
  readonly projectId: string
  readonly id: string
  readonly origin: ChangeOrigin
}

export type ApiKeyChange =
  | { readonly ok: true; readonly seq: number; readonly key: ApiKeyRow }
  | { readonly ok: false; readonly reason: 'not_found' | 'inactive' }

/**
 * Revokes an API key. A key that is revoked already keeps its time, but the change is published again, so that
 * whoever repeats a call that broke off still waits until the revocation is true everywhere.
 */
export const revokeApiKey = defineCommand<ControlSchema, ApiKeyTarget, ApiKeyChange>(
  'api_key.revoke',
  async (tx, { projectId, id, origin }) => {
    const before = await loadApiKey(tx, projectId, id)
    if (before === null) return { ok: false, reason: 'not_found' }
    if (before.revoked_at === null) {
      await tx
        .updateTable('api_key')
        .set({ revoked_at: origin.nowMs, previous_hmac: null, previous_expires_at: null })
        .where('id', '=', id)
        .where('revoked_at', 'is', null)
        .execute()
      await insertControlAuditEvent(tx, origin, {
        projectId,
        action: 'api_key.revoke',
        target: id,
        detail: { name: before.name },
      })
    }
    return published(tx, { projectId, id, origin })
  },
)

/**
 * Gives a key a new secret. The one before works until `overlapUntil` (null: ends now); one before that ends now.
 * Answers `inactive` for a revoked or expired key.
 */
export const rotateApiKey = defineCommand<
  ControlSchema,
  ApiKeyTarget & {
    readonly secretHmac: Uint8Array
    readonly pepperVersion: number
    readonly overlapUntil: number | null
  },
  ApiKeyChange
>('api_key.rotate', async (tx, { projectId, id, origin, secretHmac, pepperVersion, overlapUntil }) => {
  const rotated = await tx
    .updateTable('api_key')
    .set((expression) => ({
      secret_version: expression('secret_version', '+', 1),
      previous_hmac: overlapUntil === null ? null : expression.ref('secret_hmac'),
      previous_expires_at: overlapUntil,
      secret_hmac: secretHmac,
      pepper_version: pepperVersion,
    }))
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', origin.nowMs)]))
    .returning(['name', 'secret_version'])
    .executeTakeFirst()
  if (rotated === undefined) {
    const exists = (await loadApiKey(tx, projectId, id)) !== null
    return { ok: false, reason: exists ? 'inactive' : 'not_found' }
  }
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'api_key.rotate',
    target: id,
    detail: { name: rotated.name, version: rotated.secret_version, overlapUntil },
  })
  return published(tx, { projectId, id, origin })
})

/** Ends the overlap of a rotation. Without one it changes nothing but publishes, as a repeated revocation does. */
export const endApiKeyOverlap = defineCommand<ControlSchema, ApiKeyTarget, ApiKeyChange>(
  'api_key.end_overlap',
  async (tx, { projectId, id, origin }) => {
    const before = await loadApiKey(tx, projectId, id)
    if (before === null) return { ok: false, reason: 'not_found' }
    if (before.previous_hmac !== null) {
      await tx
        .updateTable('api_key')
        .set({ previous_hmac: null, previous_expires_at: null })
        .where('id', '=', id)
        .execute()
      await insertControlAuditEvent(tx, origin, {
        projectId,
        action: 'api_key.end_overlap',
        target: id,
        detail: { name: before.name },
      })
    }
    return published(tx, { projectId, id, origin })
  },
)

async function published(tx: Kysely<ControlSchema>, target: ApiKeyTarget): Promise<ApiKeyChange> {
  const seq = await publishAccessChange(tx, 'key', target.id, target.origin.nowMs)
  const key = await loadApiKey(tx, target.projectId, target.id)
  return key === null ? { ok: false, reason: 'not_found' } : { ok: true, seq, key }
}

export const apiKeyCommands = [createApiKey, revokeApiKey, rotateApiKey, endApiKeyOverlap]

import { keyActionsOf } from '@berth/api/access'
import type { Kysely } from 'kysely'
import type { ApiKeyRow, ControlSchema } from '../control-schema.ts'
import { defineCommand, defineErasingCommand } from '../database.ts'
import { dialectOf, lockForShare } from '../dialect.ts'
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
  /** Only keys of this member's own; null: all. */
  readonly ofUser: string | null
  readonly after: { readonly createdAt: number; readonly id: string } | null
  readonly limit: number
}

/** API keys of a project, newest first. */
export async function listApiKeys(
  reader: Kysely<ControlSchema>,
  projectId: string,
  { activeAt, ofUser, after, limit }: ApiKeyPageRequest,
): Promise<ApiKeyRow[]> {
  let query = reader.selectFrom('api_key').selectAll().where('project_id', '=', projectId)
  if (ofUser !== null) query = query.where('user_id', '=', ofUser)
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
  /** The member whose own key it is; null: the project's. */
  readonly userId?: string | null
  readonly name: string
  readonly pepperVersion: number
  readonly secretHmac: Uint8Array
  readonly actions: readonly string[]
  readonly repositories: readonly string[]
  readonly regions: readonly string[]
  readonly cidrs: readonly string[]
  readonly expiresAt: number | null
  /** The managed registry whose credential it is. */
  readonly registryId?: string
}

/** `seq`: the access change to wait for. */
export type ApiKeyCreation =
  | { readonly ok: true; readonly seq: number; readonly key: ApiKeyRow }
  | { readonly ok: false; readonly reason: 'project_not_found' | 'not_allowed' }

/**
 * Creates an API key. A member's own key needs the membership to stand, with a role that allows what the key may do:
 * `not_allowed` when it was taken away meanwhile.
 */
export const createApiKey = defineCommand<
  ControlSchema,
  { readonly key: NewApiKey; readonly origin: ChangeOrigin },
  ApiKeyCreation
>('api_key.create', (tx, { key, origin }) => insertApiKey(tx, key, origin))

/** Creates an API key inside a transaction of something else. */
export async function insertApiKey(
  tx: Kysely<ControlSchema>,
  key: NewApiKey,
  origin: ChangeOrigin,
): Promise<ApiKeyCreation> {
  if (!(await projectIsLive(tx, key.projectId))) return { ok: false, reason: 'project_not_found' }
  if (!(await memberMayHave(tx, key))) return { ok: false, reason: 'not_allowed' }
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
      user_id: key.userId ?? null,
      registry_id: key.registryId ?? null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  const { name, actions, repositories, regions, cidrs, expiresAt, userId = null } = key
  await insertControlAuditEvent(tx, origin, {
    projectId: key.projectId,
    action: 'api_key.create',
    target: key.id,
    detail: { name, actions, repositories, regions, cidrs, expiresAt, userId },
  })
  return { ok: true, seq: await publishAccessChange(tx, 'key', key.id, origin.nowMs), key: row }
}

/** Holds the project until the transaction ends: its deletion and changes of its members wait, or have come before. */
async function projectIsLive(tx: Kysely<ControlSchema>, projectId: string): Promise<boolean> {
  const query = tx
    .selectFrom('project')
    .select('id')
    .where('id', '=', projectId)
    .where('deleted_at', 'is', null)
  return (await lockForShare(query, dialectOf(tx)).executeTakeFirst()) !== undefined
}

async function memberMayHave(tx: Kysely<ControlSchema>, key: NewApiKey): Promise<boolean> {
  if (key.userId === undefined || key.userId === null) return true
  const person = tx
    .selectFrom('user_account')
    .select('id')
    .where('id', '=', key.userId)
    .where('disabled_at', 'is', null)
  // Held until the transaction ends: who disables the account waits, and then ends this key, too.
  if ((await lockForShare(person, dialectOf(tx)).executeTakeFirst()) === undefined) return false
  const member = await tx
    .selectFrom('project_member')
    .select('role')
    .where('project_id', '=', key.projectId)
    .where('user_id', '=', key.userId)
    .executeTakeFirst()
  return member !== undefined && isWithin(key.actions, keyActionsOf(member.role))
}

function isWithin(actions: readonly string[], allowed: readonly string[]): boolean {
  return actions.every((action) => allowed.includes(action))
}

export interface ApiKeyTarget {
  readonly projectId: string
  readonly id: string
  readonly origin: ChangeOrigin
}

export type ApiKeyChange =
  | { readonly ok: true; readonly seq: number; readonly key: ApiKeyRow }
  | { readonly ok: false; readonly reason: 'not_found' | 'inactive' | 'belongs_to_registry' }

/**
 * Revokes an API key, and with it what a managed registry stores of it. A key that is revoked already keeps its time,
 * but the change is published again, so that whoever repeats a call that broke off still waits until the revocation is
 * true everywhere.
 */
export const revokeApiKey = defineErasingCommand<ControlSchema, ApiKeyTarget, ApiKeyChange>(
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
      if (before.registry_id !== null) await dropStoredCredential(tx, before.registry_id, id)
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

async function dropStoredCredential(
  tx: Kysely<ControlSchema>,
  registryId: string,
  keyId: string,
): Promise<void> {
  await tx
    .updateTable('registry')
    .set({ sealed_password: null, password_set_at: null, rotation_due_at: null })
    .where('id', '=', registryId)
    .where('api_key_id', '=', keyId)
    .execute()
}

export type ApiKeyRotation = ApiKeyTarget & {
  readonly secretHmac: Uint8Array
  readonly pepperVersion: number
  readonly overlapUntil: number | null
}

/**
 * Gives a key a new secret. The one before works until `overlapUntil` (null: ends now); one before that ends now.
 * Answers `inactive` for a revoked or expired key, `belongs_to_registry` for a registry's credential.
 */
export const rotateApiKey = defineCommand<ControlSchema, ApiKeyRotation, ApiKeyChange>(
  'api_key.rotate',
  async (tx, rotation) => {
    const { projectId, id } = rotation
    const known = await loadApiKey(tx, projectId, id)
    // What the registry stores would be a secret that does not work any more.
    if (known !== null && known.registry_id !== null) return { ok: false, reason: 'belongs_to_registry' }
    return replaceKeySecret(tx, rotation)
  },
)

/** The same inside a transaction of something else, for any key. */
export async function replaceKeySecret(
  tx: Kysely<ControlSchema>,
  { projectId, id, origin, secretHmac, pepperVersion, overlapUntil }: ApiKeyRotation,
): Promise<ApiKeyChange> {
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
}

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

/**
 * Ends the keys of a member's own that can do more than `keyActions`. Part of the transaction that changes the
 * membership, or disables the account. `seq`: the access change to wait for, also for keys that ended like this before; null when there is none.
 */
export async function revokeKeysOfMember(
  tx: Kysely<ControlSchema>,
  {
    projectId,
    userId,
    keyActions,
    origin,
    because = 'membership',
  }: {
    readonly projectId: string
    readonly userId: string
    readonly keyActions: readonly string[]
    readonly origin: ChangeOrigin
    /** For the audit log. */
    readonly because?: 'membership' | 'disabled'
  },
): Promise<{ readonly revokedKeys: readonly string[]; readonly seq: number | null }> {
  const keys = await tx
    .selectFrom('api_key')
    .select(['id', 'name', 'actions', 'revoked_at'])
    .where('project_id', '=', projectId)
    .where('user_id', '=', userId)
    .orderBy('id')
    .execute()
  const ended = keys.filter((key) => !isWithin(JSON.parse(key.actions) as string[], keyActions))
  const revokedKeys: string[] = []
  let seq: number | null = null
  for (const key of ended) {
    if (key.revoked_at !== null) continue
    await tx
      .updateTable('api_key')
      .set({ revoked_at: origin.nowMs, previous_hmac: null, previous_expires_at: null })
      .where('id', '=', key.id)
      .execute()
    await insertControlAuditEvent(tx, origin, {
      projectId,
      action: 'api_key.revoke',
      target: key.id,
      detail: { name: key.name, because },
    })
    seq = await publishAccessChange(tx, 'key', key.id, origin.nowMs)
    revokedKeys.push(key.id)
  }
  const [first] = ended
  if (seq === null && first !== undefined) {
    seq = await publishAccessChange(tx, 'key', first.id, origin.nowMs)
  }
  return { revokedKeys, seq }
}

async function published(tx: Kysely<ControlSchema>, target: ApiKeyTarget): Promise<ApiKeyChange> {
  const seq = await publishAccessChange(tx, 'key', target.id, target.origin.nowMs)
  const key = await loadApiKey(tx, target.projectId, target.id)
  return key === null ? { ok: false, reason: 'not_found' } : { ok: true, seq, key }
}

export const apiKeyCommands = [createApiKey, revokeApiKey, rotateApiKey, endApiKeyOverlap]

import type { Kysely } from 'kysely'
import type { ApiKeyRow, ControlSchema, RegistryRow } from '../control-schema.ts'
import { defineCommand, defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import { insertApiKey, type NewApiKey, replaceKeySecret } from './api-key.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { projectKeyIsThere } from './project-key.ts'

/*
 * Credentials of managed registries: an API key of the project and the region, and its text, sealed, on the registry.
 */

const DAY_MS = 86_400_000

/** `seq`: the access change to wait for. `key_replaced`: seal the text again and repeat. */
export type CredentialChange =
  | { readonly ok: true; readonly seq: number; readonly registry: RegistryRow; readonly key: ApiKeyRow }
  | {
      readonly ok: false
      readonly reason: 'not_found' | 'exists' | 'no_credential' | 'not_due' | 'key_replaced'
    }

interface RegistryTarget {
  readonly projectId: string
  readonly registryId: string
  readonly origin: ChangeOrigin
}

/** Makes the credential of a managed registry. `exists`: it has one. */
export const generateCredential = defineErasingCommand<
  ControlSchema,
  RegistryTarget & { readonly key: NewApiKey; readonly username: string; readonly sealed: string },
  CredentialChange
>('registry_credential.generate', async (tx, { projectId, registryId, key, username, sealed, origin }) => {
  const registry = await lockManaged(tx, projectId, registryId)
  if (registry === null) return { ok: false, reason: 'not_found' }
  if (registry.sealed_password !== null) return { ok: false, reason: 'exists' }
  if (!(await projectKeyIsThere(tx, projectId, sealed))) return { ok: false, reason: 'key_replaced' }
  const created = await insertApiKey(tx, { ...key, registryId }, origin)
  if (!created.ok) return { ok: false, reason: 'not_found' }
  const stored = await storeCredential(tx, registry, {
    username,
    sealed,
    apiKeyId: created.key.id,
    nowMs: origin.nowMs,
  })
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'registry_credential.generate',
    target: registryId,
    detail: { keyId: created.key.id },
  })
  return { ok: true, seq: created.seq, registry: stored, key: created.key }
})

async function lockManaged(
  tx: Kysely<ControlSchema>,
  projectId: string,
  id: string,
): Promise<RegistryRow | null> {
  const query = tx
    .selectFrom('registry')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .where('provider', '=', 'managed')
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) ?? null
}

async function storeCredential(
  tx: Kysely<ControlSchema>,
  registry: RegistryRow,
  stored: {
    readonly username: string
    readonly sealed: string
    readonly apiKeyId: string
    readonly nowMs: number
  },
): Promise<RegistryRow> {
  return tx
    .updateTable('registry')
    .set({
      username: stored.username,
      sealed_password: stored.sealed,
      api_key_id: stored.apiKeyId,
      password_set_at: stored.nowMs,
      rotation_due_at: dueAt(registry.rotation_every_days, stored.nowMs),
      updated_at: stored.nowMs,
    })
    .where('id', '=', registry.id)
    .returningAll()
    .executeTakeFirstOrThrow()
}

function dueAt(everyDays: number | null, fromMs: number): number | null {
  return everyDays === null ? null : fromMs + everyDays * DAY_MS
}

/**
 * Gives the credential of a managed registry a new secret; the one before works for `overlapSeconds`. With `dueAt`
 * only if that is still when it is due, so that of several processes one does it: `not_due` for the others.
 */
export const rotateCredential = defineErasingCommand<
  ControlSchema,
  RegistryTarget & {
    readonly keyId: string
    readonly secretHmac: Uint8Array
    readonly pepperVersion: number
    readonly sealed: string
    readonly overlapSeconds: number
    readonly dueAt: number | null
  },
  CredentialChange
>('registry_credential.rotate', async (tx, rotation) => {
  const { projectId, registryId, keyId, sealed, overlapSeconds, origin } = rotation
  const registry = await lockManaged(tx, projectId, registryId)
  if (registry === null) return { ok: false, reason: 'not_found' }
  if (registry.sealed_password === null || registry.username === null || registry.api_key_id !== keyId) {
    return { ok: false, reason: 'no_credential' }
  }
  if (rotation.dueAt !== null && registry.rotation_due_at !== rotation.dueAt) {
    return { ok: false, reason: 'not_due' }
  }
  if (!(await projectKeyIsThere(tx, projectId, sealed))) return { ok: false, reason: 'key_replaced' }
  const rotated = await replaceKeySecret(tx, {
    projectId,
    id: keyId,
    origin,
    secretHmac: rotation.secretHmac,
    pepperVersion: rotation.pepperVersion,
    overlapUntil: overlapSeconds === 0 ? null : origin.nowMs + overlapSeconds * 1000,
  })
  if (!rotated.ok) return { ok: false, reason: 'no_credential' }
  const { username } = registry
  const stored = await storeCredential(tx, registry, {
    username,
    sealed,
    apiKeyId: keyId,
    nowMs: origin.nowMs,
  })
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'registry_credential.rotate',
    target: registryId,
    detail: {
      keyId,
      version: rotated.key.secret_version,
      overlapSeconds,
      scheduled: rotation.dueAt !== null,
    },
  })
  return { ok: true, seq: rotated.seq, registry: stored, key: rotated.key }
})

/**
 * Writes down that somebody is about to be shown a credential, and answers what is stored of it. The event is there
 * before the secret leaves the database. Null: there is none.
 */
export const showCredential = defineCommand<
  ControlSchema,
  RegistryTarget,
  { readonly registry: RegistryRow; readonly key: ApiKeyRow } | null
>('registry_credential.show', async (tx, { projectId, registryId, origin }) => {
  const registry = await lockManaged(tx, projectId, registryId)
  if (registry === null || registry.sealed_password === null || registry.api_key_id === null) return null
  const key = await tx
    .selectFrom('api_key')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', registry.api_key_id)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  if (key === undefined) return null
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'registry_credential.shown',
    target: registryId,
    detail: { keyId: key.id, version: key.secret_version },
  })
  return { registry, key }
})

/** A schedule on which a credential is rotated. */
export interface RotationSchedule {
  readonly everyDays: number
  readonly overlapSeconds: number
}

/** Sets or ends the schedule of a managed registry; it counts from the last rotation. Null: no such registry. */
export const scheduleRotation = defineCommand<
  ControlSchema,
  RegistryTarget & { readonly rotation: RotationSchedule | null },
  RegistryRow | null
>('registry.schedule_rotation', async (tx, { projectId, registryId, rotation, origin }) => {
  const before = await lockManaged(tx, projectId, registryId)
  if (before === null) return null
  const everyDays = rotation?.everyDays ?? null
  const registry = await tx
    .updateTable('registry')
    .set({
      rotation_every_days: everyDays,
      rotation_overlap_seconds: rotation?.overlapSeconds ?? null,
      rotation_due_at: before.password_set_at === null ? null : dueAt(everyDays, before.password_set_at),
      updated_at: origin.nowMs,
    })
    .where('id', '=', registryId)
    .returningAll()
    .executeTakeFirstOrThrow()
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'registry.update',
    target: registryId,
    detail: { rotation },
  })
  return registry
})

/** Managed registries whose rotation is due, those that wait longest first. */
export async function listDueRotations(
  reader: Kysely<ControlSchema>,
  nowMs: number,
  limit: number,
): Promise<RegistryRow[]> {
  return reader
    .selectFrom('registry')
    .selectAll()
    .where('rotation_due_at', '<=', nowMs)
    .where('sealed_password', 'is not', null)
    .orderBy('rotation_due_at')
    .orderBy('id')
    .limit(limit)
    .execute()
}

export const registryCredentialCommands = [
  generateCredential,
  rotateCredential,
  showCredential,
  scheduleRotation,
]

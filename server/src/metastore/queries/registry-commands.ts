import type { Kysely } from 'kysely'
import type { ControlSchema, RegistryRow } from '../control-schema.ts'
import { defineCommand, defineErasingCommand } from '../database.ts'
import { dialectOf, lockForUpdate } from '../dialect.ts'
import { publishAccessChange } from './access-feed.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { projectKeyIsThere } from './project-key.ts'

/*
 * Third-party registries. Those of managed ones are in `registry-credential.ts`.
 */

/** A login of a third-party registry, its password sealed. */
export interface StoredLogin {
  readonly username: string
  readonly sealed: string
}

export interface NewRegistry {
  readonly id: string
  readonly projectId: string
  readonly provider: 'docker_hub' | 'ghcr' | 'custom'
  readonly name: string
  readonly slug: string
  readonly host: string
  readonly exchange: 'ecr' | null
  readonly login: StoredLogin | null
}

/** `seq`: the access change to wait for. `key_replaced`: seal the password again and repeat. */
export type RegistryChange =
  | { readonly ok: true; readonly seq: number; readonly registry: RegistryRow }
  | {
      readonly ok: false
      readonly reason:
        | 'project_not_found'
        | 'not_found'
        | 'slug_taken'
        | 'key_replaced'
        | 'too_many'
        | 'changed'
    }

/** Connects a third-party registry to a project. At most `maxRegistries` of them. */
export const createRegistry = defineCommand<
  ControlSchema,
  { readonly registry: NewRegistry; readonly maxRegistries: number; readonly origin: ChangeOrigin },
  RegistryChange
>('registry.create', async (tx, { registry, maxRegistries, origin }) => {
  const { id, projectId, provider, name, slug, host, exchange, login } = registry
  if (!(await lockLiveProject(tx, projectId))) return { ok: false, reason: 'project_not_found' }
  if (login !== null && !(await projectKeyIsThere(tx, projectId, login.sealed))) {
    return { ok: false, reason: 'key_replaced' }
  }
  if ((await countThirdParty(tx, projectId)) >= maxRegistries) return { ok: false, reason: 'too_many' }
  if (await slugIsTaken(tx, projectId, slug, id)) return { ok: false, reason: 'slug_taken' }
  await tx
    .insertInto('registry')
    .values({
      id,
      project_id: projectId,
      provider,
      region_id: null,
      name,
      slug,
      host,
      exchange,
      username: login?.username ?? null,
      sealed_password: login?.sealed ?? null,
      password_set_at: login === null ? null : origin.nowMs,
      created_at: origin.nowMs,
      updated_at: origin.nowMs,
    })
    .execute()
  const detail = {
    provider,
    name,
    slug,
    host,
    username: login?.username ?? null,
    hasPassword: login !== null,
  }
  await insertControlAuditEvent(tx, origin, { projectId, action: 'registry.create', target: slug, detail })
  return changed(tx, id, origin.nowMs)
})

/** The project is held until the transaction ends, so that two names or limits are not taken at once. */
async function lockLiveProject(tx: Kysely<ControlSchema>, projectId: string): Promise<boolean> {
  const query = tx
    .selectFrom('project')
    .select('id')
    .where('id', '=', projectId)
    .where('deleted_at', 'is', null)
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) !== undefined
}

async function countThirdParty(tx: Kysely<ControlSchema>, projectId: string): Promise<number> {
  const { count } = await tx
    .selectFrom('registry')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('project_id', '=', projectId)
    .where('provider', '!=', 'managed')
    .executeTakeFirstOrThrow()
  return Number(count)
}

async function slugIsTaken(
  tx: Kysely<ControlSchema>,
  projectId: string,
  slug: string,
  exceptId: string,
): Promise<boolean> {
  const row = await tx
    .selectFrom('registry')
    .select('id')
    .where('project_id', '=', projectId)
    .where('slug', '=', slug)
    .where('id', '!=', exceptId)
    .executeTakeFirst()
  return row !== undefined
}

/** Fields that are left out stay; `login: null` drops the stored one. */
export interface RegistryUpdate {
  readonly name?: string
  readonly slug?: string
  readonly host?: string
  readonly exchange?: 'ecr' | null
  readonly login?: StoredLogin | null
}

/**
 * Changes a third-party registry. A new host takes the stored login away unless one comes with it, whatever the caller
 * thinks is stored. `changed`: the host is not `expectedHost` any more, for which the login was sealed.
 */
export const updateRegistry = defineErasingCommand<
  ControlSchema,
  {
    readonly projectId: string
    readonly id: string
    readonly expectedHost: string
    readonly change: RegistryUpdate
    readonly origin: ChangeOrigin
  },
  RegistryChange
>('registry.update', async (tx, { projectId, id, expectedHost, change, origin }) => {
  if (!(await lockLiveProject(tx, projectId))) return { ok: false, reason: 'project_not_found' }
  const before = await lockThirdParty(tx, projectId, id)
  if (before === null) return { ok: false, reason: 'not_found' }
  if (before.host !== expectedHost) return { ok: false, reason: 'changed' }
  const hostChanges = change.host !== undefined && change.host !== before.host
  const login = change.login === undefined && hostChanges ? null : change.login
  if (login !== undefined && login !== null && !(await projectKeyIsThere(tx, projectId, login.sealed))) {
    return { ok: false, reason: 'key_replaced' }
  }
  if (change.slug !== undefined && (await slugIsTaken(tx, projectId, change.slug, id))) {
    return { ok: false, reason: 'slug_taken' }
  }
  const { name, slug, host, exchange } = change
  await tx
    .updateTable('registry')
    .set({
      ...(name === undefined ? {} : { name }),
      ...(slug === undefined ? {} : { slug }),
      ...(host === undefined ? {} : { host }),
      ...(exchange === undefined ? {} : { exchange }),
      ...(login === undefined ? {} : loginColumns(login, origin.nowMs)),
      updated_at: origin.nowMs,
    })
    .where('id', '=', id)
    .execute()
  const detail = {
    ...(name === undefined ? {} : { name }),
    ...(slug === undefined ? {} : { slug, slugBefore: before.slug }),
    ...(host === undefined ? {} : { host, hostBefore: before.host }),
    ...(login === undefined ? {} : { username: login?.username ?? null, hasPassword: login !== null }),
  }
  const target = slug ?? before.slug ?? id
  await insertControlAuditEvent(tx, origin, { projectId, action: 'registry.update', target, detail })
  return changed(tx, id, origin.nowMs)
})

function loginColumns(login: StoredLogin | null, nowMs: number) {
  return login === null
    ? { username: null, sealed_password: null, password_set_at: null }
    : { username: login.username, sealed_password: login.sealed, password_set_at: nowMs }
}

async function lockThirdParty(
  tx: Kysely<ControlSchema>,
  projectId: string,
  id: string,
): Promise<RegistryRow | null> {
  const query = tx
    .selectFrom('registry')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', id)
    .where('provider', '!=', 'managed')
  return (await lockForUpdate(query, dialectOf(tx)).executeTakeFirst()) ?? null
}

/** Takes a third-party registry away, with its stored login. `registry` is the row as it was. */
export const deleteRegistry = defineErasingCommand<
  ControlSchema,
  { readonly projectId: string; readonly id: string; readonly origin: ChangeOrigin },
  RegistryChange
>('registry.delete', async (tx, { projectId, id, origin }) => {
  const before = await lockThirdParty(tx, projectId, id)
  if (before === null) return { ok: false, reason: 'not_found' }
  await tx.deleteFrom('registry').where('id', '=', id).execute()
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'registry.delete',
    target: before.slug ?? id,
    detail: { id, provider: before.provider, name: before.name, host: before.host },
  })
  const seq = await publishAccessChange(tx, 'registry', id, origin.nowMs)
  return { ok: true, seq, registry: before }
})

async function changed(tx: Kysely<ControlSchema>, id: string, nowMs: number): Promise<RegistryChange> {
  const seq = await publishAccessChange(tx, 'registry', id, nowMs)
  const registry = await tx.selectFrom('registry').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  return { ok: true, seq, registry }
}

/** Notes that a connection was tested, and how it went; changes nothing else. */
export const recordRegistryTest = defineCommand<
  ControlSchema,
  {
    readonly projectId: string
    readonly slug: string
    readonly reason: string | null
    readonly origin: ChangeOrigin
  },
  null
>('registry.record_test', async (tx, { projectId, slug, reason, origin }) => {
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'registry.test',
    target: slug,
    detail: { ok: reason === null, reason },
  })
  return null
})

export const registryCommands = [createRegistry, updateRegistry, deleteRegistry, recordRegistryTest]

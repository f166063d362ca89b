import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import type { AccessRegistryRow, RegionSchema } from '../region-schema.ts'
import { sealedKeyVersion } from './project-key.ts'

/*
 * The region's copy of the registries that projects have connected.
 */

/** The registry, slug and host of a copy. */
export type CacheSource = Pick<AccessRegistryRow, 'id' | 'slug' | 'provider' | 'host'>

/** What `repository.cached_from` holds for copies from this registry: the same only while all of these are. */
export function cacheIdOf({ id, slug, provider, host }: CacheSource): string {
  return [id, slug, provider, host].join(' ')
}

/** Registries of a project, with the slugs below which copies of former ones may be left. */
export async function loadProjectRegistries(
  reader: Kysely<RegionSchema>,
  projectId: string,
): Promise<{ readonly registries: AccessRegistryRow[]; readonly retiredSlugs: string[] }> {
  const registries = await reader
    .selectFrom('access_registry')
    .selectAll()
    .where('project_id', '=', projectId)
    .orderBy('id')
    .execute()
  const retired = await reader
    .selectFrom('retired_slug')
    .select('slug')
    .where('project_id', '=', projectId)
    .execute()
  return { registries, retiredSlugs: retired.map((row) => row.slug) }
}

/**
 * Takes over a registry as it is now. Part of `access.apply`. Where it was another slug's or another host's before,
 * what was cached from there is not its content: it is put aside, to be cleared.
 */
export async function upsertRegistry(tx: Kysely<RegionSchema>, registry: AccessRegistryRow): Promise<void> {
  const { id, ...rules } = registry
  const before = await tx.selectFrom('access_registry').selectAll().where('id', '=', id).executeTakeFirst()
  const isSame =
    before?.slug === rules.slug && before.host === rules.host && before.provider === rules.provider
  if (before !== undefined && !isSame) await retireSlug(tx, before)
  await tx
    .insertInto('access_registry')
    .values(registry)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(rules))
    .execute()
}

/** Forgets a registry, with its secret. */
export async function deleteRegistryCopy(tx: Kysely<RegionSchema>, id: string): Promise<void> {
  const deleted = await tx
    .deleteFrom('access_registry')
    .where('id', '=', id)
    .returning(['project_id', 'slug'])
    .executeTakeFirst()
  if (deleted !== undefined) await retireSlug(tx, deleted)
}

/** Forgets the registries of a deleted project; its content goes as a whole. */
export async function deleteRegistriesOfProject(tx: Kysely<RegionSchema>, projectId: string): Promise<void> {
  await tx.deleteFrom('access_registry').where('project_id', '=', projectId).execute()
  await tx.deleteFrom('retired_slug').where('project_id', '=', projectId).execute()
}

/** Forgets all registries: the feed begins anew and tells of those that there are. */
export async function deleteAllRegistries(tx: Kysely<RegionSchema>): Promise<void> {
  const deleted = await tx.deleteFrom('access_registry').returning(['project_id', 'slug']).execute()
  for (const registry of deleted) await retireSlug(tx, registry)
}

async function retireSlug(
  tx: Kysely<RegionSchema>,
  { project_id, slug }: Pick<AccessRegistryRow, 'project_id' | 'slug'>,
): Promise<void> {
  await tx
    .insertInto('retired_slug')
    .values({ project_id, slug })
    .onConflict((conflict) => conflict.columns(['project_id', 'slug']).doNothing())
    .execute()
}

/**
 * A third-party registry as it is now, for the copy of a region: with the key of its project that its password is
 * sealed with, because a region must be able to open it while the control plane is down. Null: there is none (any more).
 */
export async function loadRegistryForFeed(
  reader: Kysely<ControlSchema>,
  id: string,
): Promise<AccessRegistryRow | null> {
  const row = await reader
    .selectFrom('registry')
    .innerJoin('project', 'project.id', 'registry.project_id')
    .selectAll('registry')
    .where('registry.id', '=', id)
    .where('project.deleted_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined || row.provider === 'managed' || row.slug === null) return null
  const version = row.sealed_password === null ? null : sealedKeyVersion(row.sealed_password)
  const key =
    version === null
      ? undefined
      : await reader
          .selectFrom('project_key')
          .selectAll()
          .where('project_id', '=', row.project_id)
          .where('version', '=', version)
          .executeTakeFirst()
  return {
    id: row.id,
    project_id: row.project_id,
    slug: row.slug,
    name: row.name,
    provider: row.provider,
    host: row.host,
    exchange: row.exchange,
    username: row.username,
    sealed_password: row.sealed_password,
    key_version: key?.version ?? null,
    key_root_id: key?.root_id ?? null,
    wrapped_key: key?.wrapped ?? null,
  }
}

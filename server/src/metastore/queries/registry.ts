import { type Kysely, sql } from 'kysely'
import type { ControlSchema, RegistryRow } from '../control-schema.ts'

/** Display name of the managed registry of a region. */
export function managedRegistryName(regionName: string): string {
  return `Berth Registry (${regionName})`
}

// A managed registry's id is made of its project's and its region's: one of each pair exists, and neither id is ever
// used again. So one statement makes all of them.
const MANAGED_ID = sql<string>`project.id || '-' || region.id`
const MANAGED_NAME = sql<string>`'Berth Registry (' || region.name || ')'`
const COLUMNS = ['id', 'project_id', 'provider', 'region_id', 'name', 'host', 'created_at'] as const

/** Makes the managed registry of a new project in each region. */
export async function insertManagedRegistriesOfProject(
  tx: Kysely<ControlSchema>,
  projectId: string,
  nowMs: number,
): Promise<void> {
  await tx
    .insertInto('registry')
    .columns([...COLUMNS])
    .expression((from) =>
      from
        .selectFrom('region')
        .innerJoin('project', (join) => join.on('project.id', '=', projectId))
        .select(managedColumns(nowMs)),
    )
    .execute()
}

/** Makes the managed registry of a new region in each project that is not deleted. */
export async function insertManagedRegistriesOfRegion(
  tx: Kysely<ControlSchema>,
  regionId: string,
  nowMs: number,
): Promise<void> {
  await tx
    .insertInto('registry')
    .columns([...COLUMNS])
    .expression((from) =>
      from
        .selectFrom('region')
        .innerJoin('project', (join) => join.on('project.deleted_at', 'is', null))
        .where('region.id', '=', regionId)
        .select(managedColumns(nowMs)),
    )
    .execute()
}

function managedColumns(nowMs: number) {
  return [
    MANAGED_ID.as('id'),
    sql<string>`project.id`.as('project_id'),
    sql<'managed'>`'managed'`.as('provider'),
    sql<string>`region.id`.as('region_id'),
    MANAGED_NAME.as('name'),
    sql<string>`region.host`.as('host'),
    sql<number>`cast(${nowMs} as bigint)`.as('created_at'),
  ]
}

/** Registries of a project by id, after the given one. */
export async function listRegistries(
  reader: Kysely<ControlSchema>,
  projectId: string,
  page: { readonly afterId: string | null; readonly limit: number },
): Promise<RegistryRow[]> {
  let query = reader.selectFrom('registry').selectAll().where('project_id', '=', projectId)
  if (page.afterId !== null) query = query.where('id', '>', page.afterId)
  return query.orderBy('id').limit(page.limit).execute()
}

/** A registry of a project. Null: the project has none with this id. */
export async function loadRegistry(
  reader: Kysely<ControlSchema>,
  projectId: string,
  id: string,
): Promise<RegistryRow | null> {
  const query = reader
    .selectFrom('registry')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('id', '=', id)
  return (await query.executeTakeFirst()) ?? null
}

/**
 * A third-party registry that the project disconnected after `since`: its slug, and the access change to wait for. Null:
 * there was none. The audit log knows whose it was, which the feed does not.
 */
export async function loadDeletedRegistry(
  reader: Kysely<ControlSchema>,
  target: { readonly projectId: string; readonly id: string; readonly since: number },
): Promise<{ readonly slug: string; readonly seq: number } | null> {
  const events = await reader
    .selectFrom('audit_event')
    .select(['target', 'detail'])
    .where('project_id', '=', target.projectId)
    .where('at', '>=', target.since)
    .where('action', '=', 'registry.delete')
    .execute()
  const event = events.find(({ detail }) => (JSON.parse(detail) as { id?: string }).id === target.id)
  if (event === undefined) return null
  const change = await reader
    .selectFrom('access_change')
    .select((expression) => expression.fn.max<number>('seq').as('seq'))
    .where('kind', '=', 'registry')
    .where('entity_id', '=', target.id)
    .executeTakeFirst()
  const seq = change?.seq ?? null
  return seq === null ? null : { slug: event.target, seq: Number(seq) }
}

/**
 * What a registry's stored password is sealed for. A third-party login belongs to its host. A managed registry's goes
 * nowhere, and its region's host may be given another name by the configuration, so it belongs to the region.
 */
export function registrySecretContext(
  registry: Pick<RegistryRow, 'id' | 'project_id' | 'provider' | 'region_id' | 'host'>,
): { projectId: string; record: string; field: string; host: string } {
  return {
    projectId: registry.project_id,
    record: `registry/${registry.id}`,
    field: 'password',
    host: registry.provider === 'managed' ? `region:${registry.region_id ?? ''}` : registry.host,
  }
}

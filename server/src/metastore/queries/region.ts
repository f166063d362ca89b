import type { Kysely } from 'kysely'
import type { ControlSchema, RegionRow } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { insertManagedRegistriesOfRegion, managedRegistryName } from './registry.ts'

/** A region as the configuration names it. */
export interface ConfiguredRegion {
  readonly id: string
  readonly name: string
  readonly host: string
}

/** Regions by their position, then id, after the given one. */
export async function listRegions(
  reader: Kysely<ControlSchema>,
  page: { readonly after: { readonly position: number; readonly id: string } | null; readonly limit: number },
): Promise<RegionRow[]> {
  let query = reader.selectFrom('region').selectAll()
  const { after } = page
  if (after !== null) {
    query = query.where((where) =>
      where.or([
        where('position', '>', after.position),
        where.and([where('position', '=', after.position), where('id', '>', after.id)]),
      ]),
    )
  }
  return query.orderBy('position').orderBy('id').limit(page.limit).execute()
}

/** Ids of all regions that ever were, those that the configuration does not name any more included. */
export async function listRegionIds(reader: Kysely<ControlSchema>): Promise<string[]> {
  const rows = await reader.selectFrom('region').select('id').execute()
  return rows.map(({ id }) => id)
}

/**
 * Makes the table follow the configuration: adds regions with a managed registry in every project, and takes over
 * new names, hosts and positions. A region that the configuration does not name any more stays, for its data stays.
 */
export const syncRegions = defineCommand<
  ControlSchema,
  { readonly regions: readonly ConfiguredRegion[]; readonly origin: ChangeOrigin },
  { readonly added: string[]; readonly changed: string[] }
>('region.sync', async (tx, { regions, origin }) => {
  const rows = await tx.selectFrom('region').selectAll().execute()
  const known = new Map(rows.map((row) => [row.id, row]))
  const added: string[] = []
  const changed: string[] = []
  for (const [position, region] of regions.entries()) {
    const before = known.get(region.id)
    if (before === undefined) {
      await addRegion(tx, region, position, origin)
      added.push(region.id)
    } else if (before.name !== region.name || before.host !== region.host || before.position !== position) {
      await updateRegion(tx, region, position, origin)
      changed.push(region.id)
    }
  }
  return { added, changed }
})

async function addRegion(
  tx: Kysely<ControlSchema>,
  { id, name, host }: ConfiguredRegion,
  position: number,
  origin: ChangeOrigin,
): Promise<void> {
  await tx.insertInto('region').values({ id, name, host, position, created_at: origin.nowMs }).execute()
  await insertManagedRegistriesOfRegion(tx, id, origin.nowMs)
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'region.create',
    target: id,
    detail: { name, host },
  })
}

async function updateRegion(
  tx: Kysely<ControlSchema>,
  { id, name, host }: ConfiguredRegion,
  position: number,
  origin: ChangeOrigin,
): Promise<void> {
  await tx.updateTable('region').set({ name, host, position }).where('id', '=', id).execute()
  await tx
    .updateTable('registry')
    .set({ name: managedRegistryName(name), host })
    .where('provider', '=', 'managed')
    .where('region_id', '=', id)
    .execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: null,
    action: 'region.update',
    target: id,
    detail: { name, host },
  })
}

export const regionRecordCommands = [syncRegions]

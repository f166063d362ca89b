import type { Registry } from '@berth/api/registries'
import type { ProjectRow, RegistryRow } from '../../metastore/control-schema.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'

/** A registry as the contract shows it. Nothing that is sealed gets here. */
export function toRegistry(runtime: ControlRuntime, { namespace }: ProjectRow, row: RegistryRow): Registry {
  const isManaged = row.provider === 'managed'
  return {
    id: row.id,
    provider: row.provider,
    name: row.name,
    slug: row.slug,
    host: row.host,
    region: row.region_id,
    address: isManaged ? `${row.host}/${namespace}` : row.host,
    pullAddresses: pullAddresses(runtime, namespace, row),
    username: row.sealed_password === null ? null : row.username,
    hasPassword: row.sealed_password !== null,
    exchange: row.exchange === 'ecr' ? 'ecr' : null,
    keyId: row.sealed_password === null ? null : row.api_key_id,
    passwordSetAt: toTimestampOrNull(row.password_set_at),
    rotation:
      row.rotation_every_days === null
        ? null
        : {
            everyDays: row.rotation_every_days,
            overlapSeconds: row.rotation_overlap_seconds ?? 0,
            dueAt: toTimestampOrNull(row.rotation_due_at),
          },
    createdAt: toTimestamp(row.created_at),
    updatedAt: toTimestamp(row.updated_at ?? row.created_at),
  }
}

function pullAddresses(
  { regions }: ControlRuntime,
  namespace: string,
  { region_id: regionId, slug, host }: RegistryRow,
): Registry['pullAddresses'] {
  if (slug === null) return regionId === null ? [] : [{ region: regionId, address: `${host}/${namespace}` }]
  return [...regions.values()].map(({ region }) => ({
    region: region.id,
    address: `${region.host}/${namespace}/${slug}`,
  }))
}

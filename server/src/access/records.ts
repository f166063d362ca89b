import type { AccessKeyRow, AccessProjectRow, AccessRegistryRow } from '../metastore/region-schema.ts'
import type { AccessProject } from './access-project.ts'
import { parseCidrs, type AddressSet } from './cidr.ts'
import { pathOwner, readConnectedRegistry } from './connected-registry.ts'
import { matchesAnyGlob } from './glob.ts'
import { immutablePatternsIn, readImmutableTags } from './image-rules.ts'
import { ACTIONS, type Action } from './principal.ts'
import type { ProjectId } from './project-id.ts'

/** A key's rules as the region knows them, read from its row once. Holds no secret, only its hash. */
export interface KeyRecord {
  readonly id: string
  readonly projectId: ProjectId
  readonly kind: string
  readonly secretVersion: number
  readonly secretHmac: Uint8Array
  readonly previousHmac: Uint8Array | null
  readonly previousExpiresAt: number | null
  readonly actions: ReadonlySet<Action>
  /** Always the same array, so that its globs are compiled once. */
  readonly repositories: readonly string[]
  /** Empty: all. */
  readonly regions: readonly string[]
  /** Null: any address. */
  readonly addresses: AddressSet | null
  readonly expiresAt: number | null
  readonly revokedAt: number | null
}

export interface ProjectRecord extends AccessProject {
  readonly isDeleted: boolean
}

/** Reads a key's row. What cannot be read allows nothing: a list that is broken is never taken for "any". */
export function readKeyRecord(row: AccessKeyRow): KeyRecord {
  const cidrs = readStrings(row.cidrs)
  return {
    id: row.id,
    projectId: row.project_id as ProjectId,
    kind: row.kind,
    secretVersion: row.secret_version,
    secretHmac: row.secret_hmac,
    previousHmac: row.previous_hmac,
    previousExpiresAt: row.previous_expires_at,
    actions: new Set(ACTIONS.filter((action) => readStrings(row.actions)?.includes(action))),
    repositories: readStrings(row.repositories) ?? [],
    regions: readStrings(row.regions) ?? NOWHERE,
    addresses: cidrs?.length === 0 ? null : (parseCidrs(cidrs ?? []) ?? NO_ADDRESS),
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  }
}

/** Reads a project's row, and those of the registries that it has or had connected. */
export function readProjectRecord(
  row: AccessProjectRow,
  connected: {
    readonly registries: readonly AccessRegistryRow[]
    readonly retiredSlugs: readonly string[]
  },
): ProjectRecord {
  const registries = new Map(
    connected.registries.map((registry) => [registry.slug, readConnectedRegistry(registry)]),
  )
  const retiredSlugs = new Set(connected.retiredSlugs)
  const publicRepositories = readStrings(row.public_repositories) ?? []
  const immutableTags = readImmutableTags(row.immutable_tags)
  return {
    id: row.id as ProjectId,
    namespace: row.namespace,
    quotaBytes: row.quota_bytes,
    allowSparseIndexes: row.allow_sparse_indexes === 1,
    homeRegionId: row.home_region_id,
    isDeleted: row.deleted_at !== null,
    isPublic: (path) =>
      matchesAnyGlob(publicRepositories, path) && pathOwner(registries, retiredSlugs, path).kind === 'own',
    ownerOf: (path) => pathOwner(registries, retiredSlugs, path),
    immutableIn: (path) => immutablePatternsIn(immutableTags, path),
  }
}

// No region has the empty id.
const NOWHERE: readonly string[] = ['']
const NO_ADDRESS: AddressSet = { contains: () => false }

function readStrings(json: string): readonly string[] | null {
  try {
    const value: unknown = JSON.parse(json)
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : null
  } catch {
    return null
  }
}

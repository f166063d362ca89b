import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import { loadRepositoryBytes, type RepositoryBytes } from '../../metastore/queries/repository-usage.ts'
import type { RegionSchema } from '../../metastore/region-schema.ts'
import { MAX_RECENT_REPOSITORIES, RECENT_BYTES_MS } from '../limits.ts'

// By region, for as long as its database is open.
const byRegion = new WeakMap<Kysely<RegionSchema>, LRUCache<number, RepositoryBytes>>()

/**
 * Bytes of each of the repositories, at most a minute old: counting looks at everything that a repository holds, and a
 * page of a list must not cost that each time it is read.
 */
export async function loadRecentBytes(
  reader: Kysely<RegionSchema>,
  repositoryIds: readonly number[],
): Promise<ReadonlyMap<number, RepositoryBytes>> {
  let recent = byRegion.get(reader)
  if (recent === undefined) {
    recent = new LRUCache({ max: MAX_RECENT_REPOSITORIES, ttl: RECENT_BYTES_MS })
    byRegion.set(reader, recent)
  }
  const found = new Map<number, RepositoryBytes>()
  const missing: number[] = []
  for (const id of repositoryIds) {
    const bytes = recent.get(id)
    if (bytes === undefined) missing.push(id)
    else found.set(id, bytes)
  }
  for (const [id, bytes] of await loadRepositoryBytes(reader, missing)) {
    recent.set(id, bytes)
    found.set(id, bytes)
  }
  return found
}

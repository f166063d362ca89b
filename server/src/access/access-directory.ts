import type { Kysely } from 'kysely'
import { loadAccessKey, loadAccessProject, loadAccessProjectId } from '../metastore/queries/access-copy.ts'
import { loadProjectRegistries } from '../metastore/queries/access-registry.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { AccessChange } from './access-source.ts'
import type { Lease } from './lease.ts'
import { MAX_CACHED_KEYS, MAX_CACHED_PROJECTS } from './limits.ts'
import { createRecordCache } from './record-cache.ts'
import { type KeyRecord, type ProjectRecord, readKeyRecord, readProjectRecord } from './records.ts'
import { createTrustRuleDirectory, type TrustRuleDirectory } from './trust-rule-directory.ts'

/** Keys and projects of one region: from memory while the lease holds, else from the database. */
export interface AccessDirectory {
  loadKey(id: string): Promise<KeyRecord | null>
  /** Deleted projects too. */
  loadProject(id: string): Promise<ProjectRecord | null>
  loadProjectByNamespace(namespace: string): Promise<ProjectRecord | null>
  readonly trustRules: Pick<TrustRuleDirectory, 'load' | 'isIssuerTrusted'>
  drop(change: Pick<AccessChange, 'kind' | 'entityId'>): void
  dropAll(): void
}

/** Reads through `reader`; starts empty. */
export function createAccessDirectory(options: {
  readonly reader: Kysely<RegionSchema>
  readonly lease: Lease
  readonly monotonicMs: () => number
}): AccessDirectory {
  const { reader } = options
  const keys = createRecordCache<KeyRecord>({
    ...options,
    max: MAX_CACHED_KEYS,
    async read(id) {
      const row = await loadAccessKey(reader, id)
      return row === null ? null : readKeyRecord(row)
    },
  })
  const projects = createRecordCache<ProjectRecord>({
    ...options,
    max: MAX_CACHED_PROJECTS,
    async read(id) {
      const row = await loadAccessProject(reader, id)
      return row === null ? null : readProjectRecord(row, await loadProjectRegistries(reader, id))
    },
  })
  // A namespace may go to another project long after its own was deleted: what is known is checked against the project.
  const projectIds = createRecordCache<string>({
    ...options,
    max: MAX_CACHED_PROJECTS,
    read: (namespace) => loadAccessProjectId(reader, namespace),
  })
  const trustRules = createTrustRuleDirectory(options)

  return {
    loadKey: (id) => keys.load(id),
    loadProject: (id) => projects.load(id),
    async loadProjectByNamespace(namespace) {
      const id = await projectIds.load(namespace)
      const project = id === null ? null : await projects.load(id)
      if (project === null || project.namespace === namespace) return project
      projectIds.drop(namespace)
      const newId = await projectIds.load(namespace)
      return newId === null ? null : projects.load(newId)
    },
    trustRules,
    drop({ kind, entityId }) {
      if (kind === 'key') return keys.drop(entityId)
      if (kind === 'trust_rule') {
        keys.drop(entityId)
        return trustRules.dropAll()
      }
      // Which project's it is (or was) is not said, and they change rarely.
      if (kind === 'registry') return projects.dropAll()
      if (kind !== 'project') return
      projects.drop(entityId)
      projectIds.dropUnknown()
    },
    dropAll() {
      keys.dropAll()
      trustRules.dropAll()
      projects.dropAll()
      projectIds.dropAll()
    },
  }
}

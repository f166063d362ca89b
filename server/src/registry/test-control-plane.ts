import { createSecretKey, randomUUID } from 'node:crypto'
import type { AccessChange, AccessSource } from '../access/access-source.ts'
import { hashSecret, type MintedKey, mintKey } from '../access/key.ts'
import type { AccessKeyRules } from '../metastore/queries/access-copy.ts'
import type { AccessProjectRow } from '../metastore/region-schema.ts'
import { type ConnectedRegistries, createRegistries } from './pull-through/test-registries.ts'

/* Test support: the control plane of a test region, in memory. */

export interface NewProject {
  readonly quotaBytes?: number | null
  readonly publicRepositories?: readonly string[]
  readonly immutableTags?: readonly { readonly repositories: string[]; readonly tags: string[] }[]
  readonly allowSparseIndexes?: boolean
}

export interface NewKey {
  /** In milliseconds; default: never. */
  readonly expiresAt?: number
  readonly actions?: readonly ('pull' | 'push' | 'delete')[]
  readonly repositories?: readonly string[]
}

/** What the console does, and where the region reads it. */
export interface ControlPlane {
  readonly source: AccessSource
  readonly peppers: ReadonlyMap<number, ReturnType<typeof createSecretKey>>
  setProject(namespace: string, settings: NewProject & { deletedAt?: number }): string
  addKey(namespace: string, rules: NewKey): MintedKey
  revokeKey(id: string, nowMs: number): void
  readonly registries: ConnectedRegistries
}

/** Starts without projects. */
export function createControlPlane(): ControlPlane {
  const pepper = createSecretKey(Buffer.alloc(32, 5))
  const changes: AccessChange[] = []
  const projects = new Map<string, AccessProjectRow>()
  const keys = new Map<string, AccessKeyRules>()
  const changed = (kind: AccessChange['kind'], entityId: string) =>
    changes.push({ seq: changes.length + 1, kind, entityId })
  const byNamespace = (namespace: string) =>
    [...projects.values()].find((project) => project.namespace === namespace)
  const registries = createRegistries(byNamespace, (id) => changed('registry', id))

  return {
    peppers: new Map([[1, pepper]]),
    source: {
      changesAfter: async (seq, limit) => changes.slice(seq, seq + limit),
      loadProject: async (id) => projects.get(id) ?? null,
      loadKey: async (id) => keys.get(id) ?? null,
      loadTrustRule: async () => null,
      loadRegistry: async (id) => registries.load(id),
      latestSeq: async () => changes.length,
      subscribe: () => () => undefined,
    },
    setProject(namespace, settings) {
      const id = byNamespace(namespace)?.id ?? randomUUID().slice(-12)
      projects.set(id, {
        id,
        namespace,
        deleted_at: settings.deletedAt ?? null,
        quota_bytes: settings.quotaBytes ?? null,
        public_repositories: JSON.stringify(settings.publicRepositories ?? []),
        allow_sparse_indexes: settings.allowSparseIndexes === true ? 1 : 0,
        immutable_tags: JSON.stringify(settings.immutableTags ?? []),
        retention: null,
        home_region_id: null,
      })
      changed('project', id)
      return id
    },
    addKey(namespace, rules) {
      const project = byNamespace(namespace)
      if (project === undefined) throw new Error(`no project ${namespace}`)
      const key = mintKey('k')
      keys.set(key.id, {
        id: key.id,
        project_id: project.id,
        kind: 'k',
        name: 'test',
        pepper_version: 1,
        secret_version: 1,
        secret_hmac: hashSecret(pepper, key.secret),
        previous_hmac: null,
        previous_expires_at: null,
        actions: JSON.stringify(rules.actions ?? ['pull', 'push', 'delete']),
        repositories: JSON.stringify(rules.repositories ?? ['**']),
        regions: '[]',
        cidrs: '[]',
        expires_at: rules.expiresAt ?? null,
        revoked_at: null,
      })
      changed('key', key.id)
      return key
    },
    revokeKey(id, nowMs) {
      const key = keys.get(id)
      if (key === undefined) throw new Error(`no key ${id}`)
      keys.set(id, { ...key, revoked_at: nowMs })
      changed('key', id)
    },
    registries,
  }
}

import { randomUUID } from 'node:crypto'
import type { AccessRegistryRow } from '../../metastore/region-schema.ts'
import { parseAllowList } from '../../outgoing/allow-list.ts'
import { createOutgoing } from '../../outgoing/create-outgoing.ts'
import { sealSecret } from '../../vault/envelope.ts'
import { newProjectKey, unwrapProjectKey } from '../../vault/project-key.ts'
import type { RootKey } from '../../vault/root-key.ts'
import { nameRootKey, type RootKeys } from '../../vault/root-keys.ts'
import { createUpstreams } from './upstreams.ts'

/*
 * Test support: the registries that the projects of a test region have connected, in memory, sealed as they really are.
 */

/** A registry that a project connects. */
export interface NewRegistry {
  readonly slug: string
  readonly host: string
  /** Default: `custom`. */
  readonly provider?: AccessRegistryRow['provider']
  readonly login?: { readonly username: string; readonly password: string }
  /** Of the record; default: a new one. */
  readonly id?: string
}

/** What the passwords of connected registries are sealed with. */
const TEST_ROOT_KEYS: RootKeys = {
  current: nameRootKey(new Uint8Array(32).fill(7) as RootKey),
  previous: null,
}

/** What a region calls other registries with. */
export function outgoingCalls(options: {
  readonly outgoingAllow?: string
  readonly outgoingCaPem?: string
  readonly upstreamEndpoints?: ReadonlyMap<string, string>
}) {
  const allow = parseAllowList(options.outgoingAllow ?? '')
  if (!allow.ok) throw new Error(allow.mistakes.join('; '))
  const extraCaPem = options.outgoingCaPem ?? null
  const outgoing = createOutgoing({ allow: allow.entries, extraCaPem, userAgent: 'berth/test' })
  const upstreamEndpoints = options.upstreamEndpoints ?? new Map<string, string>()
  const upstreams = createUpstreams({ outgoing, rootKeys: TEST_ROOT_KEYS, endpoints: upstreamEndpoints })
  return { outgoing, upstreamEndpoints, upstreams }
}

/** The records, as the control plane has them. */
export interface ConnectedRegistries {
  /** Connects a registry, or changes one. Answers the id of its record. */
  set(namespace: string, registry: NewRegistry): string
  remove(id: string): void
  load(id: string): AccessRegistryRow | null
}

/** Starts without any. `changed` is told the id of each record that changes. */
export function createRegistries(
  projectOf: (namespace: string) => { readonly id: string } | undefined,
  changed: (id: string) => void,
): ConnectedRegistries {
  const rows = new Map<string, AccessRegistryRow>()
  return {
    set(namespace, registry) {
      const project = projectOf(namespace)
      if (project === undefined) throw new Error(`no project ${namespace}`)
      const row = toRegistryRow(project.id, registry)
      rows.set(row.id, row)
      changed(row.id)
      return row.id
    },
    remove(id) {
      rows.delete(id)
      changed(id)
    },
    load: (id) => rows.get(id) ?? null,
  }
}

function toRegistryRow(projectId: string, registry: NewRegistry): AccessRegistryRow {
  const { id = randomUUID(), slug, host, login } = registry
  const key = newProjectKey(projectId, 1, TEST_ROOT_KEYS.current)
  const context = { projectId, record: `registry/${id}`, field: 'password', host }
  const projectKey = { version: 1, key: unwrapProjectKey(key, TEST_ROOT_KEYS) }
  return {
    id,
    project_id: projectId,
    slug,
    name: `the ${slug}`,
    provider: registry.provider ?? 'custom',
    host,
    exchange: null,
    username: login?.username ?? null,
    sealed_password:
      login === undefined ? null : sealSecret(projectKey, context, Buffer.from(login.password)),
    key_version: login === undefined ? null : 1,
    key_root_id: login === undefined ? null : key.rootId,
    wrapped_key: login === undefined ? null : key.wrapped,
  }
}

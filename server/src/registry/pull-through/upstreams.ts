import { LRUCache } from 'lru-cache'
import type { ConnectedRegistry } from '../../access/connected-registry.ts'
import type { Outgoing } from '../../outgoing/outgoing.ts'
import { createPlaces, type Places } from '../../outgoing/places.ts'
import type { UpstreamEndpoints } from '../../upstream/registry-place.ts'
import { createUpstreamClient } from '../../upstream/upstream-client.ts'
import type { UpstreamClient, UpstreamReason } from '../../upstream/upstream.ts'
import type { UpstreamError } from '../../upstream/upstream-error.ts'
import type { RootKeys } from '../../vault/root-keys.ts'
import {
  CLIENT_KEPT_MS,
  MAX_KEPT_CLIENTS,
  MAX_MANIFEST_FETCHES,
  MAX_MANIFEST_FETCHES_PER_PROJECT,
  MAX_RATE_LIMIT_PAUSE_MS,
  MAX_REMEMBERED_REFUSALS,
  MAX_WAITING_MANIFEST_FETCHES,
  RATE_LIMIT_PAUSE_MS,
  REMEMBER_REFUSAL_MS,
  UNREACHABLE_PAUSE_MS,
} from './limits.ts'
import { openRegistryLogin } from './registry-password.ts'

/** One connected registry, as its record is now. */
export interface Upstream {
  readonly client: UpstreamClient
  /** Why it is not asked just now, for this thing (a repository with tag or digest) or for any; null: go on. */
  recallFailure(what: string): UpstreamError | null
  /** Remembers a failure for a while: of the whole registry when it cannot be reached, else of this thing. */
  noteFailure(what: string, error: UpstreamError): void
  /** The same for something that is not there. */
  recallAbsence(what: string): boolean
  noteAbsence(what: string): void
}

/** The connected registries that one process asks. */
export interface Upstreams {
  /**
   * The registry of a record. When anything of the record changes, nothing that was made for it before is used again.
   * Throws `VaultError` and `UpstreamError` (its host is none).
   */
  of(registry: ConnectedRegistry): Upstream
  /** Manifests that are fetched, by project. */
  readonly manifestPlaces: Places
  /** Aborted by `close`: ends every call. */
  readonly signal: AbortSignal
  /** Work that goes on after its request; `close` waits for it. */
  track(work: Promise<unknown>): void
  close(): Promise<void>
}

/** Asks nobody before it is used. */
export function createUpstreams(options: {
  readonly outgoing: Outgoing
  readonly rootKeys: RootKeys
  readonly endpoints: UpstreamEndpoints
}): Upstreams {
  const stop = new AbortController()
  const running = new Set<Promise<unknown>>()
  const kept = new LRUCache<string, { readonly record: string; readonly upstream: Upstream }>({
    max: MAX_KEPT_CLIENTS,
    ttl: CLIENT_KEPT_MS,
    updateAgeOnGet: true,
    ttlAutopurge: true,
  })

  return {
    of(registry) {
      const record = JSON.stringify(registry)
      const known = kept.get(registry.id)
      if (known?.record === record) return known.upstream
      const { outgoing, rootKeys, endpoints } = options
      const { provider, host, projectId } = registry
      const credential = openRegistryLogin(registry, rootKeys)
      const client = createUpstreamClient({
        outgoing,
        provider,
        host,
        credential,
        endpoints,
        account: projectId,
      })
      const upstream = withMemory(client)
      kept.set(registry.id, { record, upstream })
      return upstream
    },
    manifestPlaces: createPlaces({
      total: MAX_MANIFEST_FETCHES,
      waiting: MAX_WAITING_MANIFEST_FETCHES,
      perKey: { project: MAX_MANIFEST_FETCHES_PER_PROJECT },
    }),
    signal: stop.signal,
    track(work) {
      const ended = work.then(ignore, ignore)
      running.add(ended)
      void ended.then(() => running.delete(ended))
    },
    async close() {
      stop.abort(new Error('the process stops'))
      kept.clear()
      await Promise.all(running)
    },
  }
}

/** The registry itself, for whatever was asked. A fault with one image must not take the others along. */
const OF_THE_REGISTRY: ReadonlySet<UpstreamReason> = new Set([
  'refused_address',
  'dns',
  'connect',
  'tls',
  'timeout',
  'rate_limit',
])

function withMemory(client: UpstreamClient): Upstream {
  const failures = new LRUCache<string, UpstreamError>({
    max: MAX_REMEMBERED_REFUSALS,
    ttl: REMEMBER_REFUSAL_MS,
  })
  const absences = new LRUCache<string, true>({ max: MAX_REMEMBERED_REFUSALS, ttl: REMEMBER_REFUSAL_MS })
  let pause: { readonly untilMs: number; readonly error: UpstreamError } | null = null

  return {
    client,
    recallFailure(what) {
      if (pause !== null && performance.now() < pause.untilMs) return pause.error
      pause = null
      return failures.get(what) ?? null
    },
    noteFailure(what, error) {
      if (!OF_THE_REGISTRY.has(error.reason)) failures.set(what, error)
      else pause = { untilMs: performance.now() + pauseMs(error), error }
    },
    recallAbsence: (what) => absences.has(what),
    noteAbsence: (what) => void absences.set(what, true),
  }
}

function pauseMs({ reason, retryAfterSeconds }: UpstreamError): number {
  if (reason !== 'rate_limit') return UNREACHABLE_PAUSE_MS
  if (retryAfterSeconds === null) return RATE_LIMIT_PAUSE_MS
  return Math.min(retryAfterSeconds * 1000, MAX_RATE_LIMIT_PAUSE_MS)
}

function ignore(): void {}

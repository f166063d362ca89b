import type { KeyObject } from 'node:crypto'
import type { AddressSet } from '../access/cidr.ts'
import type { RefusalLog } from '../access/refusal-log.ts'
import type { ControlSchema } from '../metastore/control-schema.ts'
import type { Database } from '../metastore/database.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { UploadSessionStore } from '../metastore/session-store.ts'
import type { Outgoing } from '../outgoing/outgoing.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { RootKeys } from '../vault/root-keys.ts'
import type { Vault } from '../vault/vault.ts'
import type { UpstreamEndpoints } from '../upstream/registry-place.ts'
import type { RegionGarbageCollector } from './gc/garbage-collector.ts'
import type { OperatorAuth } from './operator-auth.ts'
import type { PeopleSettings } from './people/settings.ts'
import type { ProjectCreation } from './principal.ts'

/** What the console needs of one region. */
export interface ControlRegion {
  readonly region: {
    readonly id: string
    readonly name: string
    /** Host (and port) that clients use. */
    readonly host: string
    /** Scheme and host, such as `https://registry.example`. */
    readonly origin: string
  }
  readonly db: Database<RegionSchema>
  readonly sessions: UploadSessionStore
  readonly gc: RegionGarbageCollector
  /** How long deleted manifests stay in the trash, in milliseconds. */
  readonly trashMs: number
}

/** Makes a change of access true everywhere. */
export interface Revocation {
  /**
   * Resolves when every live replica of every region has applied the access change `seq`, or its lease has ended.
   * Answers how many replicas that were, and the regions that could not be asked: they may still go by the old rules.
   */
  waitUntilApplied(seq: number): Promise<{
    readonly replicas: number
    readonly pendingRegions: readonly string[]
  }>
}

/** Everything that the console needs. Made by the composition root. */
export interface ControlRuntime {
  readonly installation: { readonly id: string; readonly version: string }
  /** Origin of the console as people reach it, such as `https://console.example`. */
  readonly consoleUrl: string
  readonly db: Database<ControlSchema>
  /** The host without a region, which leads each project to its home region; null: there is none. */
  readonly sharedHost: { readonly host: string; readonly origin: string } | null
  /** By id, in the order of the configuration. */
  readonly regions: ReadonlyMap<string, ControlRegion>
  readonly operatorAuth: OperatorAuth
  /** Whom the installation lets create projects. */
  readonly projectCreation: ProjectCreation
  /** How long the namespace of a deleted project is kept from others, in milliseconds. */
  readonly namespaceReservationMs: number
  /** HMAC of the setup token under the same key as the operator's; null: no setup link was made. */
  readonly setupTokenHmac: Uint8Array | null
  /** What new keys are hashed with. */
  readonly pepper: { readonly version: number; readonly key: KeyObject }
  /** How people sign in. */
  readonly people: PeopleSettings
  readonly revocation: Revocation
  readonly refusals: RefusalLog
  /** By the control database's clock where there are several processes. */
  readonly clock: { nowMs(): number }
  readonly log: Logger
  readonly metrics: Metrics
  /** Peers whose X-Forwarded-For is believed. */
  readonly trustedProxies: AddressSet
  /** The guard of every call that a user can aim. */
  readonly outgoing: Outgoing
  /** Seals and opens stored secrets of projects. */
  readonly vault: Vault
  /** Only for a change of root keys. */
  readonly rootKeys: RootKeys
  /** Other places for the hosts of third-party registries: see BERTH_UPSTREAM_ENDPOINTS. */
  readonly upstreamEndpoints: UpstreamEndpoints
}

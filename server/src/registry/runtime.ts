import type { AddressSet } from '../access/cidr.ts'
import type { RefusalLog } from '../access/refusal-log.ts'
import type { AccessUnderHost } from '../access/region-access.ts'
import type { BlobStore } from '../blobstore/blobstore.ts'
import type { Database } from '../metastore/database.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { UploadSessionStore } from '../metastore/session-store.ts'
import type { Outgoing } from '../outgoing/outgoing.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { UpstreamEndpoints } from '../upstream/registry-place.ts'
import type { LastPulls } from './last-pulls.ts'
import type { RegistryLimits } from './limits.ts'
import type { Upstreams } from './pull-through/upstreams.ts'

/** How blob content reaches a client. */
export type BlobDelivery =
  | { readonly mode: 'stream' }
  /** `X-Accel-Redirect` to a path below the prefix, which nginx serves. */
  | { readonly mode: 'accel'; readonly prefix: string }
  /** A presigned URL of the object store. */
  | { readonly mode: 'redirect'; readonly expiresSeconds: number }

/** Everything that serving one region needs. Made by the composition root. */
export interface RegionRuntime {
  readonly region: {
    readonly id: string
    readonly name: string
    /** Host (and port) that clients use. */
    readonly host: string
  }
  /** Scheme and host for what cannot be told from a request, such as `https://registry.example`. */
  readonly externalOrigin: string
  readonly db: Database<RegionSchema>
  readonly sessions: UploadSessionStore
  readonly blobs: BlobStore
  readonly access: AccessUnderHost
  readonly refusals: RefusalLog
  readonly limits: RegistryLimits
  readonly lastPulls: LastPulls
  readonly delivery: BlobDelivery
  /** By the database's clock where there are several processes. */
  readonly clock: { nowMs(): number }
  readonly log: Logger
  readonly metrics: Metrics
  /** Peers whose X-Forwarded-For and X-Forwarded-Proto are believed. */
  readonly trustedProxies: AddressSet
  /** The guard of every call that a user can aim. */
  readonly outgoing: Outgoing
  /** The registries that projects have connected. */
  readonly upstreams: Upstreams
  /** Other places for the hosts of third-party registries: see BERTH_UPSTREAM_ENDPOINTS. */
  readonly upstreamEndpoints: UpstreamEndpoints
}

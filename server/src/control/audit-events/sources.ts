import { ApiError } from '@berth/api/errors'
import type { Kysely } from 'kysely'
import type { AuditTables } from '../../metastore/audit-tables.ts'
import { auditTables } from '../../metastore/queries/audit-chain.ts'
import type { ControlRuntime } from '../runtime.ts'

/** The name of the control plane's own database among the sources. */
export const CONTROL_SOURCE = 'control'

/** A database that keeps a part of the audit log: the control plane's, or a region's. */
export interface AuditSource {
  /** `control`, or the region's id. */
  readonly name: string
  readonly reader: Kysely<AuditTables>
}

/** All sources, the control plane first; or the one that is named. Raises `region_not_found`. */
export function auditSources(runtime: ControlRuntime, only?: string): AuditSource[] {
  const sources = [
    { name: CONTROL_SOURCE, reader: auditTables(runtime.db.reader) },
    ...[...runtime.regions.values()].map(({ region, db }) => ({
      name: region.id,
      reader: auditTables(db.reader),
    })),
  ]
  if (only === undefined) return sources
  const source = sources.find(({ name }) => name === only)
  if (source === undefined) throw new ApiError('region_not_found', `There is no region "${only}".`)
  return [source]
}

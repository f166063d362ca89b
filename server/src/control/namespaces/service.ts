import type { NamespaceCheck } from '@berth/api/namespaces'
import { isReservedNamespace, parseNamespace } from '@berth/oci/name'
import { DatabaseUnavailableError } from '../../metastore/database.ts'
import { isProjectGone } from '../../metastore/queries/deleted-project.ts'
import { loadNamespaceHolder, type Released } from '../../metastore/queries/project.ts'
import { listRegionIds } from '../../metastore/queries/region.ts'
import type { ControlRuntime } from '../runtime.ts'

/** Says whether a text could be a new project's namespace now. The answer to "taken" is the same for every reason. */
export async function checkNamespace(runtime: ControlRuntime, namespace: string): Promise<NamespaceCheck> {
  if (parseNamespace(namespace) === null) {
    return isReservedNamespace(namespace)
      ? refused(namespace, 'reserved', 'This word is kept for the product.')
      : refused(namespace, 'invalid', 'It must be 2 to 63 of a-z, 0-9 and single hyphens inside.')
  }
  const holder = await loadNamespaceHolder(runtime.db.reader, namespace)
  if (holder === null || (await findReleased(runtime, namespace)) !== null) {
    return { namespace, available: true, reason: null, message: null }
  }
  return refused(namespace, 'taken', 'It is taken, now or by a deleted project.')
}

function refused(
  namespace: string,
  reason: NonNullable<NamespaceCheck['reason']>,
  message: string,
): NamespaceCheck {
  return { namespace, available: false, reason, message }
}

/**
 * The deleted project that must give a namespace up to a new one; null when there is none or it may not. Whoever still
 * has the old name written down somewhere must never get what the new owner put there, so it may not when
 * - it was deleted less than the reservation ago,
 * - anyone could ever pull something of it: such pulls need no credential, and would succeed again,
 * - anything of it is left in any region, or a region cannot be asked.
 * All credentials of the old project ended with it, so a pull with one of them fails whoever has the namespace now.
 */
export async function findReleased(runtime: ControlRuntime, namespace: string): Promise<Released | null> {
  const holder = await loadNamespaceHolder(runtime.db.reader, namespace)
  if (holder === null || holder.namespace !== namespace || holder.deleted_at === null) return null
  const reservedUntil = holder.deleted_at + runtime.namespaceReservationMs
  if (holder.was_public === 1 || reservedUntil > runtime.clock.nowMs()) return null
  return (await isGoneEverywhere(runtime, holder.id)) ? { projectId: holder.id } : null
}

async function isGoneEverywhere(runtime: ControlRuntime, projectId: string): Promise<boolean> {
  // A region that the configuration does not name any more keeps its data.
  const ids = await listRegionIds(runtime.db.reader)
  for (const id of ids) {
    const region = runtime.regions.get(id)
    if (region === undefined) return false
    try {
      if (!(await isProjectGone(region.db.reader, projectId))) return false
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError)) throw error
      return false
    }
  }
  return true
}

import type { VaultStatus } from '@berth/api/vault'
import { loadInstallation } from '../../metastore/queries/installation.ts'
import { countProjectKeys, countProjectsToRekey, loadRekeyStart } from '../../metastore/queries/rekey.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestampOrNull } from '../time.ts'

/** Which root key the installation is on, and what a change of keys has still to do. */
export async function vaultStatus(runtime: ControlRuntime): Promise<VaultStatus> {
  const { reader } = runtime.db
  const active = await activeRootId(runtime)
  const { projects, ofOtherRoots } = await countProjectKeys(reader, active)
  const startedAt = await loadRekeyStart(reader)
  const { current, previous } = runtime.rootKeys
  return {
    rootKey: {
      active,
      configured: current.id,
      previousConfigured: previous !== null,
      projectKeysOfOthers: ofOtherRoots,
      canForgetPrevious: active === current.id && ofOtherRoots === 0,
    },
    projectKeys: {
      projects,
      startedAt: toTimestampOrNull(startedAt),
      remaining: startedAt === null ? 0 : await countProjectsToRekey(reader, startedAt),
    },
  }
}

/** The root key that the installation is on, by its id. */
export async function activeRootId(runtime: ControlRuntime): Promise<string> {
  return (await loadInstallation(runtime.db.reader)).get('root_key_id') ?? ''
}

import { ApiError } from '@berth/api/errors'
import type { RegistryRow } from '../../metastore/control-schema.ts'
import { loadRegistry, registrySecretContext } from '../../metastore/queries/registry.ts'
import { VaultError } from '../../vault/aead.ts'
import { SEAL_ATTEMPTS } from '../limits.ts'
import type { ControlRuntime } from '../runtime.ts'

/**
 * The password that a registry stores. The row must have one. A re-keying may replace it, and delete its key, after
 * the row was read: then the row is read again, as long as it has the same host. Raises `secret_unreadable`.
 */
export async function openStored(runtime: ControlRuntime, read: RegistryRow): Promise<string> {
  let row = read
  for (let attempt = 1; ; attempt++) {
    if (row.sealed_password === null) throw new ApiError('secret_unreadable')
    try {
      const bytes = await runtime.vault.open(registrySecretContext(row), row.sealed_password)
      return Buffer.from(bytes).toString('utf8')
    } catch (cause) {
      if (!(cause instanceof VaultError)) throw cause
      const again = await loadRegistry(runtime.db.reader, row.project_id, row.id)
      const wasReplaced =
        again !== null && again.host === read.host && again.sealed_password !== row.sealed_password
      if (!wasReplaced || attempt === SEAL_ATTEMPTS)
        throw new ApiError('secret_unreadable', undefined, { cause })
      row = again
    }
  }
}

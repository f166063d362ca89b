import { ApiError } from '@berth/api/errors'
import type { RegistryRow } from '../../metastore/control-schema.ts'
import { registrySecretContext } from '../../metastore/queries/registry.ts'
import { VaultError } from '../../vault/aead.ts'
import type { ControlRuntime } from '../runtime.ts'

/** The password that a registry stores. The row must have one. Raises `secret_unreadable`. */
export async function openStored(runtime: ControlRuntime, row: RegistryRow): Promise<string> {
  if (row.sealed_password === null) throw new TypeError('the registry stores no password')
  try {
    const bytes = await runtime.vault.open(registrySecretContext(row), row.sealed_password)
    return Buffer.from(bytes).toString('utf8')
  } catch (cause) {
    if (cause instanceof VaultError) throw new ApiError('secret_unreadable', undefined, { cause })
    throw cause
  }
}

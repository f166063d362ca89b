import type { ConnectedRegistry } from '../../access/connected-registry.ts'
import { VaultError } from '../../vault/aead.ts'
import { openSecret } from '../../vault/envelope.ts'
import { unwrapProjectKey } from '../../vault/project-key.ts'
import type { RootKeys } from '../../vault/root-keys.ts'

/**
 * Opens a registry's stored login, with the project's key that came with it. Null: it is used without one. Throws
 * `VaultError` when the key was destroyed, or the record is not the one that it was sealed for.
 */
export function openRegistryLogin(
  registry: ConnectedRegistry,
  roots: RootKeys,
): { username: string; password: string } | null {
  const { id, projectId, host, login } = registry
  if (login === null) return null
  if (login.key === null) throw new VaultError('The key of this secret was destroyed.')
  const key = unwrapProjectKey({ projectId, ...login.key }, roots)
  try {
    const context = { projectId, record: `registry/${id}`, field: 'password', host }
    return { username: login.username, password: openSecret(key, context, login.sealed).toString('utf8') }
  } finally {
    key.fill(0)
  }
}

import { randomBytes } from 'node:crypto'
import { decodeStrictly, openBytes, sealBytes, VaultError } from './aead.ts'
import { deriveKey, type RootKey } from './root-key.ts'
import { type NamedRootKey, type RootKeys, rootKeyById } from './root-keys.ts'

/** A project's key as it is stored: wrapped by a root key. */
export interface WrappedProjectKey {
  readonly projectId: string
  /** Counts from 1; new secrets are sealed with the highest. */
  readonly version: number
  /** Which root key wraps it. */
  readonly rootId: string
  readonly wrapped: string
}

const KEY_BYTES = 32

/** Makes a random key for a project. */
export function newProjectKey(projectId: string, version: number, root: NamedRootKey): WrappedProjectKey {
  return wrapProjectKey(randomBytes(KEY_BYTES), { projectId, version }, root)
}

/** A project's key itself. Throws `VaultError` when it was changed, moved, or wrapped by a root key not given. */
export function unwrapProjectKey(stored: WrappedProjectKey, roots: RootKeys): Buffer {
  const wrapper = projectKeyWrapper(rootKeyById(roots, stored.rootId))
  const key = openBytes(wrapper, placeOf(stored, stored.rootId), decodeStrictly(stored.wrapped))
  if (key.byteLength !== KEY_BYTES) throw new VaultError('A stored project key has a wrong length.')
  return key
}

/** The same project key, wrapped by another root key. Throws `VaultError`. */
export function rewrapProjectKey(
  stored: WrappedProjectKey,
  roots: RootKeys,
  to: NamedRootKey,
): WrappedProjectKey {
  return wrapProjectKey(unwrapProjectKey(stored, roots), stored, to)
}

function wrapProjectKey(
  key: Uint8Array,
  { projectId, version }: Pick<WrappedProjectKey, 'projectId' | 'version'>,
  root: NamedRootKey,
): WrappedProjectKey {
  const place = placeOf({ projectId, version }, root.id)
  const wrapped = sealBytes(projectKeyWrapper(root.key), place, key).toString('base64url')
  return { projectId, version, rootId: root.id, wrapped }
}

function projectKeyWrapper(root: RootKey): Uint8Array {
  return deriveKey(root, 'project-key-wrapper/v1')
}

function placeOf(
  { projectId, version }: Pick<WrappedProjectKey, 'projectId' | 'version'>,
  rootId: string,
): (string | number)[] {
  return ['berth project key', 1, rootId, projectId, version]
}

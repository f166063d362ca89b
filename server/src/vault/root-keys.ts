import { randomBytes } from 'node:crypto'
import { decodeStrictly, openBytes, sealBytes, VaultError } from './aead.ts'
import {
  deriveKey,
  type InstallationKey,
  matchesCanary,
  type RootKey,
  RootKeyError,
  sealCanary,
} from './root-key.ts'

/** A root key with the id by which what it wraps names it. */
export interface NamedRootKey {
  /** 16 hex digits, derived one way: it says nothing about the key. */
  readonly id: string
  readonly key: RootKey
}

/** The root keys that a process was given. */
export interface RootKeys {
  /** What everything is to be wrapped with. */
  readonly current: NamedRootKey
  /** Given beside the current one while a change of root keys is under way. */
  readonly previous: NamedRootKey | null
}

const KEY_BYTES = 32
const ID_BYTES = 8

/** Names a root key. */
export function nameRootKey(key: RootKey): NamedRootKey {
  return { id: Buffer.from(deriveKey(key, 'root-key-id/v1', ID_BYTES)).toString('hex'), key }
}

/**
 * The one of the given keys that the installation is on, by its canary. Throws `RootKeyError` when it is none of
 * them: its stored secrets were made with another one.
 */
export function activeRootKey(keys: RootKeys, canary: string): NamedRootKey {
  const { current, previous } = keys
  if (matchesCanary(current.key, canary)) return current
  if (previous !== null && matchesCanary(previous.key, canary)) return previous
  const given = previous === null ? '' : ', and neither does BERTH_ROOT_KEY_PREVIOUS'
  throw new RootKeyError(
    `The root key does not match this installation${given}: its stored secrets were made with another one. ` +
      'Set BERTH_ROOT_KEY or BERTH_ROOT_KEY_FILE to the key that this data was made with, or give that one as ' +
      'BERTH_ROOT_KEY_PREVIOUS_FILE while you change to a new one.',
  )
}

/** The root key with this id. Throws `VaultError` when the process was not given it. */
export function rootKeyById({ current, previous }: RootKeys, id: string): RootKey {
  if (current.id === id) return current.key
  if (previous?.id === id) return previous.key
  throw new VaultError(
    `A key is wrapped by the root key ${id}, which this process was not given. ` +
      'Give it as BERTH_ROOT_KEY_PREVIOUS_FILE until "berth vault rekey" has finished.',
  )
}

/** What the installation stores of its root key, so that a change of it is one write. */
export interface RootKeyFacts {
  readonly root_key_canary: string
  readonly root_key_id: string
  readonly installation_key: string
}

/** The facts that put an installation on this root key. */
export function rootKeyFacts(root: NamedRootKey, installationKey: InstallationKey): RootKeyFacts {
  const wrapped = sealBytes(installationKeyWrapper(root.key), installationKeyPlace(root.id), installationKey)
  return {
    root_key_canary: sealCanary(root.key),
    root_key_id: root.id,
    installation_key: wrapped.toString('base64url'),
  }
}

/** A random installation key. */
export function newInstallationKey(): InstallationKey {
  return new Uint8Array(randomBytes(KEY_BYTES)) as InstallationKey
}

/**
 * The installation key. `wrapped` is null for an installation that is older than this: its keys were derived from the
 * root key itself, so that is its installation key, and stays it when the root key changes. Throws `VaultError`.
 */
export function openInstallationKey(root: NamedRootKey, wrapped: string | null): InstallationKey {
  if (wrapped === null) return new Uint8Array(root.key) as InstallationKey
  const place = installationKeyPlace(root.id)
  const key = openBytes(installationKeyWrapper(root.key), place, decodeStrictly(wrapped))
  if (key.byteLength !== KEY_BYTES) throw new VaultError('The stored installation key has a wrong length.')
  return new Uint8Array(key) as InstallationKey
}

function installationKeyWrapper(root: RootKey): Uint8Array {
  return deriveKey(root, 'installation-key-wrapper/v1')
}

function installationKeyPlace(rootId: string): string[] {
  return ['berth installation key', '1', rootId]
}

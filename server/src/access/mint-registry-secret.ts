import type { KeyObject } from 'node:crypto'
import type { Vault } from '../vault/vault.ts'
import { hashSecret, keyWithSecret } from './key.ts'

/** What is stored of a managed registry's credential, and its text, to be shown once. */
export interface RegistrySecret {
  /** The API key itself. Never stored like this, never logged. */
  readonly text: string
  readonly secretHmac: Uint8Array
  readonly pepperVersion: number
  readonly sealed: string
}

/**
 * Makes a new secret for the API key of a managed registry: hashed for the registry, sealed for the console.
 * Throws `VaultError`.
 */
export async function mintRegistrySecret(options: {
  readonly vault: Vault
  readonly pepper: { readonly version: number; readonly key: KeyObject }
  readonly context: Parameters<Vault['seal']>[0]
  readonly keyId: string
}): Promise<RegistrySecret> {
  const { vault, pepper, context, keyId } = options
  const minted = keyWithSecret('k', keyId)
  return {
    text: minted.text,
    secretHmac: hashSecret(pepper.key, minted.secret),
    pepperVersion: pepper.version,
    sealed: await vault.seal(context, minted.text),
  }
}

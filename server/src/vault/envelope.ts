import { randomBytes } from 'node:crypto'
import { decodeStrictly, openBytes, sealBytes, VaultError } from './aead.ts'

/** What a stored secret is bound to. It opens only where all four are what they were when it was sealed. */
export interface SecretContext {
  readonly projectId: string
  /** `<noun>/<id>` of what has the secret, such as `registry/abc`. */
  readonly record: string
  readonly field: string
  /** The only host that the secret may be sent to; `region:<id>` for what is used inside a region. */
  readonly host: string
}

/**
 * A secret at rest as one text: `s1.<version of the project's key>.<record key, wrapped>.<secret, sealed>`, the last
 * two in base64url, each as nonce, ciphertext and tag. What `s1` means never changes.
 */
export type SealedSecret = string

const FORMAT = 's1'
const RECORD_KEY_BYTES = 32
/** Longest secret that is stored, in bytes. */
export const MAX_SECRET_BYTES = 16 * 1024
const MAX_SEALED_LENGTH = 2 * MAX_SECRET_BYTES

/** Seals a secret with a random key of its own, and that key with the project's. Throws `VaultError`: too long. */
export function sealSecret(
  projectKey: { readonly version: number; readonly key: Uint8Array },
  context: SecretContext,
  plaintext: Uint8Array,
): SealedSecret {
  if (plaintext.byteLength > MAX_SECRET_BYTES) {
    throw new VaultError(`A secret may have ${MAX_SECRET_BYTES} bytes at most.`)
  }
  const { version, key } = projectKey
  const recordKey = randomBytes(RECORD_KEY_BYTES)
  const wrapped = sealBytes(key, placeOf('record key', version, context), recordKey)
  const sealed = sealBytes(recordKey, placeOf('secret', version, context), plaintext)
  return [FORMAT, version, wrapped.toString('base64url'), sealed.toString('base64url')].join('.')
}

/** Which version of the project's key a sealed secret needs. Throws `VaultError`. */
export function keyVersionOf(sealed: SealedSecret): number {
  return parse(sealed).version
}

/** Opens a sealed secret. Throws `VaultError` when a byte of it, its context or the key is another one. */
export function openSecret(projectKey: Uint8Array, context: SecretContext, sealed: SealedSecret): Buffer {
  const { version, wrapped, secret } = parse(sealed)
  const recordKey = openBytes(projectKey, placeOf('record key', version, context), wrapped)
  if (recordKey.byteLength !== RECORD_KEY_BYTES) throw new VaultError('A record key has a wrong length.')
  return openBytes(recordKey, placeOf('secret', version, context), secret)
}

function parse(sealed: SealedSecret): { version: number; wrapped: Buffer; secret: Buffer } {
  if (sealed.length > MAX_SEALED_LENGTH) throw new VaultError('A stored secret is too long.')
  const match = /^s1\.([1-9]\d{0,8})\.([\w-]+)\.([\w-]+)$/.exec(sealed)
  if (match === null) throw new VaultError('A stored secret is damaged, or of a newer version of Berth.')
  const [, version = '', wrapped = '', secret = ''] = match
  return { version: Number(version), wrapped: decodeStrictly(wrapped), secret: decodeStrictly(secret) }
}

function placeOf(what: string, version: number, context: SecretContext): (string | number)[] {
  const { projectId, record, field, host } = context
  return [`berth ${what}`, FORMAT, version, projectId, record, field, host]
}

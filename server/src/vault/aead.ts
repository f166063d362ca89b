import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A sealed value cannot be opened: something does not fit. The message never holds anything secret. */
export class VaultError extends Error {
  override readonly name = 'VaultError'
}

/**
 * AES-256-GCM with a random nonce of 96 bits and a tag of 128. `associated` is what the value is bound to; its parts
 * are joined so that no two lists give the same bytes. Answers nonce, ciphertext and tag in one piece.
 */
export function sealBytes(
  key: Uint8Array,
  associated: readonly (string | number)[],
  plaintext: Uint8Array,
): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(associatedBytes(associated))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** Opens what `sealBytes` made with the same key and the same associated values. Throws `VaultError`. */
export function openBytes(
  key: Uint8Array,
  associated: readonly (string | number)[],
  sealed: Uint8Array,
): Buffer {
  if (sealed.byteLength < NONCE_BYTES + TAG_BYTES) throw new VaultError('A stored secret is cut short.')
  const nonce = sealed.subarray(0, NONCE_BYTES)
  const end = sealed.byteLength - TAG_BYTES
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(associatedBytes(associated))
  decipher.setAuthTag(sealed.subarray(end))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, end)), decipher.final()])
  } catch (cause) {
    throw new VaultError('A stored secret does not fit its key, its place or its host.', { cause })
  }
}

function associatedBytes(associated: readonly (string | number)[]): Buffer {
  return Buffer.from(JSON.stringify(associated), 'utf8')
}

/** Reads base64url that is spelled in the one way that its bytes have. Throws `VaultError`. */
export function decodeStrictly(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw new VaultError('A stored secret is damaged.')
  return bytes
}

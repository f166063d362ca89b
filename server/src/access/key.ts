import { createHmac, randomInt, timingSafeEqual, type KeyObject } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** `k` API key, `m` machine key, `e` enrolment, `p` personal. */
export type KeyKind = 'k' | 'm' | 'e' | 'p'

/** What a key's text says. Whether such a key exists is not known from this. */
export interface ParsedKey {
  readonly kind: KeyKind
  /** Public: names the key in tables, logs and screens. */
  readonly id: string
  /** Never stored, never logged. */
  readonly secret: string
}

export interface MintedKey extends ParsedKey {
  /** The whole key, shown once. */
  readonly text: string
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const ID_ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'
const ID_LENGTH = 12
// 62^43 is a little more than 2^256.
const SECRET_LENGTH = 43
// 62^6 is more than 2^32.
const CHECKSUM_LENGTH = 6
const SHOWN_END_LENGTH = 4
const PATTERN = `brth_([kmep])_([0-9a-z]{${ID_LENGTH}})_([0-9A-Za-z]{${SECRET_LENGTH}})([0-9A-Za-z]{${CHECKSUM_LENGTH}})`
const KEY = new RegExp(`^${PATTERN}$`)
const KEY_LENGTH = `brth_k__`.length + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH

/**
 * For secret scanners: finds keys in any text. A hit is one of ours when the last six characters are the base62
 * CRC-32 of all before them, which `parseKey` checks without any look-up.
 */
export const KEY_SCAN_PATTERN = `\\bbrth_[kmep]_[0-9a-z]{${ID_LENGTH}}_[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}\\b`

/** Makes a key with a secret of 256 bits; each character is drawn on its own, without bias. */
export function mintKey(kind: KeyKind): MintedKey {
  return keyWithSecret(kind, mintKeyId())
}

/** Makes a new secret for a key that exists: a rotation keeps the id. */
export function keyWithSecret(kind: KeyKind, id: string): MintedKey {
  const secret = randomText(BASE62, SECRET_LENGTH)
  const unchecked = `brth_${kind}_${id}_${secret}`
  return { kind, id, secret, text: unchecked + checksumOf(unchecked) }
}

/** A key's public id: 12 characters of `0-9a-z`. */
export function mintKeyId(): string {
  return randomText(ID_ALPHABET, ID_LENGTH)
}

/** Takes a key's text apart, or null when its shape or its checksum is wrong. */
export function parseKey(text: string): ParsedKey | null {
  if (text.length !== KEY_LENGTH) return null
  const match = KEY.exec(text)
  if (match === null) return null
  const [, kind, id, secret, checksum] = match as unknown as [string, KeyKind, string, string, string]
  return checksum === checksumOf(text.slice(0, -CHECKSUM_LENGTH)) ? { kind, id, secret } : null
}

/** How a key is shown after it was made: `brth_k_<id>_…<last four>`. */
export function displayKey(text: string): string {
  const parsed = parseKey(text)
  if (parsed === null) return '…'
  return `brth_${parsed.kind}_${parsed.id}_…${text.slice(-SHOWN_END_LENGTH)}`
}

/**
 * What the database holds instead of the secret: HMAC-SHA-256 under the pepper. The secret is random, so a slow
 * hash would only cost time. The pepper is a KeyObject because a Buffer is imported again with each call.
 */
export function hashSecret(pepper: KeyObject, secret: string): Uint8Array {
  return createHmac('sha256', pepper).update(secret).digest()
}

/** Compares two secret hashes in constant time. */
export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}

function checksumOf(text: string): string {
  let rest = crc32(text)
  let checksum = ''
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    checksum = BASE62.charAt(rest % BASE62.length) + checksum
    rest = Math.floor(rest / BASE62.length)
  }
  return checksum
}

function randomText(alphabet: string, length: number): string {
  let text = ''
  for (let i = 0; i < length; i++) text += alphabet.charAt(randomInt(alphabet.length))
  return text
}

import { createCipheriv, createHash, type Hash } from 'node:crypto'
import { appendFileSync, closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { BodyPart } from './load/plan.ts'

/** Size of the shared pattern, and so of the largest blob. */
export const PATTERN_BYTES = 256 * 1024 * 1024

const UNIQUE_BYTES = 4096
const WRITE_BYTES = 8 * 1024 * 1024

/** A blob that the load generator can send: its digest is known beforehand and its bytes are on disk. */
export interface Blob {
  readonly digest: string
  readonly sizeBytes: number
  readonly parts: readonly BodyPart[]
}

/** The incompressible bytes that all large blobs begin with, in a file, and what is known of their hash. */
export class Pattern {
  readonly path: string
  readonly #prefixes = new Map<number, Hash>()

  /** Writes the pattern, {@link PATTERN_BYTES} long, to the folder. */
  constructor(folder: string) {
    this.path = join(folder, 'pattern')
    const file = openSync(this.path, 'w')
    const next = keyStream('pattern')
    for (let size = 0; size < PATTERN_BYTES; size += WRITE_BYTES) writeSync(file, next(WRITE_BYTES))
    closeSync(file)
  }

  /** A sha256 that has taken the first `sizeBytes` of the pattern; the caller's own to go on with. */
  hash(sizeBytes: number): Hash {
    let hash = this.#prefixes.get(sizeBytes)
    if (hash === undefined) {
      hash = createHash('sha256')
      const next = keyStream('pattern')
      for (let left = sizeBytes; left > 0; left -= WRITE_BYTES) hash.update(next(Math.min(left, WRITE_BYTES)))
      this.#prefixes.set(sizeBytes, hash)
    }
    return hash.copy()
  }
}

/**
 * The bytes that are sent to one server. Large blobs share the pattern and differ in their last 4 KiB, so that the
 * pattern is hashed once however many blobs are made. Two contents of one seed make the same blobs.
 */
export class Content {
  readonly #pattern: Pattern
  readonly #uniquePath: string
  readonly #nextBytes: (sizeBytes: number) => Buffer
  #uniqueSize = 0

  /** Unique bytes go to a file in the folder. */
  constructor(pattern: Pattern, folder: string, seed: number) {
    this.#pattern = pattern
    this.#uniquePath = join(folder, 'unique')
    this.#nextBytes = keyStream(`content ${seed}`)
  }

  /** A new blob of this size, different from every other. */
  blob(sizeBytes: number): Blob {
    if (sizeBytes <= UNIQUE_BYTES) return this.store(this.#nextBytes(sizeBytes))
    const sharedBytes = sizeBytes - UNIQUE_BYTES
    const unique = this.#nextBytes(UNIQUE_BYTES)
    const shared = { path: this.#pattern.path, offsetBytes: 0, sizeBytes: sharedBytes }
    return {
      digest: `sha256:${this.#pattern.hash(sharedBytes).update(unique).digest('hex')}`,
      sizeBytes,
      parts: [shared, ...this.store(unique).parts],
    }
  }

  /** Makes given bytes, a manifest or a config, sendable. */
  store(bytes: Buffer): Blob {
    appendFileSync(this.#uniquePath, bytes)
    const part = { path: this.#uniquePath, offsetBytes: this.#uniqueSize, sizeBytes: bytes.length }
    this.#uniqueSize += bytes.length
    return { digest: digestOf(bytes), sizeBytes: bytes.length, parts: [part] }
  }
}

/** The sha256 digest of bytes in the form `sha256:<hex>`. */
export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** A part of a blob: what one PATCH of a chunked upload sends. */
export function slice(blob: Blob, offsetBytes: number, sizeBytes: number): BodyPart[] {
  const parts: BodyPart[] = []
  let at = 0
  for (const part of blob.parts) {
    const from = Math.max(offsetBytes, at)
    const to = Math.min(offsetBytes + sizeBytes, at + part.sizeBytes)
    if (from < to) {
      parts.push({ path: part.path, offsetBytes: part.offsetBytes + from - at, sizeBytes: to - from })
    }
    at += part.sizeBytes
  }
  return parts
}

/** An endless stream of bytes that look random and depend on the seed only (AES-CTR of zeros). */
function keyStream(seed: string): (sizeBytes: number) => Buffer {
  const key = createHash('sha256').update(`bench ${seed}`).digest()
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  return (sizeBytes) => cipher.update(Buffer.alloc(sizeBytes))
}

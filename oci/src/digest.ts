import { createHash, type Hash } from 'node:crypto'

declare const digestBrand: unique symbol

/** `<algorithm>:<lowercase hex>`, checked against the grammar of its algorithm. Made only by this file. */
export type Digest = string & { readonly [digestBrand]: true }

/** The registered algorithms of the image spec that this registry computes. */
export type DigestAlgorithm = 'sha256' | 'sha512'

/** All algorithms that are supported, the default one first. */
export const DIGEST_ALGORITHMS: readonly DigestAlgorithm[] = ['sha256', 'sha512']

// Image spec, descriptor.md, "Digests" and "Registered Algorithms".
const SUPPORTED_DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/

/** Parses a digest of a supported algorithm, or null. Upper-case hex is refused, as the image spec says. */
export function parseDigest(text: string): Digest | null {
  return SUPPORTED_DIGEST.test(text) ? (text as Digest) : null
}

/** The algorithm before the colon. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** The hex after the colon: 64 or 128 characters. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/**
 * Whether the text has the `algorithm:encoded` form of the image spec, be the algorithm supported or not.
 * Tells "this is a digest that we cannot use" from "this is no digest at all" in error messages.
 */
export function isDigestShaped(text: string): boolean {
  return ANY_DIGEST.test(text)
}

/** Parses the name of a supported algorithm, or null. */
export function parseDigestAlgorithm(text: string): DigestAlgorithm | null {
  return text === 'sha256' || text === 'sha512' ? text : null
}

/** A running digest. `copy` forks it, so that the digest so far can be read while more bytes follow. */
export interface Digester {
  readonly algorithm: DigestAlgorithm
  /** Adds bytes; they may be reused by the caller as soon as this returns. */
  update(chunk: Uint8Array): void
  /** An independent digester over the same bytes so far. */
  copy(): Digester
  /** The digest of all bytes so far. Ends this digester: further calls throw. */
  digest(): Digest
}

/** Starts a digest over no bytes. */
export function createDigester(algorithm: DigestAlgorithm): Digester {
  return digesterOver(algorithm, createHash(algorithm))
}

/** The digest of the given bytes. */
export function digestOf(algorithm: DigestAlgorithm, bytes: Uint8Array): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest
}

function digesterOver(algorithm: DigestAlgorithm, hash: Hash): Digester {
  return {
    algorithm,
    update(chunk) {
      hash.update(chunk)
    },
    copy: () => digesterOver(algorithm, hash.copy()),
    digest: () => `${algorithm}:${hash.digest('hex')}` as Digest,
  }
}

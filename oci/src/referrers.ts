import { type Digest, type DigestAlgorithm, digestAlgorithm, digestHex, parseDigest } from './digest.ts'
import { OCI_IMAGE_INDEX } from './media-type.ts'
import { parseTag, type Tag } from './name.ts'

/** A manifest that has a subject, as it is listed. */
export interface Referrer {
  readonly mediaType: string
  readonly digest: Digest
  /** Length of the manifest in bytes. */
  readonly size: number
  readonly artifactType: string | null
  readonly annotations: Readonly<Record<string, string>> | null
}

/** What a tag of the referrers tag schema points at. A sha512 tag holds only the first half of the hex. */
export interface ReferrersTag {
  readonly algorithm: DigestAlgorithm
  /** 64 characters: all of a sha256 digest, the first half of a sha512 one. */
  readonly hexPrefix: string
  /** The subject's digest when the tag tells it whole. */
  readonly digest: Digest | null
}

const REFERRERS_TAG = /^(sha256|sha512)-([0-9a-f]{64})$/
const TAG_HEX_LENGTH = 64

/**
 * The body of a referrers answer (distribution spec, "Listing Referrers"): an index with the given descriptors in
 * the given order. artifactType and annotations are left out where there are none.
 */
export function buildReferrersIndex(referrers: readonly Referrer[]): Uint8Array {
  const manifests = referrers.map(({ mediaType, digest, size, artifactType, annotations }) => ({
    mediaType,
    digest,
    size,
    ...(artifactType === null ? {} : { artifactType }),
    ...(annotations === null ? {} : { annotations }),
  }))
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_IMAGE_INDEX, manifests }))
}

/** The tag under which clients without the referrers API keep the referrers of a digest ("Referrers Tag Schema"). */
export function formatReferrersTag(subject: Digest): Tag {
  const tag = parseTag(`${digestAlgorithm(subject)}-${digestHex(subject).slice(0, TAG_HEX_LENGTH)}`)
  if (tag === null) throw new TypeError(`no tag for digest ${subject}`)
  return tag
}

/** Reads a tag of the referrers tag schema, or null for any other tag. */
export function parseReferrersTag(tag: string): ReferrersTag | null {
  const match = REFERRERS_TAG.exec(tag)
  const [, algorithm, hexPrefix] = match ?? []
  if (algorithm === undefined || hexPrefix === undefined) return null
  return {
    algorithm: algorithm as DigestAlgorithm,
    hexPrefix,
    digest: parseDigest(`${algorithm}:${hexPrefix}`),
  }
}

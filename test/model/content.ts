import {
  type Blob,
  bytesOf,
  makeBlob,
  makeImage,
  makeIndex,
  type Manifest,
  sha256,
} from '../faults/content.ts'
import { mediaTypes } from '../support/images.ts'

/*
 * A small pool of content that every project pushes: the same digests again and again, so that commands meet.
 */

/** A manifest of the pool, with what lists show of it. */
export type PoolManifest = Manifest & {
  subject: string | null
  artifactType: string | null
  /** Sizes that it claims for what it refers to. */
  layers: readonly Blob[]
}

/** Empty, tiny, at the inline limit, above it, in several writes. */
const SIZES_BYTES = [0, 1, 300, 16_384, 16_385, 60_000, 1_100_000]

export const BLOBS: readonly Blob[] = SIZES_BYTES.map((size) => makeBlob(`pool/${size}`, size))
const BYTES = new Map(BLOBS.map((blob) => [blob.digest, bytesOf(blob)]))

/** Bytes of a blob of the pool. */
export function bytesOfPool(blob: Blob): Buffer {
  const bytes = BYTES.get(blob.digest)
  if (bytes === undefined) throw new Error('not in the pool')
  return bytes
}

export const TAGS = ['latest', 'v1', 'v2'] as const
export const REPOSITORIES = ['app', 'deep/er/web'] as const
const ARTIFACT_TYPES = ['application/vnd.example.sbom', 'application/vnd.example.signature'] as const
export const FILTERS: readonly string[] = [...ARTIFACT_TYPES, 'application/vnd.example.other']

function blob(index: number): Blob {
  return BLOBS[index] as Blob
}

function image(config: number, layers: readonly number[], note: string): PoolManifest {
  const parts = layers.map(blob)
  const manifest = makeImage(blob(config), parts, note)
  return {
    ...manifest,
    subject: null,
    artifactType: mediaTypes.oci.config,
    layers: [blob(config), ...parts],
  }
}

function index(images: readonly PoolManifest[], note: string): PoolManifest {
  return { ...makeIndex(images, note), subject: null, artifactType: null, layers: [] }
}

function artifact(subject: PoolManifest, artifactType: string, layer: number): PoolManifest {
  const describe = ({ digest, sizeBytes }: Blob, mediaType: string) => ({
    mediaType,
    digest,
    size: sizeBytes,
  })
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.oci.manifest,
    artifactType,
    config: describe(blob(2), 'application/vnd.example.config'),
    layers: [describe(blob(layer), 'application/vnd.example.layer')],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.content.byteLength },
  }
  const content = Buffer.from(JSON.stringify(document))
  return {
    mediaType: mediaTypes.oci.manifest,
    digest: sha256(content),
    content,
    blobs: [blob(2).digest, blob(layer).digest],
    children: [],
    subject: subject.digest,
    artifactType,
    layers: [blob(2), blob(layer)],
  }
}

const IMAGES = [
  image(1, [2, 4], 'one'),
  image(2, [3, 5], 'two'),
  image(1, [0, 6], 'three'),
  image(3, [], 'four'),
  image(2, [4, 5, 4], 'five'),
] as const
const INDEXES = [index([IMAGES[0], IMAGES[1]], 'pair'), index([IMAGES[1], IMAGES[2]], 'other pair')] as const
const NESTED = index([INDEXES[0], IMAGES[3]], 'nested')
const ARTIFACTS = [
  artifact(IMAGES[0], ARTIFACT_TYPES[0], 4),
  artifact(IMAGES[0], ARTIFACT_TYPES[1], 1),
  artifact(INDEXES[0], ARTIFACT_TYPES[1], 1),
]

export const MANIFESTS: readonly PoolManifest[] = [...IMAGES, ...INDEXES, NESTED, ...ARTIFACTS]

const BY_DIGEST = new Map(MANIFESTS.map((manifest) => [manifest.digest, manifest]))

/** The manifest of the pool with a digest. Throws when it is not of the pool. */
export function manifestOf(digest: string): PoolManifest {
  const manifest = BY_DIGEST.get(digest)
  if (manifest === undefined) throw new Error(`${digest} is not in the pool`)
  return manifest
}

/** Size of a blob of the pool. */
export function sizeOf(digest: string): number {
  const bytes = BYTES.get(digest)
  if (bytes === undefined) throw new Error(`${digest} is not in the pool`)
  return bytes.byteLength
}

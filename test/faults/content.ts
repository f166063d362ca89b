import { createHash } from 'node:crypto'
import { mediaTypes, seededBytes } from '../support/images.ts'

const types = mediaTypes.oci

/** Content that is made again from its seed instead of being kept. */
export type Blob = { seed: string; sizeBytes: number; digest: string }

/** A manifest with what it refers to. */
export type Manifest = {
  mediaType: string
  digest: string
  content: Buffer
  /** Digests of its config and layers. */
  blobs: readonly string[]
  /** Digests of the manifests that it lists. */
  children: readonly string[]
}

/** `sha256:…` of bytes. */
export function sha256(content: Uint8Array): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

export function makeBlob(seed: string, sizeBytes: number): Blob {
  return { seed, sizeBytes, digest: sha256(seededBytes(seed, sizeBytes)) }
}

export function bytesOf(blob: Blob): Buffer {
  return seededBytes(blob.seed, blob.sizeBytes)
}

/** An image manifest; `note` makes manifests of the same blobs differ. */
export function makeImage(config: Blob, layers: readonly Blob[], note: string): Manifest {
  const document = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: describe(config, types.config),
    layers: layers.map((layer) => describe(layer, types.plainLayer)),
    annotations: { 'org.example.note': note },
  }
  const content = Buffer.from(JSON.stringify(document))
  const blobs = [...new Set([config, ...layers].map(({ digest }) => digest))]
  return { mediaType: types.manifest, digest: sha256(content), content, blobs, children: [] }
}

export function makeIndex(images: readonly Manifest[], note: string): Manifest {
  const document = {
    schemaVersion: 2,
    mediaType: types.index,
    manifests: images.map(({ digest, content }) => ({
      mediaType: types.manifest,
      digest,
      size: content.byteLength,
    })),
    annotations: { 'org.example.note': note },
  }
  const content = Buffer.from(JSON.stringify(document))
  const children = [...new Set(images.map(({ digest }) => digest))]
  return { mediaType: types.index, digest: sha256(content), content, blobs: [], children }
}

function describe(blob: Blob, mediaType: string) {
  return { mediaType, digest: blob.digest, size: blob.sizeBytes }
}

import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

export type Descriptor = {
  mediaType: string
  digest: string
  size: number
  artifactType?: string
  annotations?: Record<string, string>
  platform?: { architecture: string; os: string; variant?: string }
}

/**
 * An OCI image layout on disk (image-spec image-layout.md): what skopeo, crane, oras, regctl and others copy from.
 * It keeps the exact bytes that it is given and knows nothing of what they mean, Docker's types included.
 */
export type Layout = {
  path: string
  /** Stores bytes under their SHA-256 and returns their descriptor. */
  putBlob(mediaType: string, content: Uint8Array): Descriptor
  /** The same for content too big for memory: written as it comes. */
  putStream(mediaType: string, content: Iterable<Uint8Array>): Descriptor
  /** Stores a value as compact JSON. */
  putJson(mediaType: string, value: unknown): Descriptor
  read(digest: string): Buffer
  blobPath(digest: string): string
  /** Lists a descriptor in index.json under a name: `oci:<path>:<name>`. An earlier one of that name is replaced. */
  tag(name: string, descriptor: Descriptor): void
}

const referenceName = 'org.opencontainers.image.ref.name'

/** Makes an empty image layout in a folder (made when absent). */
export function createLayout(path: string): Layout {
  const blobs = join(path, 'blobs', 'sha256')
  mkdirSync(blobs, { recursive: true })
  writeFileSync(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  let manifests: Descriptor[] = []
  const writeIndex = (): void => {
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }
    writeFileSync(join(path, 'index.json'), JSON.stringify(index))
  }
  writeIndex()
  const blobPath = (digest: string): string => join(blobs, digest.replace('sha256:', ''))
  const putBlob = (mediaType: string, content: Uint8Array): Descriptor => {
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
    writeFileSync(blobPath(digest), content)
    return { mediaType, digest, size: content.byteLength }
  }
  return {
    path,
    putBlob,
    putJson: (mediaType, value) => putBlob(mediaType, Buffer.from(JSON.stringify(value))),
    putStream(mediaType, content) {
      const incoming = join(blobs, 'incoming')
      const { digest, size } = writeHashed(incoming, content)
      renameSync(incoming, blobPath(digest))
      return { mediaType, digest, size }
    },
    read: (digest) => readFileSync(blobPath(digest)),
    blobPath,
    tag(name, descriptor) {
      manifests = manifests.filter((entry) => entry.annotations?.[referenceName] !== name)
      manifests.push({ ...descriptor, annotations: { ...descriptor.annotations, [referenceName]: name } })
      writeIndex()
    },
  }
}

/** A blob of a layout as a stream, for uploads. */
export function openBlob(layout: Layout, digest: string): NodeJS.ReadableStream {
  return createReadStream(layout.blobPath(digest), { highWaterMark: 1024 * 1024 })
}

function writeHashed(path: string, content: Iterable<Uint8Array>): { digest: string; size: number } {
  const hash = createHash('sha256')
  const file = openSync(path, 'w')
  let size = 0
  try {
    for (const chunk of content) {
      hash.update(chunk)
      for (let done = 0; done < chunk.byteLength; ) done += writeSync(file, chunk, done)
      size += chunk.byteLength
    }
  } finally {
    closeSync(file)
  }
  return { digest: `sha256:${hash.digest('hex')}`, size }
}

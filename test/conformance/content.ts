import { createHash } from 'node:crypto'

export type Algorithm = 'sha256' | 'sha512'

/** Digest of the bytes, as in a descriptor. */
export function digestOf(algorithm: Algorithm, content: Uint8Array): string {
  return `${algorithm}:${createHash(algorithm).update(content).digest('hex')}`
}

/** The algorithm of a digest. */
export function algorithmOf(digest: string): Algorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

/** Media types, by what this suite calls them. */
export const types = {
  config: 'application/vnd.oci.image.config.v1+json',
  image: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  gzipLayer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  foreignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  foreignGzipLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
  bytes: 'application/octet-stream',
  firstArtifact: 'application/vnd.example.berth.conformance.v1',
  secondArtifact: 'application/vnd.example.berth.conformance.v2',
} as const

/** What a client of the OCI types alone accepts. */
export const acceptOci = `${types.image}, ${types.index}`

export type Descriptor = {
  mediaType: string
  digest: string
  size: number
  artifactType?: string
  annotations?: Record<string, string>
  platform?: { os: string; architecture: string }
  data?: string
  urls?: string[]
}

/** Describes bytes; with `data` it carries them too, in base64. */
export function describeContent(
  content: Buffer,
  mediaType: string,
  { algorithm = 'sha256', withData = false }: { algorithm?: Algorithm; withData?: boolean } = {},
): Descriptor {
  const descriptor = { mediaType, digest: digestOf(algorithm, content), size: content.byteLength }
  return withData ? { ...descriptor, data: content.toString('base64') } : descriptor
}

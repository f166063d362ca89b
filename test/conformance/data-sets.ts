import { gzipSync } from 'node:zlib'
import { seededBytes } from '../support/images.ts'
import { tarArchive } from '../support/tar.ts'
import { type Algorithm, type Descriptor, describeContent, types } from './content.ts'
import type { Manifest } from './pull-checks.ts'

/** A set of content that belongs together, in the order in which it must be pushed. */
export type DataSet = {
  readonly name: string
  readonly algorithm: Algorithm
  readonly blobs: Map<string, Buffer>
  readonly manifests: Manifest[]
  /** Digest by tag. */
  readonly tags: Map<string, string>
  /** What the referrers list of each subject must hold. */
  readonly referrers: Map<string, Descriptor[]>
}

export type Platform = { os: string; architecture: string }

export type ManifestOptions = {
  tag?: string
  subject?: Descriptor
  artifactType?: string
  annotations?: Record<string, string>
  /** Fields that no specification knows. */
  extra?: Record<string, unknown>
}

export type ImageOptions = ManifestOptions & {
  platform?: Platform
  /** Default 2. */
  layers?: number
  isUncompressed?: boolean
  /** Descriptors carry their content. */
  withData?: boolean
}

export const amd64: Platform = { os: 'linux', architecture: 'amd64' }
export const arm64: Platform = { os: 'linux', architecture: 'arm64' }

export function createDataSet(name: string, algorithm: Algorithm = 'sha256'): DataSet {
  return { name, algorithm, blobs: new Map(), manifests: [], tags: new Map(), referrers: new Map() }
}

/** Adds a blob. The same bytes twice are one blob. */
export function addBlob(set: DataSet, content: Buffer, mediaType: string, withData = false): Descriptor {
  const descriptor = describeContent(content, mediaType, { algorithm: set.algorithm, withData })
  set.blobs.set(descriptor.digest, content)
  return descriptor
}

/** Adds a layer with one small file that no other layer has. */
export function addLayer(
  set: DataSet,
  { isUncompressed = false, withData = false }: ImageOptions,
): Descriptor {
  const content = seededBytes(`${set.name}/${set.algorithm}/layer/${set.blobs.size}`, 512)
  const tar = tarArchive([{ type: 'file', path: 'file', content }])
  return isUncompressed
    ? addBlob(set, tar, types.layer, withData)
    : addBlob(set, gzipSync(tar), types.gzipLayer, withData)
}

/**
 * Adds an image with its config and layers. Images of one platform and number of layers have the same config, as
 * often in real life: so a config is shared by several manifests, and pushed again after it was deleted.
 */
export function addImage(set: DataSet, options: ImageOptions = {}): Descriptor {
  const { platform = amd64, layers: layerCount = 2, withData = false, extra = {} } = options
  const layers = Array.from({ length: layerCount }, () => addLayer(set, options))
  const diffIds = layers.map(() => describeContent(tarArchive([]), types.layer).digest)
  const rootfs = { type: 'layers', diff_ids: diffIds }
  const config = addBlob(set, toJson({ ...platform, rootfs, ...extra }), types.config, withData)
  return addImageManifest(set, config, layers, options)
}

/** Adds an artifact: an image manifest with the empty config and one blob of random bytes (or also the empty one). */
export function addArtifact(
  set: DataSet,
  options: ManifestOptions & { blobType?: string; isEmpty?: boolean } = {},
): Descriptor {
  const { blobType = types.firstArtifact, isEmpty = false } = options
  const content = seededBytes(`${set.name}/artifact/${set.blobs.size}`, 2048)
  const config = addBlob(set, Buffer.from('{}'), types.empty)
  const layer = isEmpty ? config : addBlob(set, content, blobType)
  return addImageManifest(set, config, [layer], options)
}

/** Adds an image manifest of descriptors, whether or not the set has their content. */
export function addImageManifest(
  set: DataSet,
  config: Descriptor,
  layers: readonly Descriptor[],
  options: ManifestOptions = {},
): Descriptor {
  const document = { schemaVersion: 2, mediaType: types.image, config, layers }
  return addManifest(set, document, options, options.artifactType ?? config.mediaType)
}

/** Adds an index of descriptors, whether or not the set has their content. */
export function addIndex(
  set: DataSet,
  manifests: readonly Descriptor[],
  options: ManifestOptions = {},
): Descriptor {
  const document = { schemaVersion: 2, mediaType: types.index, manifests }
  return addManifest(set, document, options, options.artifactType)
}

/** An index of one image for each of two platforms. Tag, subject and annotations are the index's own. */
export function addPlatformIndex(set: DataSet, options: ImageOptions = {}): Descriptor {
  const { withData, extra } = options
  const each = { ...(withData === undefined ? {} : { withData }), ...(extra === undefined ? {} : { extra }) }
  const manifests = [amd64, arm64].map((platform) => ({ ...addImage(set, { ...each, platform }), platform }))
  return addIndex(set, manifests, options)
}

/** The descriptor without what only the list of referrers says of it. */
export function bare({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size }
}

function addManifest(
  set: DataSet,
  base: { schemaVersion: number; mediaType: string },
  { tag, subject, artifactType, annotations, extra }: ManifestOptions,
  listedType: string | undefined,
): Descriptor {
  const document = {
    ...base,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject: bare(subject) }),
    ...(annotations === undefined ? {} : { annotations }),
    ...extra,
  }
  const content = toJson(document)
  const descriptor = describeContent(content, base.mediaType, { algorithm: set.algorithm })
  const { mediaType, digest } = descriptor
  set.manifests.push({ digest, mediaType, content, subject: subject?.digest ?? null })
  if (tag !== undefined) set.tags.set(tag, digest)
  if (subject !== undefined) {
    const listed = {
      ...descriptor,
      ...(listedType === undefined ? {} : { artifactType: listedType }),
      ...(annotations === undefined ? {} : { annotations }),
    }
    set.referrers.set(subject.digest, [...(set.referrers.get(subject.digest) ?? []), listed])
  }
  return descriptor
}

function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

import type { Descriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import { objectShape } from './json-shape.ts'
import { MAX_INDEX_ENTRIES, MAX_LAYERS } from './limits.ts'
import {
  DESCRIPTOR_SHAPE,
  hasField,
  type JsonObject,
  ManifestMistake,
  type ManifestMistakeCode,
  readAnnotations,
  readDescriptor,
  readDescriptors,
  readObject,
  readOptionalDescriptor,
  readOptionalMediaType,
  readOptionalString,
} from './manifest-fields.ts'
import {
  isDockerManifestMediaType,
  isDockerSchema1MediaType,
  isIndexMediaType,
  isManifestMediaType,
  isNonDistributableLayer,
  type ManifestMediaType,
  parseMediaType,
} from './media-type.ts'
import { parseStrictJson } from './strict-json.ts'

/** What the registry needs to know of a manifest. The bytes themselves are kept and served as they came. */
export interface ParsedManifest {
  readonly kind: 'image' | 'index'
  readonly mediaType: ManifestMediaType
  /**
   * As the referrers API lists it: an image without one (or with an empty one) has its config's media type, an
   * index without one has none.
   */
  readonly artifactType: string | null
  /** Null for an index. */
  readonly config: Descriptor | null
  /** `layers` of an image, in order, non-distributable ones included. */
  readonly layers: readonly Descriptor[]
  /** `manifests` of an index, in order, whatever their media types. */
  readonly manifests: readonly Descriptor[]
  /** May name a manifest that is not there. Docker's manifests have none. */
  readonly subject: Descriptor | null
  readonly annotations: Readonly<Record<string, string>> | null
  /**
   * The blobs that must be in the repository, each digest once: config and distributable layers of an image, and
   * the entries of an index that are not manifests (BuildKit's cache lists layers that way).
   */
  readonly blobs: readonly Descriptor[]
  /** The entries of an index that must be in the repository as manifests, each digest once. */
  readonly children: readonly Descriptor[]
}

export type ParseManifestResult =
  | { readonly ok: true; readonly manifest: ParsedManifest }
  | { readonly ok: false; readonly code: ManifestMistakeCode; readonly message: string }

const MANIFEST_SHAPE = objectShape({
  schemaVersion: 'integer',
  mediaType: 'any',
  artifactType: 'any',
  config: DESCRIPTOR_SHAPE,
  layers: DESCRIPTOR_SHAPE,
  manifests: DESCRIPTOR_SHAPE,
  subject: DESCRIPTOR_SHAPE,
  annotations: 'map',
  fsLayers: 'any',
})

const SCHEMA1_REFUSED =
  'Docker schema 1 manifests are not supported: push again with Docker 1.10 or newer, or convert the image with ' +
  '"skopeo copy --format v2s2"'

const STORED_MANIFESTS = 'OCI image manifest or index, Docker schema 2 manifest or manifest list'

/**
 * Parses and validates a pushed manifest: OCI image or index, Docker schema 2 manifest or manifest list. Limits:
 * 4 096 layers, 10 000 index entries; the body's size is the caller's to bound. `contentType` is the raw header or
 * null; then the document's own mediaType decides.
 *
 * Refuses what readers would understand in different ways (CVE-2021-41190 and kin): see `parseStrictJson`, a
 * mediaType that is not the Content-Type, fields of an image and of an index in one document, and one digest
 * with two sizes. JSON null counts as an absent field, as it does for Go's readers. Messages name the field.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | null): ParseManifestResult {
  const json = parseStrictJson(bytes, { shape: MANIFEST_SHAPE })
  if (!json.ok)
    return { ok: false, code: 'MANIFEST_INVALID', message: `manifest JSON refused: ${json.reason}` }
  try {
    const document = readObject(json.value, 'manifest')
    const mediaType = decideMediaType(document, contentType)
    checkSchemaVersion(document)
    const read = isIndexMediaType(mediaType) ? readIndex : readImage
    return { ok: true, manifest: read(document, mediaType) }
  } catch (error) {
    if (error instanceof ManifestMistake) return { ok: false, code: error.code, message: error.message }
    throw error
  }
}

function decideMediaType(document: JsonObject, contentType: string | null): ManifestMediaType {
  const declared = contentType === null ? null : parseMediaType(contentType)
  if (contentType !== null && declared === null) throw new ManifestMistake('Content-Type is malformed')
  const written = readOptionalString(document, 'mediaType', '')
  const mediaType = declared ?? written
  if (mediaType === null) {
    throw new ManifestMistake(
      'mediaType is missing and there is no Content-Type to tell what this manifest is',
    )
  }
  if (isDockerSchema1MediaType(mediaType) || (written !== null && isDockerSchema1MediaType(written))) {
    throw new ManifestMistake(SCHEMA1_REFUSED)
  }
  if (!isManifestMediaType(mediaType)) {
    const source = declared === null ? 'mediaType' : `Content-Type ${declared}`
    throw new ManifestMistake(
      `${source} is not that of a manifest that this registry stores (${STORED_MANIFESTS})`,
    )
  }
  if (written !== null && written !== mediaType) {
    throw new ManifestMistake(`mediaType must be the same as Content-Type, which is ${mediaType}`)
  }
  if (written === null && isDockerManifestMediaType(mediaType)) {
    throw new ManifestMistake('mediaType is required in a Docker manifest')
  }
  return mediaType
}

function checkSchemaVersion(document: JsonObject): void {
  if (document['schemaVersion'] === 1 || hasField(document, 'fsLayers'))
    throw new ManifestMistake(SCHEMA1_REFUSED)
  if (document['schemaVersion'] !== 2) throw new ManifestMistake('schemaVersion must be 2')
}

function readImage(document: JsonObject, mediaType: ManifestMediaType): ParsedManifest {
  refuseFields(document, ['manifests'], 'an image manifest')
  const config = readDescriptor(document, 'config')
  const layers = readDescriptors(document, 'layers', MAX_LAYERS)
  const named = [{ path: 'config', descriptor: config }, ...withPaths('layers', layers)]
  const common = readCommon(document, mediaType, named)
  const required = layers.filter((layer) => !isNonDistributableLayer(layer.mediaType))
  return {
    kind: 'image',
    ...common,
    artifactType: common.artifactType ?? config.mediaType,
    config,
    layers,
    manifests: [],
    blobs: onePerDigest([config, ...required]),
    children: [],
  }
}

function readIndex(document: JsonObject, mediaType: ManifestMediaType): ParsedManifest {
  refuseFields(document, ['config', 'layers'], 'an index')
  const manifests = readDescriptors(document, 'manifests', MAX_INDEX_ENTRIES)
  const blobs = manifests.filter(
    (entry) => !isManifestMediaType(entry.mediaType) && !isNonDistributableLayer(entry.mediaType),
  )
  return {
    kind: 'index',
    ...readCommon(document, mediaType, withPaths('manifests', manifests)),
    config: null,
    layers: [],
    manifests,
    blobs: onePerDigest(blobs),
    children: onePerDigest(manifests.filter((entry) => isManifestMediaType(entry.mediaType))),
  }
}

interface NamedDescriptor {
  readonly path: string
  readonly descriptor: Descriptor
}

function readCommon(document: JsonObject, mediaType: ManifestMediaType, named: readonly NamedDescriptor[]) {
  const subject = isDockerManifestMediaType(mediaType) ? null : readOptionalDescriptor(document, 'subject')
  checkSizesAgree(subject === null ? named : [...named, { path: 'subject', descriptor: subject }])
  return {
    mediaType,
    artifactType: readOptionalMediaType(document, 'artifactType', ''),
    subject,
    annotations: readAnnotations(document, ''),
  }
}

function refuseFields(document: JsonObject, names: readonly string[], what: string): void {
  const found = names.find((name) => hasField(document, name))
  if (found === undefined) return
  throw new ManifestMistake(`${found} must not be in ${what}: a document is an image or an index, never both`)
}

/** One digest cannot have two sizes: at least one of the descriptors lies about its content. */
function checkSizesAgree(named: readonly NamedDescriptor[]): void {
  const first = new Map<Digest, NamedDescriptor>()
  for (const current of named) {
    const { digest, size } = current.descriptor
    const earlier = first.get(digest)
    if (earlier === undefined) first.set(digest, current)
    else if (earlier.descriptor.size !== size) {
      throw new ManifestMistake(
        `${current.path}.size differs from ${earlier.path}.size of the same digest`,
        'SIZE_INVALID',
      )
    }
  }
}

function withPaths(name: string, descriptors: readonly Descriptor[]): NamedDescriptor[] {
  return descriptors.map((descriptor, index) => ({ path: `${name}[${index}]`, descriptor }))
}

function onePerDigest(descriptors: readonly Descriptor[]): Descriptor[] {
  const unique = new Map<Digest, Descriptor>()
  for (const descriptor of descriptors) {
    if (!unique.has(descriptor.digest)) unique.set(descriptor.digest, descriptor)
  }
  return [...unique.values()]
}

import { MAX_CONTENT_TYPE_LENGTH } from './limits.ts'

// Image spec, media-types.md.
export const OCI_IMAGE_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_IMAGE_INDEX = 'application/vnd.oci.image.index.v1+json'
export const OCI_IMAGE_CONFIG = 'application/vnd.oci.image.config.v1+json'
export const OCI_LAYER_TAR = 'application/vnd.oci.image.layer.v1.tar'
export const OCI_LAYER_TAR_GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip'
export const OCI_LAYER_TAR_ZSTD = 'application/vnd.oci.image.layer.v1.tar+zstd'
export const OCI_NONDISTRIBUTABLE_TAR = 'application/vnd.oci.image.layer.nondistributable.v1.tar'
export const OCI_NONDISTRIBUTABLE_TAR_GZIP = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'
export const OCI_NONDISTRIBUTABLE_TAR_ZSTD = 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd'
export const OCI_EMPTY_JSON = 'application/vnd.oci.empty.v1+json'

// Docker image manifest version 2, schema 2.
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
export const DOCKER_MANIFEST_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'
export const DOCKER_CONTAINER_CONFIG = 'application/vnd.docker.container.image.v1+json'
export const DOCKER_PLUGIN_CONFIG = 'application/vnd.docker.plugin.v1+json'
export const DOCKER_LAYER_TAR = 'application/vnd.docker.image.rootfs.diff.tar'
export const DOCKER_LAYER_TAR_GZIP = 'application/vnd.docker.image.rootfs.diff.tar.gzip'
export const DOCKER_FOREIGN_LAYER_TAR = 'application/vnd.docker.image.rootfs.foreign.diff.tar'
export const DOCKER_FOREIGN_LAYER_TAR_GZIP = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'

// Docker schema 1: known only to be refused with a message that helps.
export const DOCKER_SCHEMA1_MANIFEST = 'application/vnd.docker.distribution.manifest.v1+json'
export const DOCKER_SCHEMA1_SIGNED_MANIFEST = 'application/vnd.docker.distribution.manifest.v1+prettyjws'

export const OCTET_STREAM = 'application/octet-stream'

/** Media types of manifests that name a config and layers. */
export type ImageManifestMediaType = typeof OCI_IMAGE_MANIFEST | typeof DOCKER_MANIFEST
/** Media types of manifests that name other manifests. */
export type IndexMediaType = typeof OCI_IMAGE_INDEX | typeof DOCKER_MANIFEST_LIST
/** Media types that may be pushed to `/manifests/`. */
export type ManifestMediaType = ImageManifestMediaType | IndexMediaType

const NONDISTRIBUTABLE_LAYERS: ReadonlySet<string> = new Set([
  OCI_NONDISTRIBUTABLE_TAR,
  OCI_NONDISTRIBUTABLE_TAR_GZIP,
  OCI_NONDISTRIBUTABLE_TAR_ZSTD,
  DOCKER_FOREIGN_LAYER_TAR,
  DOCKER_FOREIGN_LAYER_TAR_GZIP,
])

/** Whether the media type is one of an image manifest, OCI or Docker. */
export function isImageManifestMediaType(mediaType: string): mediaType is ImageManifestMediaType {
  return mediaType === OCI_IMAGE_MANIFEST || mediaType === DOCKER_MANIFEST
}

/** Whether the media type is one of an OCI index or a Docker manifest list. */
export function isIndexMediaType(mediaType: string): mediaType is IndexMediaType {
  return mediaType === OCI_IMAGE_INDEX || mediaType === DOCKER_MANIFEST_LIST
}

/** Whether content of this media type is pushed to `/manifests/`, not to `/blobs/`. */
export function isManifestMediaType(mediaType: string): mediaType is ManifestMediaType {
  return isImageManifestMediaType(mediaType) || isIndexMediaType(mediaType)
}

/** Whether the manifest follows Docker's documents rather than OCI's. */
export function isDockerManifestMediaType(mediaType: string): boolean {
  return mediaType === DOCKER_MANIFEST || mediaType === DOCKER_MANIFEST_LIST
}

/** Whether the media type is one of Docker schema 1, which is refused. */
export function isDockerSchema1MediaType(mediaType: string): boolean {
  return mediaType === DOCKER_SCHEMA1_MANIFEST || mediaType === DOCKER_SCHEMA1_SIGNED_MANIFEST
}

/** Whether a layer of this media type need not be in the registry: its licence forbids to push it. */
export function isNonDistributableLayer(mediaType: string): boolean {
  return NONDISTRIBUTABLE_LAYERS.has(mediaType)
}

// RFC 9110 sections 5.6.2, 5.6.4, 5.6.6 and 8.3.1. White space before a parameter is matched together with the
// parameter, so that no run of spaces can be split in two ways and the time stays linear.
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const QUOTED = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"'
const MEDIA_TYPE = new RegExp(
  `^[ \\t]*(${TOKEN}/${TOKEN})(?:[ \\t]*;(?:[ \\t]*${TOKEN}=(?:${TOKEN}|${QUOTED}))?)*[ \\t]*$`,
)

/** The lower-case `type/subtype` of a Content-Type header without its parameters, or null when malformed. */
export function parseMediaType(header: string): string | null {
  if (header.length > MAX_CONTENT_TYPE_LENGTH) return null
  return MEDIA_TYPE.exec(header)?.[1]?.toLowerCase() ?? null
}

import { type Digest, digestOf } from './digest.ts'
import { OCI_IMAGE_CONFIG, OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST, OCI_LAYER_TAR_GZIP } from './media-type.ts'

// Documents for the tests of manifests.

export type Json = Record<string, unknown>

export function digest(text: string): Digest {
  return digestOf('sha256', Buffer.from(text))
}

export function descriptor(text: string, mediaType: string, more: Json = {}): Json {
  return { mediaType, digest: digest(text), size: text.length, ...more }
}

export function image(more: Json = {}): Json {
  return {
    schemaVersion: 2,
    mediaType: OCI_IMAGE_MANIFEST,
    config: descriptor('config', OCI_IMAGE_CONFIG),
    layers: [descriptor('layer0', OCI_LAYER_TAR_GZIP), descriptor('layer1', OCI_LAYER_TAR_GZIP)],
    ...more,
  }
}

export function index(more: Json = {}): Json {
  return {
    schemaVersion: 2,
    mediaType: OCI_IMAGE_INDEX,
    manifests: [
      descriptor('amd64', OCI_IMAGE_MANIFEST, { platform: { architecture: 'amd64', os: 'linux' } }),
    ],
    ...more,
  }
}

export function without(object: Json, name: string): Json {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name))
}

export function bytes(document: Json | string): Uint8Array {
  return Buffer.from(typeof document === 'string' ? document : JSON.stringify(document))
}

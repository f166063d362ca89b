import type { Blob, Content } from './content.ts'
import type { PlannedRequest } from './load/plan.ts'
import {
  headBlob,
  headMissingManifest,
  MANIFEST_TYPE,
  putManifest,
  pushMonolithic,
  pushStreamed,
  type Target,
} from './requests.ts'

/** An image as it is pushed. */
export interface Image {
  readonly config: Blob
  readonly layers: readonly Blob[]
  readonly manifest: Blob
}

/** A new image, with a config of its own and one new layer for each size given. */
export function makeImage(content: Content, layerSizesBytes: readonly number[]): Image {
  const layers = layerSizesBytes.map((sizeBytes) => content.blob(sizeBytes))
  const config = content.store(
    Buffer.from(
      JSON.stringify({
        created: '2025-01-01T00:00:00Z',
        architecture: 'amd64',
        os: 'linux',
        config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin'], Cmd: ['/bin/sh'] },
        rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.digest) },
        history: layers.map(() => ({ created: '2025-01-01T00:00:00Z', created_by: 'COPY . /app' })),
      }),
    ),
  )
  const manifest = content.store(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST_TYPE,
        config: descriptor('application/vnd.oci.image.config.v1+json', config),
        layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', layer)),
      }),
    ),
  )
  return { config, layers, manifest }
}

/** What containerd sends for a new image: HEAD, POST, PUT for each blob, HEAD and PUT of the manifest. */
export function pushLikeContainerd(target: Target, image: Image, tag: string): PlannedRequest[] {
  return [
    ...[...image.layers, image.config].flatMap((blob) => [
      headBlob(target, blob, false),
      ...pushMonolithic(target, blob),
    ]),
    headMissingManifest(target, tag),
    putManifest(target, tag, image.manifest),
  ]
}

/** What docker sends for a new image: HEAD, POST, PATCH, PUT and HEAD again for each blob, PUT of the manifest. */
export function pushLikeDocker(target: Target, image: Image, tag: string): PlannedRequest[] {
  return [
    ...[...image.layers, image.config].flatMap((blob) => [
      headBlob(target, blob, false),
      ...pushStreamed(target, blob),
      headBlob(target, blob, true),
    ]),
    putManifest(target, tag, image.manifest),
  ]
}

/** What docker sends when all of the image is there already: HEAD of each blob, PUT of the manifest. */
export function pushAgain(target: Target, image: Image, tag: string): PlannedRequest[] {
  return [
    ...[...image.layers, image.config].map((blob) => headBlob(target, blob, true)),
    putManifest(target, tag, image.manifest),
  ]
}

function descriptor(mediaType: string, blob: Blob): object {
  return { mediaType, digest: blob.digest, size: blob.sizeBytes }
}

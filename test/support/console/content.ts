import { randomBytes } from 'node:crypto'
import { digestOf } from '@berth/oci/digest'
import {
  OCI_IMAGE_CONFIG,
  OCI_IMAGE_INDEX,
  OCI_IMAGE_MANIFEST,
  OCI_LAYER_TAR_GZIP,
} from '@berth/oci/media-type'
import { commitBlob } from '../../../server/src/metastore/queries/blob.ts'
import { pushManifest } from '../../../server/src/metastore/queries/manifest.ts'
import type { WriteContext } from '../../../server/src/metastore/queries/write-context.ts'
import type { ControlRegion } from '../../../server/src/control/runtime.ts'

/*
 * Content of a region as the registry would have left it, made with the registry's own commands.
 */

export interface PushedImage {
  readonly digest: string
  readonly sizeBytes: number
  readonly layerDigests: readonly string[]
}

interface Target {
  readonly region: ControlRegion
  readonly projectId: string
  readonly path: string
}

const LEASE_MS = 24 * 3_600_000

async function context({ region, projectId }: Target): Promise<WriteContext> {
  return { guard: null, projectId, actor: 'key-of-a-test', requestId: 'push', nowMs: await region.db.nowMs() }
}

/** Stores content in the database, as for small blobs, and answers its descriptor. */
export async function storeBlob(target: Target, content: Uint8Array, mediaType: string) {
  const digest = digestOf('sha256', content)
  const result = await target.region.db.run(commitBlob, {
    ...(await context(target)),
    path: target.path,
    digest,
    sizeBytes: content.byteLength,
    storageKey: null,
    content,
    leaseMs: LEASE_MS,
  })
  if (!result.ok) throw new Error(result.reason)
  return { mediaType, digest, size: content.byteLength }
}

/** Pushes an image with a config and random layers (or the given ones). */
export async function pushImage(
  target: Target,
  options: {
    readonly tags?: readonly string[]
    readonly layers?: readonly Uint8Array[]
    readonly annotations?: Readonly<Record<string, string>>
    readonly subject?: { readonly digest: string; readonly sizeBytes: number; readonly mediaType: string }
    readonly artifactType?: string
  } = {},
): Promise<PushedImage> {
  const config = await storeBlob(target, Buffer.from(JSON.stringify(CONFIG)), OCI_IMAGE_CONFIG)
  const layers = []
  for (const layer of options.layers ?? [randomBytes(100), randomBytes(200)]) {
    layers.push(await storeBlob(target, layer, OCI_LAYER_TAR_GZIP))
  }
  const { annotations, subject, artifactType } = options
  const document = {
    schemaVersion: 2,
    mediaType: OCI_IMAGE_MANIFEST,
    ...(artifactType === undefined ? {} : { artifactType }),
    config,
    layers,
    ...(subject === undefined
      ? {}
      : { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.sizeBytes } }),
    ...(annotations === undefined ? {} : { annotations }),
  }
  const pushed = await pushDocument(target, document, {
    kind: 'image',
    mediaType: OCI_IMAGE_MANIFEST,
    tags: options.tags ?? [],
    blobs: [config, ...layers].map(({ digest, size }) => ({ digest, sizeBytes: size })),
    children: [],
    subjectDigest: subject?.digest ?? null,
    artifactType: artifactType ?? OCI_IMAGE_CONFIG,
    annotations: annotations === undefined ? null : JSON.stringify(annotations),
  })
  return { ...pushed, layerDigests: layers.map(({ digest }) => digest) }
}

/** Pushes an index over images that were pushed to the same repository. */
export async function pushIndex(
  target: Target,
  images: readonly PushedImage[],
  tags: readonly string[],
): Promise<{ digest: string; sizeBytes: number }> {
  const manifests = images.map(({ digest, sizeBytes }, i) => ({
    mediaType: OCI_IMAGE_MANIFEST,
    digest,
    size: sizeBytes,
    platform: { os: 'linux', architecture: i === 0 ? 'amd64' : 'arm64' },
  }))
  const document = { schemaVersion: 2, mediaType: OCI_IMAGE_INDEX, manifests }
  return pushDocument(target, document, {
    kind: 'index',
    mediaType: OCI_IMAGE_INDEX,
    tags,
    blobs: [],
    children: images,
    subjectDigest: null,
    artifactType: null,
    annotations: null,
  })
}

type Rest = Omit<
  Parameters<typeof pushManifest.execute>[1],
  keyof WriteContext | 'path' | 'digest' | 'content' | 'optionalBlobs' | 'allowSparse' | 'immutable'
>

async function pushDocument(target: Target, document: object, rest: Rest) {
  const content = Buffer.from(JSON.stringify(document))
  const digest = digestOf('sha256', content)
  const result = await target.region.db.run(pushManifest, {
    ...(await context(target)),
    ...rest,
    path: target.path,
    digest,
    content,
    optionalBlobs: [],
    allowSparse: false,
    immutable: [],
  })
  if (!result.ok) throw new Error(result.reason)
  return { digest, sizeBytes: content.byteLength }
}

const CONFIG = {
  created: '2026-01-02T03:04:05Z',
  os: 'linux',
  architecture: 'amd64',
  config: {
    User: 'nobody',
    Entrypoint: ['/bin/web'],
    Cmd: ['--listen'],
    Env: ['A=b'],
    ExposedPorts: { '80/tcp': {} },
    Labels: { team: 'web' },
  },
}

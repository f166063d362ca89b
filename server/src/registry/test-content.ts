import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type Digest, type DigestAlgorithm, digestOf } from '@berth/oci/digest'
import { DOCKER_MANIFEST, OCI_EMPTY_JSON, OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from '@berth/oci/media-type'
import type { CallAnswer, CallOptions, TestRegion } from './test-region.ts'

/* Test support: content, pushed as a client pushes it. */

/** Something that was pushed. */
export interface Pushed {
  readonly content: Buffer
  readonly digest: Digest
  readonly mediaType: string
  /** As other documents refer to it. */
  readonly descriptor: { mediaType: string; digest: Digest; size: number }
}

/** Describes content without pushing it. */
export function describeContent(
  content: Buffer,
  mediaType: string,
  algorithm: DigestAlgorithm = 'sha256',
): Pushed {
  const digest = digestOf(algorithm, content)
  return { content, digest, mediaType, descriptor: { mediaType, digest, size: content.byteLength } }
}

/** Pushes a blob, random if no content is given, to a repository such as `acme/web`. */
export async function pushBlob(
  region: TestRegion,
  repository: string,
  content: Buffer = randomBytes(64),
  options: CallOptions = {},
): Promise<Pushed> {
  const blob = describeContent(content, 'application/octet-stream')
  const answer = await region.call('POST', `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`, {
    ...options,
    body: content,
  })
  assert.equal(answer.status, 201, answer.body.toString())
  return blob
}

/** An image manifest over the given parts, not pushed. */
export function imageManifest(
  config: Pushed,
  layers: readonly Pushed[],
  more: object = {},
  mediaType: string = OCI_IMAGE_MANIFEST,
): Pushed {
  const document = {
    schemaVersion: 2,
    mediaType,
    config: { ...config.descriptor, mediaType: configType(mediaType) },
    layers: layers.map((layer) => layer.descriptor),
    ...more,
  }
  return describeContent(Buffer.from(JSON.stringify(document)), mediaType)
}

function configType(mediaType: string): string {
  return mediaType === DOCKER_MANIFEST ? 'application/vnd.docker.container.image.v1+json' : OCI_EMPTY_JSON
}

/** An index over the given manifests, not pushed. */
export function imageIndex(manifests: readonly Pushed[], more: object = {}): Pushed {
  const document = {
    schemaVersion: 2,
    mediaType: OCI_IMAGE_INDEX,
    manifests: manifests.map((manifest) => manifest.descriptor),
    ...more,
  }
  return describeContent(Buffer.from(JSON.stringify(document)), OCI_IMAGE_INDEX)
}

/** PUTs a manifest by tag or digest; the answer is for the caller to look at. */
export function putManifest(
  region: TestRegion,
  repository: string,
  reference: string,
  manifest: Pushed,
  options: CallOptions = {},
): Promise<CallAnswer> {
  return region.call('PUT', `/v2/${repository}/manifests/${reference}`, {
    body: manifest.content,
    ...options,
    headers: { 'Content-Type': manifest.mediaType, ...options.headers },
  })
}

/** Pushes an image with fresh random content and answers its manifest. */
export async function pushImage(
  region: TestRegion,
  repository: string,
  reference?: string,
  more: object = {},
): Promise<Pushed & { readonly config: Pushed; readonly layer: Pushed }> {
  const config = await pushBlob(region, repository)
  const layer = await pushBlob(region, repository)
  const manifest = imageManifest(config, [layer], more)
  const answer = await putManifest(region, repository, reference ?? manifest.digest, manifest)
  assert.equal(answer.status, 201, answer.body.toString())
  return { ...manifest, config, layer }
}

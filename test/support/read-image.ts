import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Descriptor } from './layout.ts'

/** Every manifest type that a registry may be asked for. */
export const manifestAccept = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

export type ImageSource = {
  /** `http://host:port` */
  url: string
  /** Full name, namespace included. */
  repository: string
  authorization?: string
}

export type ReadImage = {
  digest: string
  mediaType: string
  /** Exact bytes of the manifest. */
  content: Buffer
  /** Digests of all manifests below it, and of all blobs, each once. */
  manifests: string[]
  blobs: string[]
  blobBytes: number
}

type ManifestBody = {
  config?: Descriptor
  layers?: Descriptor[]
  manifests?: Descriptor[]
}

/**
 * Reads everything that a tag or digest leads to and checks each byte of it: manifests of an index, configs, layers.
 * Throws an assertion error for content that is missing or is not what its descriptor says.
 */
export async function readImage(source: ImageSource, reference: string): Promise<ReadImage> {
  const { content, digest, mediaType } = await readManifest(source, reference)
  const read: ReadImage = { digest, mediaType, content, manifests: [], blobs: [], blobBytes: 0 }
  await readBelow(source, JSON.parse(content.toString()) as ManifestBody, read)
  return read
}

/** What a tag resolves to, or null when there is no such tag (or no such repository for this caller). */
export async function resolveTag(source: ImageSource, tag: string): Promise<string | null> {
  const response = await fetch(`${source.url}/v2/${source.repository}/manifests/${tag}`, {
    method: 'HEAD',
    headers: headersOf(source),
  })
  if (response.status === 404) return null
  assert.equal(response.status, 200, `HEAD ${source.repository}:${tag}`)
  return response.headers.get('docker-content-digest')
}

async function readBelow(source: ImageSource, body: ManifestBody, read: ReadImage): Promise<void> {
  for (const child of body.manifests ?? []) {
    if (read.manifests.includes(child.digest)) continue
    const { content } = await readManifest(source, child.digest)
    assert.equal(content.byteLength, child.size, `size of ${child.digest}`)
    read.manifests.push(child.digest)
    await readBelow(source, JSON.parse(content.toString()) as ManifestBody, read)
  }
  for (const blob of [...(body.config ? [body.config] : []), ...(body.layers ?? [])]) {
    if (read.blobs.includes(blob.digest)) continue
    await readBlob(source, blob)
    read.blobs.push(blob.digest)
    read.blobBytes += blob.size
  }
}

async function readManifest(
  source: ImageSource,
  reference: string,
): Promise<{ content: Buffer; digest: string; mediaType: string }> {
  const response = await fetch(`${source.url}/v2/${source.repository}/manifests/${reference}`, {
    headers: headersOf(source),
  })
  const content = Buffer.from(await response.arrayBuffer())
  assert.equal(response.status, 200, `GET ${source.repository} ${reference}: ${content.toString()}`)
  const digest = response.headers.get('docker-content-digest') as string
  assert.equal(digest, `sha256:${createHash('sha256').update(content).digest('hex')}`)
  if (reference.startsWith('sha256:')) assert.equal(digest, reference)
  return { content, digest, mediaType: response.headers.get('content-type') as string }
}

async function readBlob(source: ImageSource, blob: Descriptor): Promise<void> {
  const response = await fetch(`${source.url}/v2/${source.repository}/blobs/${blob.digest}`, {
    headers: headersOf(source),
  })
  assert.equal(response.status, 200, `GET ${source.repository} ${blob.digest}`)
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    hash.update(chunk)
    sizeBytes += chunk.byteLength
  }
  assert.deepEqual([`sha256:${hash.digest('hex')}`, sizeBytes], [blob.digest, blob.size])
}

function headersOf({ authorization }: ImageSource): Record<string, string> {
  return { accept: manifestAccept, ...(authorization === undefined ? {} : { authorization }) }
}

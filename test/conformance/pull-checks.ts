import assert from 'node:assert/strict'
import { type Blob, blobPath, type Target } from './blob-push.ts'
import { locationOf, type Reply, withQuery } from './client.ts'
import { acceptOci } from './content.ts'
import { expectContent, expectDigestHeader, expectError, expectLength, expectStatus } from './expect.ts'

/** A manifest as it is pushed. With a digest that is not that of its bytes in the cases about that. */
export type Manifest = { digest: string; mediaType: string; content: Buffer; subject: string | null }

export function manifestPath(repository: string, reference: string): string {
  return `/v2/${repository}/manifests/${reference}`
}

export async function checkBlobHead(
  { client, repository, isDev }: Target,
  { digest, content }: Blob,
): Promise<void> {
  const reply = await client.request('HEAD', blobPath(repository, digest))
  expectStatus(reply, 200)
  expectLength(reply, content.byteLength)
  expectDigestHeader(reply, digest, isDev)
  assert.equal(reply.body.byteLength, 0)
}

export async function checkBlobGet(
  { client, repository, isDev }: Target,
  { digest, content }: Blob,
): Promise<void> {
  const reply = await client.request('GET', blobPath(repository, digest))
  expectStatus(reply, 200)
  expectContent(reply, content)
  expectDigestHeader(reply, digest, isDev)
}

/** Deleted at once: a HEAD directly afterwards finds nothing. */
export async function checkBlobDelete({ client, repository }: Target, digest: string): Promise<void> {
  expectStatus(await client.request('DELETE', blobPath(repository, digest)), 202)
  expectStatus(await client.request('HEAD', blobPath(repository, digest)), 404)
}

/** PUT by tag or digest, then GET of what Location names. `tags` are sent as tag parameters. */
export async function pushManifest(
  { client, repository, isDev }: Target,
  manifest: Manifest,
  reference: string,
  tags: readonly string[] = [],
): Promise<void> {
  const path = tags.reduce((url, tag) => withQuery(url, { tag }), manifestPath(repository, reference))
  const headers = { 'content-type': manifest.mediaType }
  const reply = await client.request('PUT', path, { headers, body: manifest.content })
  expectStatus(reply, 201)
  expectDigestHeader(reply, manifest.digest, isDev)
  if (manifest.subject !== null) assert.equal(reply.headers['oci-subject'], manifest.subject)
  for (const tag of tags) assert.ok(namedTags(reply).includes(tag), `OCI-Tag names ${tag}`)
  const pulled = await client.request('GET', locationOf(reply), { headers: { accept: acceptOci } })
  expectManifest(pulled, manifest, isDev)
  expectContent(pulled, manifest.content)
}

/** The tags of OCI-Tag: comma lists, repeated fields, or both. */
export function namedTags(reply: Reply): string[] {
  return (reply.fields['oci-tag'] ?? []).flatMap((value) => value.split(',')).map((tag) => tag.trim())
}

export async function checkManifestHead(
  { client, repository, isDev }: Target,
  manifest: Manifest,
  reference: string,
): Promise<void> {
  const headers = { accept: acceptOci }
  const reply = await client.request('HEAD', manifestPath(repository, reference), { headers })
  expectManifest(reply, manifest, isDev)
  assert.equal(reply.body.byteLength, 0)
}

export async function checkManifestGet(
  { client, repository, isDev }: Target,
  manifest: Manifest,
  reference: string,
): Promise<void> {
  const headers = { accept: acceptOci }
  const reply = await client.request('GET', manifestPath(repository, reference), { headers })
  expectManifest(reply, manifest, isDev)
  expectContent(reply, manifest.content)
}

/** DELETE of a tag or digest; gone at once. What was never there may answer 404 to the DELETE. */
export async function checkManifestDelete(
  { client, repository }: Target,
  reference: string,
  isThere = true,
): Promise<void> {
  const reply = await client.request('DELETE', manifestPath(repository, reference))
  if (isThere) expectStatus(reply, 202)
  else expectError(reply, 404, 'MANIFEST_UNKNOWN')
  expectStatus(await client.request('HEAD', manifestPath(repository, reference)), 404)
}

function expectManifest(reply: Reply, { digest, mediaType, content }: Manifest, isDev: boolean): void {
  expectStatus(reply, 200)
  assert.equal(reply.headers['content-type'], mediaType)
  expectLength(reply, content.byteLength)
  expectDigestHeader(reply, digest, isDev)
}

import assert from 'node:assert/strict'
import { type Client, locationOf, type Reply, withQuery } from './client.ts'
import { digestOf, types } from './content.ts'
import { expectContent, expectDigestHeader, expectError, expectStatus } from './expect.ts'

/** Where a case pushes to, and by which version of the spec it judges. */
export type Target = {
  client: Client
  repository: string
  /** 1.1+dev: Docker-Content-Digest is required, uploads can be cancelled. */
  isDev: boolean
}

/** Content and the digest that it is pushed as, which is a wrong one in the cases about that. */
export type Blob = { digest: string; content: Buffer }

export type ChunkOptions = {
  /** The last chunk rides in the closing PUT. */
  putLastChunk?: boolean
  /** Each chunk is tried at a wrong offset first. */
  outOfOrder?: boolean
}

const leastChunkBytes = 1024
const bytesType = { 'content-type': types.bytes }

export function uploadsPath(repository: string): string {
  return `/v2/${repository}/blobs/uploads/`
}

export function blobPath(repository: string, digest: string): string {
  return `/v2/${repository}/blobs/${digest}`
}

/** POST with the whole blob ("Single POST" of the spec). */
export async function pushPostOnly(target: Target, blob: Blob): Promise<void> {
  const path = withQuery(uploadsPath(target.repository), { digest: blob.digest })
  const reply = await target.client.request('POST', path, { headers: bytesType, body: blob.content })
  await expectPushed(target, blob, reply)
}

/** POST, then PUT with the whole blob. */
export async function pushPostPut(target: Target, blob: Blob): Promise<void> {
  const location = await startUpload(target)
  await putWhole(target, blob, location)
}

/** POST, one PATCH without Content-Range in chunked transfer coding, and an empty PUT. */
export async function pushStream(target: Target, blob: Blob): Promise<void> {
  const location = await startUpload(target)
  const half = Math.ceil(blob.content.byteLength / 2)
  const body = [blob.content.subarray(0, half), blob.content.subarray(half)]
  const reply = await target.client.request('PATCH', location, { headers: bytesType, body })
  expectStatus(reply, 202)
  await closeUpload(target, blob, locationOf(reply))
}

/** POST, a PATCH with Content-Range for each chunk, and the closing PUT. */
export async function pushChunked(target: Target, blob: Blob, options: ChunkOptions = {}): Promise<void> {
  const { client, repository } = target
  const { content } = blob
  const started = await client.request('POST', uploadsPath(repository))
  expectStatus(started, 202)
  const minBytes = Number(started.headers['oci-chunk-min-length'] ?? 0)
  const chunkBytes = Math.max(Math.floor(content.byteLength / 3) + 1, minBytes, leastChunkBytes)
  let location = locationOf(started)
  const { putLastChunk = false, outOfOrder = false } = options
  for (let start = 0; start < content.byteLength; start += chunkBytes) {
    const chunk = content.subarray(start, start + chunkBytes)
    const at = { start, chunkBytes, putLastChunk }
    if (outOfOrder) location = await tryWrongOffset(target, blob, location, at)
    if (putLastChunk && start + chunkBytes >= content.byteLength) {
      return closeUpload(target, blob, location, { start, chunk })
    }
    const reply = await client.request('PATCH', location, chunkRequest(start, chunk))
    expectStatus(reply, 202)
    location = locationOf(reply)
  }
  await closeUpload(target, blob, location)
}

/** POST with `mount`: with `from`, or leaving the search to the registry. 202 starts an upload instead. */
export async function requestMount(target: Target, digest: string, from: string | null): Promise<Reply> {
  const parameters = { mount: digest, ...(from === null ? {} : { from }) }
  return target.client.request('POST', withQuery(uploadsPath(target.repository), parameters))
}

/** Starts an upload and answers its URL. */
export async function startUpload({ client, repository }: Target): Promise<URL> {
  const reply = await client.request('POST', uploadsPath(repository))
  expectStatus(reply, 202)
  return locationOf(reply)
}

/** PUT of a whole blob to an upload that has no bytes yet. */
export async function putWhole(target: Target, blob: Blob, location: URL): Promise<void> {
  const path = withQuery(location, { digest: blob.digest })
  const reply = await target.client.request('PUT', path, { headers: bytesType, body: blob.content })
  await expectPushed(target, blob, reply)
}

/** What every way of pushing must end with: 201 and a Location with the bytes, or a refusal that leaves nothing. */
export async function expectPushed(target: Target, blob: Blob, reply: Reply): Promise<void> {
  const { client, repository, isDev } = target
  const { digest, content } = blob
  if (digest !== digestOf(digest.startsWith('sha512:') ? 'sha512' : 'sha256', content)) {
    expectError(reply, 400, 'DIGEST_INVALID')
    expectStatus(await client.request('HEAD', blobPath(repository, digest)), 404)
    return
  }
  expectStatus(reply, 201)
  expectDigestHeader(reply, digest, isDev)
  const pulled = await client.request('GET', locationOf(reply))
  expectStatus(pulled, 200)
  expectContent(pulled, content)
}

async function closeUpload(
  target: Target,
  blob: Blob,
  location: URL,
  last: { start: number; chunk: Buffer } | null = null,
): Promise<void> {
  const path = withQuery(location, { digest: blob.digest })
  const request = last === null ? {} : chunkRequest(last.start, last.chunk)
  await expectPushed(target, blob, await target.client.request('PUT', path, request))
}

/**
 * A chunk that does not start where the upload stands, ahead of it or at the beginning again, is refused, and the
 * upload can be asked where it stands.
 */
async function tryWrongOffset(
  { client }: Target,
  { digest, content }: Blob,
  location: URL,
  at: { start: number; chunkBytes: number; putLastChunk: boolean },
): Promise<URL> {
  const ahead = at.start + at.chunkBytes
  const wrongStart = ahead < content.byteLength ? ahead : 0
  const wrong = chunkRequest(wrongStart, content.subarray(wrongStart, wrongStart + at.chunkBytes))
  const isLast = wrongStart + at.chunkBytes >= content.byteLength
  const refused =
    at.putLastChunk && isLast
      ? await client.request('PUT', withQuery(location, { digest }), wrong)
      : await client.request('PATCH', location, wrong)
  expectStatus(refused, 416)
  const status = await client.request('GET', location)
  expectStatus(status, 204)
  const range = String(status.headers['range'])
  assert.match(range, /^0-\d+$/)
  if (at.start > 0) assert.equal(range, `0-${at.start - 1}`)
  return locationOf(status)
}

function chunkRequest(start: number, chunk: Buffer) {
  const range = `${start}-${start + chunk.byteLength - 1}`
  return { headers: { ...bytesType, 'content-range': range }, body: chunk }
}

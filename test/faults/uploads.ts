import assert from 'node:assert/strict'
import type { Answer, Client } from './client.ts'
import { type Blob, bytesOf } from './content.ts'

/** The ways a client can send a blob. */
export const uploadMethods = ['at once', 'one put', 'chunks', 'chunks and a last put'] as const
export type UploadMethod = (typeof uploadMethods)[number]

/** An upload session with what was acknowledged of it. */
export type OpenUpload = {
  location: string
  blob: Blob
  repository: string
  acknowledgedBytes: number
  /** Where it stands if the request without an answer was carried out. */
  possibleBytes: number
}

/**
 * Sends a blob in one of the ways. Answers the closing answer, or the first one that refuses. `onClosing` is called
 * before the request that may make the blob.
 */
export async function sendBlob(
  client: Client,
  repository: string,
  blob: Blob,
  method: UploadMethod,
  onClosing: () => void = () => {},
): Promise<Answer> {
  const body = bytesOf(blob)
  const octets = { 'content-type': 'application/octet-stream' }
  if (method === 'at once') {
    onClosing()
    const path = `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`
    return client.send('POST', path, { body, headers: octets })
  }
  const start = await startUpload(client, repository, blob)
  if ('refusal' in start) return start.refusal
  const { upload } = start
  if (method === 'one put') {
    onClosing()
    return client.send('PUT', withDigest(upload.location, blob.digest), { body, headers: octets })
  }
  const lastBytes = method === 'chunks' ? 0 : Math.ceil(blob.sizeBytes / 3)
  const chunkBytes = Math.max(1, Math.ceil((blob.sizeBytes - lastBytes) / 2))
  while (upload.acknowledgedBytes < blob.sizeBytes - lastBytes) {
    const sizeBytes = Math.min(chunkBytes, blob.sizeBytes - lastBytes - upload.acknowledgedBytes)
    const answer = await sendChunk(client, upload, sizeBytes)
    if (answer.status !== 202) return answer
  }
  onClosing()
  return finishUpload(client, upload)
}

/** POST: opens a session. */
export async function startUpload(
  client: Client,
  repository: string,
  blob: Blob,
): Promise<{ upload: OpenUpload } | { refusal: Answer }> {
  const answer = await client.send('POST', `/v2/${repository}/blobs/uploads/`)
  if (answer.status !== 202) return { refusal: answer }
  return { upload: openedUpload(answer, repository, blob) }
}

/** The session of a 202 answer. */
export function openedUpload(answer: Answer, repository: string, blob: Blob): OpenUpload {
  const location = answer.headers.get('location')
  assert.ok(location, 'a 202 without Location')
  return { location, blob, repository, acknowledgedBytes: 0, possibleBytes: 0 }
}

/** PATCH: the next bytes. Keeps what was acknowledged. */
export async function sendChunk(client: Client, upload: OpenUpload, sizeBytes: number): Promise<Answer> {
  const { acknowledgedBytes: start, blob } = upload
  const end = start + sizeBytes
  upload.possibleBytes = end
  const answer = await client.send('PATCH', upload.location, {
    body: bytesOf(blob).subarray(start, end),
    headers: { 'content-type': 'application/octet-stream', 'content-range': `${start}-${end - 1}` },
  })
  if (answer.status === 202) {
    upload.location = answer.headers.get('location') ?? upload.location
    upload.acknowledgedBytes = end
    assert.equal(answer.headers.get('range'), `0-${end - 1}`)
  } else upload.possibleBytes = start
  return answer
}

/** PUT: what is left, and the digest. */
export function finishUpload(client: Client, upload: OpenUpload): Promise<Answer> {
  const { blob, acknowledgedBytes } = upload
  const url = withDigest(upload.location, blob.digest)
  if (acknowledgedBytes === blob.sizeBytes) return client.send('PUT', url)
  return client.send('PUT', url, {
    body: bytesOf(blob).subarray(acknowledgedBytes),
    headers: {
      'content-type': 'application/octet-stream',
      'content-range': `${acknowledgedBytes}-${blob.sizeBytes - 1}`,
    },
  })
}

/** GET of the session: null when the registry does not know it, else how many bytes it has. */
export async function askUpload(client: Client, upload: OpenUpload): Promise<number | null> {
  const answer = await client.send('GET', upload.location)
  if (answer.status === 404) return null
  assert.equal(answer.status, 204, `state of an upload: ${answer.status} ${answer.text}`)
  const last = /^0-(\d+)$/.exec(answer.headers.get('range') ?? '')?.[1]
  assert.ok(last !== undefined, `state of an upload: Range ${answer.headers.get('range')}`)
  // The header cannot say "none": before the first byte it is 0-0 too.
  const offsetBytes = Number(last) + 1
  return offsetBytes === 1 && upload.possibleBytes !== 1 && upload.acknowledgedBytes !== 1 ? 0 : offsetBytes
}

function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
}

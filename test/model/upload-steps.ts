import assert from 'node:assert/strict'
import type { Credential, KeyModel } from './access-model.ts'
import { UNAUTHORIZED } from './access-model.ts'
import { bytesOfPool } from './content.ts'
import { blobAt, DENIED, type Expected, type UploadModel } from './registry-model.ts'
import { INLINE_LIMIT_BYTES } from './server.ts'
import { assertAnswer, type ProjectState, refusalOf, type Resolved, send, type World } from './world.ts'

/** Ways to push a blob. */
export const PUSH_METHODS = ['at once', 'at once, streamed', 'put', 'chunks', 'streamed chunks'] as const
export type PushMethod = (typeof PUSH_METHODS)[number]

const UPLOAD_UNKNOWN: Expected = { status: 404, code: 'BLOB_UPLOAD_UNKNOWN' }
const DIGEST_INVALID: Expected = { status: 400, code: 'DIGEST_INVALID' }
const WRONG_OFFSET: Expected = { status: 416, code: 'BLOB_UPLOAD_INVALID' }

/** Pushes a blob of the pool, each answer compared. Whether it is there afterwards. */
export async function pushBlob(
  world: World,
  who: Resolved,
  place: { path: string; blobIndex: number },
  method: PushMethod,
): Promise<boolean> {
  if (method.startsWith('at once')) {
    const answer = await pushAtOnce(world, who, place, { isStreamed: method === 'at once, streamed' })
    return answer === 201
  }
  const upload = await startUpload(world, who, place)
  if (upload === null) return false
  const sizeBytes = blobAt(place.blobIndex).sizeBytes
  if (method === 'put') return finishUpload(world, who, upload, { isWhole: true })
  const isStreamed = method === 'streamed chunks'
  for (const lengthBytes of [Math.floor(sizeBytes / 2), Math.ceil(sizeBytes / 2)]) {
    if (!(await sendChunk(world, who, upload, { lengthBytes, isStreamed }))) return false
  }
  return finishUpload(world, who, upload, { isWhole: true })
}

async function pushAtOnce(
  world: World,
  who: Resolved,
  { path, blobIndex }: { path: string; blobIndex: number },
  { isStreamed = false, revoke }: { isStreamed?: boolean; revoke?: () => Promise<void> },
): Promise<number> {
  const { model } = who.target
  const blob = blobAt(blobIndex)
  const url = `/v2/${model.namespace}/${path}/blobs/uploads/?digest=${blob.digest}`
  const refused = refusalOf(world, who, { path, action: 'push' })
  const options = { body: bytesOfPool(blob), isStreamed, midway: revoke }
  const answer = await send(world, who.credential, 'POST', url, options)
  const expected = refused ?? (revoke === undefined ? commitAtOnce() : UNAUTHORIZED)
  assertAnswer(answer, expected, `POST of ${blob.sizeBytes} bytes at once`)
  if (answer.status === 201) assertBlobHeaders(answer.headers, model.namespace, path, blob.digest)
  return answer.status

  function commitAtOnce(): Expected {
    const isInline = !isStreamed && blob.sizeBytes <= INLINE_LIMIT_BYTES
    if (!isInline) {
      const started = model.startUpload({
        repository: path,
        keyId: who.credential.key.id,
        blobIndex,
        reservedBytes: blob.sizeBytes,
      })
      if (started.status !== 202) return started
    }
    return model.commitBlob(path, blob.digest)
  }
}

/** Opens a session for a blob; null when it is refused. */
export async function startUpload(
  world: World,
  who: Resolved,
  { path, blobIndex, query = '' }: { path: string; blobIndex: number; query?: string },
): Promise<UploadModel | null> {
  const { model } = who.target
  const session = { repository: path, keyId: who.credential.key.id, blobIndex, reservedBytes: 0 }
  const expected = refusalOf(world, who, { path, action: 'push' }) ?? model.startUpload(session)
  const url = `/v2/${model.namespace}/${path}/blobs/uploads/${query}`
  const answer = await send(world, who.credential, 'POST', url)
  assertAnswer(answer, expected, `start of an upload ${query}`)
  if (answer.status !== 202) return null
  assert.equal(answer.headers['range'], '0-0')
  const upload = {
    ...session,
    location: String(answer.headers['location']),
    offsetBytes: 0,
    hasDigest: false,
    expiresAtMs: model.uploadExpiry(),
  }
  model.openUpload(upload)
  return upload
}

/** What is answered to a request about a session before anything else, null when it goes on. */
function sessionRefusal(world: World, who: Resolved, upload: UploadModel): Expected | null {
  const { model } = who.target
  const exists = model.uploads.includes(upload)
  const isOwn = who.credential.key.id === upload.keyId
  const need = { path: upload.repository, action: 'push' as const, ownRunningUpload: exists && isOwn }
  const refused = refusalOf(world, who, need)
  if (refused !== null) return refused
  return !exists || !isOwn || model.isExpired(upload) ? UPLOAD_UNKNOWN : null
}

/** Raises the session's reservation; false when the quota forbids it. */
function reserve({ model }: ProjectState, upload: UploadModel, toBytes: number): boolean {
  if (model.quotaBytes === null || toBytes <= upload.reservedBytes) return true
  if (!model.mayReserve(toBytes, upload)) return false
  upload.reservedBytes = toBytes
  return true
}

type Chunk = { lengthBytes: number; isStreamed?: boolean; offsetShiftBytes?: number }

/** PATCH of the next bytes of the blob. Whether it was taken. */
export async function sendChunk(
  world: World,
  who: Resolved,
  upload: UploadModel,
  { lengthBytes, isStreamed = false, offsetShiftBytes }: Chunk,
): Promise<boolean> {
  const { target, credential } = who
  const bytes = bytesOfPool(blobAt(upload.blobIndex))
  const body = bytes.subarray(upload.offsetBytes, upload.offsetBytes + lengthBytes)
  const start = upload.offsetBytes + (offsetShiftBytes ?? 0)
  // Without a length the reservation depends on how the bytes arrive.
  const streams = isStreamed && target.model.quotaBytes === null
  const headers =
    offsetShiftBytes === undefined || body.byteLength === 0
      ? {}
      : { 'Content-Range': `${start}-${start + body.byteLength - 1}` }
  const isShifted = 'Content-Range' in headers && offsetShiftBytes !== 0
  const expected = sessionRefusal(world, who, upload) ?? takeChunk()
  const options = { body, headers, isStreamed: streams }
  const answer = await send(world, credential, 'PATCH', upload.location, options)
  assertAnswer(answer, expected, `PATCH of ${body.byteLength} bytes at ${start}`)
  if (expected.status === 202 || expected.status === 416) assertRange(answer.headers, upload)
  return answer.status === 202

  function takeChunk(): Expected {
    if (isShifted) return WRONG_OFFSET
    if (!reserve(target, upload, upload.offsetBytes + body.byteLength)) return DENIED
    upload.offsetBytes += body.byteLength
    upload.hasDigest = true
    upload.expiresAtMs = target.model.uploadExpiry()
    return { status: 202 }
  }
}

/** PUT with the rest of the blob, or without it, which does not have the digest. Whether the blob is there. */
export async function finishUpload(
  world: World,
  who: Resolved,
  upload: UploadModel,
  { isWhole, revoke }: { isWhole: boolean; revoke?: () => Promise<void> },
): Promise<boolean> {
  const { target, credential } = who
  const { model } = target
  const blob = blobAt(upload.blobIndex)
  const rest = bytesOfPool(blob).subarray(upload.offsetBytes)
  const body = isWhole ? rest : rest.subarray(0, 0)
  const isRight = isWhole || rest.byteLength === 0
  const url = `${upload.location}?digest=${blob.digest}`
  const expected = sessionRefusal(world, who, upload) ?? finish()
  const answer = await send(world, credential, 'PUT', url, { body, midway: revoke })
  assertAnswer(answer, expected, `PUT of the last ${body.byteLength} bytes`)
  if (answer.status === 201) {
    assertBlobHeaders(answer.headers, model.namespace, upload.repository, blob.digest)
  }
  return answer.status === 201

  function finish(): Expected {
    const isStored = body.byteLength === 0 && upload.hasDigest
    const isReserved = isStored || reserve(target, upload, upload.offsetBytes + body.byteLength)
    model.closeUpload(upload)
    if (!isReserved) return DENIED
    if (!isRight) return DIGEST_INVALID
    return revoke === undefined ? model.commitBlob(upload.repository, blob.digest) : UNAUTHORIZED
  }
}

/** GET of a session's state. */
export async function askUpload(world: World, who: Resolved, upload: UploadModel): Promise<void> {
  const expected = sessionRefusal(world, who, upload) ?? { status: 204 }
  const answer = await send(world, who.credential, 'GET', upload.location)
  assertAnswer(answer, expected, 'status of an upload')
  if (answer.status === 204) assertRange(answer.headers, upload)
}

/** DELETE of a session. */
export async function cancelUpload(world: World, who: Resolved, upload: UploadModel): Promise<void> {
  const refused = sessionRefusal(world, who, upload)
  const answer = await send(world, who.credential, 'DELETE', upload.location)
  assertAnswer(answer, refused ?? { status: 204 }, 'cancel of an upload')
  if (refused === null) who.target.model.closeUpload(upload)
}

/** A key is revoked while the last bytes of its upload are on their way: nothing of it may be committed. */
export async function revokeMidUpload(
  world: World,
  target: ProjectState,
  key: KeyModel,
  place: { path: string; blobIndex: number },
  { isAtOnce, revoke }: { isAtOnce: boolean; revoke: () => Promise<void> },
): Promise<void> {
  const credential: Credential = { kind: 'key', key, version: 1 }
  const who = { credential, target }
  if (isAtOnce) {
    const fits = target.model.startUpload({
      repository: place.path,
      keyId: key.id,
      blobIndex: place.blobIndex,
      reservedBytes: blobAt(place.blobIndex).sizeBytes,
    })
    // A quota that is full is told before the body is asked for.
    if (fits.status === 202) await pushAtOnce(world, who, place, { revoke })
    return
  }
  const upload = await startUpload(world, who, place)
  if (upload === null) return
  if (!target.model.mayReserve(blobAt(place.blobIndex).sizeBytes, upload)) return
  await finishUpload(world, who, upload, { isWhole: true, revoke })
}

function assertRange(headers: Readonly<Record<string, unknown>>, { offsetBytes }: UploadModel): void {
  assert.equal(headers['range'], `0-${Math.max(0, offsetBytes - 1)}`, 'Range of an upload')
}

function assertBlobHeaders(
  headers: Readonly<Record<string, unknown>>,
  namespace: string,
  path: string,
  digest: string,
): void {
  assert.equal(headers['docker-content-digest'], digest)
  assert.equal(headers['location'], `/v2/${namespace}/${path}/blobs/${digest}`)
}

import { type Digest, digestAlgorithm, digestOf } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import type { UploadState } from '../blobstore/blobstore.ts'
import type { UploadSessionRow } from '../metastore/session-store.ts'
import { type Answer, emptyAnswer } from './answer.ts'
import { bodyLength, type Exchange } from './exchange.ts'
import type { Grant } from './grant.ts'
import { NO_STORE } from './headers.ts'
import { mount } from './mount.ts'
import type { ServedRegion } from './region.ts'
import { readBody } from './request-body.ts'
import type { RepositoryRequest, RepositoryTarget, SessionRequest } from './request.ts'
import { announcedLength, checkSize, receiveBody } from './upload-body.ts'
import { commitUpload } from './upload-commit.ts'
import type { UploadContent } from './upload-content.ts'
import {
  discardSession,
  type HeldSession,
  holdSession,
  sessionHeaders,
  startSession,
} from './upload-session.ts'

type StartRequest = Extract<RepositoryRequest, { kind: 'upload-start' }>
type Of<Kind extends SessionRequest['kind']> = Extract<SessionRequest, { kind: Kind }> & {
  readonly repository: RepositoryTarget
}

/**
 * POST of an upload: mounts when that was asked for and can be done, takes the whole blob when its digest was given,
 * else opens a session. Errors: DENIED (quota, disk), TOOMANYREQUESTS, DIGEST_INVALID, SIZE_INVALID, UNAUTHORIZED.
 */
export async function startUpload(
  region: ServedRegion,
  exchange: Exchange,
  request: StartRequest,
  grant: Grant,
): Promise<Answer> {
  const { repository, digest, algorithm } = request
  if (request.mount !== null) {
    const mounted = await mount(region, exchange, request, request.mount, grant)
    if (mounted !== null) return mounted
  } else if (digest !== null) {
    return uploadAtOnce(region, exchange, repository, grant, digest)
  }
  const session = await startSession(region, repository, grant, { algorithm, reservedBytes: 0 })
  return emptyAnswer(202, { ...sessionHeaders(repository, session.id, 0), ...NO_STORE })
}

async function uploadAtOnce(
  region: ServedRegion,
  exchange: Exchange,
  repository: RepositoryTarget,
  grant: Grant,
  digest: Digest,
): Promise<Answer> {
  const lengthBytes = bodyLength(exchange.req)
  const { inlineLimitBytes, maxBlobBytes } = region.limits
  // Before anything is reserved: a length of 2^63 is a number that no database column takes.
  checkSize(lengthBytes ?? 0, maxBlobBytes)
  if (lengthBytes !== null && lengthBytes <= inlineLimitBytes) {
    // Small content needs no session: nothing of it is anywhere before it is committed.
    await region.freeSpace.requireForUpload()
    const tooLarge = () => new OciError('SIZE_INVALID', 'the body is longer than announced')
    const content = await readBody(exchange, inlineLimitBytes, tooLarge)
    checkDigest(digest, digestOf(digestAlgorithm(digest), content))
    const upload = { offsetBytes: content.byteLength, pending: content, storageState: null }
    return commitUpload(region, exchange, repository, grant, digest, upload)
  }
  const algorithm = digestAlgorithm(digest)
  const session = await startSession(region, repository, grant, {
    algorithm,
    reservedBytes: lengthBytes ?? 0,
  })
  try {
    return await finishSession(region, exchange, repository, grant, session, digest)
  } catch (error) {
    await discardSession(region, session)
    throw error
  }
}

/** PATCH of an upload: appends one chunk. Errors: BLOB_UPLOAD_UNKNOWN, BLOB_UPLOAD_INVALID (416), SIZE_INVALID, DENIED. */
export async function patchUpload(
  region: ServedRegion,
  exchange: Exchange,
  { repository }: Of<'upload-patch'>,
  grant: Grant,
  seen: UploadSessionRow,
): Promise<Answer> {
  const announcedBytes = announcedLength(exchange, repository, seen)
  const held = await holdSession(region, exchange, repository, seen)
  try {
    const offsetBytes = await appendChunk(region, exchange, grant, held, announcedBytes)
    return emptyAnswer(202, { ...sessionHeaders(repository, seen.id, offsetBytes), ...NO_STORE })
  } catch (error) {
    await releaseSession(region, held)
    throw error
  } finally {
    held.stop()
  }
}

async function appendChunk(
  region: ServedRegion,
  exchange: Exchange,
  grant: Grant,
  held: HeldSession,
  announcedBytes: number | null,
): Promise<number> {
  const { session, owner } = held
  const appender = await receiveBody(region, exchange, grant, held, {
    algorithm: session.algorithm,
    announcedBytes,
  })
  const content = await appender.finish()
  const saved = await region.sessions.saveProgress(session.id, owner, {
    offsetBytes: content.offsetBytes,
    digestSoFar: appender.digester.copy().digest(),
    pending: content.pending,
    storageState: content.storageState,
    expiresAt: region.clock.nowMs() + region.limits.uploadTtlMs,
  })
  if (!saved) {
    // Cancelled while the chunk came: what it left in the store belongs to nobody.
    await discardContent(region, content)
    throw new OciError('BLOB_UPLOAD_UNKNOWN')
  }
  region.hashStates.keep(session.id, { digester: appender.digester, offsetBytes: content.offsetBytes })
  return content.offsetBytes
}

async function discardContent(region: ServedRegion, content: UploadContent): Promise<void> {
  if (content.storageState !== null) await region.blobs.cancelUpload(content.storageState)
}

/** PUT of an upload: an optional last chunk, then the blob. Errors as PATCH, and DIGEST_INVALID, which ends the upload. */
export async function putUpload(
  region: ServedRegion,
  exchange: Exchange,
  { repository, digest }: Of<'upload-put'>,
  grant: Grant,
  seen: UploadSessionRow,
): Promise<Answer> {
  return finishSession(region, exchange, repository, grant, seen, digest)
}

async function finishSession(
  region: ServedRegion,
  exchange: Exchange,
  repository: RepositoryTarget,
  grant: Grant,
  seen: UploadSessionRow,
  digest: Digest,
): Promise<Answer> {
  const announcedBytes = announcedLength(exchange, repository, seen)
  const held = await holdSession(region, exchange, repository, seen)
  const { session } = held
  try {
    const content = await receiveLast(region, exchange, grant, held, digest, announcedBytes)
    const answer = await commitUpload(region, exchange, repository, grant, digest, content)
    region.hashStates.drop(session.id)
    await forgetSession(region, session.id)
    return answer
  } catch (error) {
    if (endsUpload(error)) await discardSession(region, session)
    else await releaseSession(region, held)
    throw error
  } finally {
    held.stop()
  }
}

/** Receives the closing request's body, if any, and checks the digest of everything. */
async function receiveLast(
  region: ServedRegion,
  exchange: Exchange,
  grant: Grant,
  held: HeldSession,
  digest: Digest,
  announcedBytes: number | null,
): Promise<UploadContent> {
  const { session } = held
  const algorithm = digestAlgorithm(digest)
  if (bodyLength(exchange.req) === 0 && session.digest_so_far !== null && algorithm === session.algorithm) {
    checkDigest(digest, session.digest_so_far)
    return {
      offsetBytes: session.offset_bytes,
      pending: session.pending,
      storageState: session.storage_state as UploadState | null,
    }
  }
  const appender = await receiveBody(region, exchange, grant, held, { algorithm, announcedBytes })
  const content = await appender.finish()
  try {
    checkDigest(digest, appender.digester.digest())
  } catch (error) {
    await discardContent(region, content)
    throw error
  }
  return content
}

function checkDigest(expected: Digest, actual: string): void {
  if (actual === expected) return
  throw new OciError('DIGEST_INVALID', 'the content does not have this digest', {
    detail: { expected, actual },
  })
}

/** Errors after which trying to close the same upload again cannot succeed. */
function endsUpload(error: unknown): boolean {
  return (
    error instanceof OciError &&
    (error.code === 'DIGEST_INVALID' || error.code === 'UNAUTHORIZED' || error.code === 'DENIED')
  )
}

/** The error that made this necessary is what the client must hear of; a hold that stays ends by itself. */
async function releaseSession(region: ServedRegion, { session, owner }: HeldSession): Promise<void> {
  try {
    await region.sessions.release(session.id, owner)
  } catch (error) {
    region.log.warn({ err: error, sessionId: session.id }, 'an upload session could not be released')
  }
}

/** The blob is acknowledged whether or not this works; a session that stays is swept when it expires. */
async function forgetSession(region: ServedRegion, sessionId: string): Promise<void> {
  try {
    await region.sessions.remove(sessionId)
  } catch (error) {
    region.log.warn({ err: error, sessionId }, 'a finished upload session could not be removed')
  }
}

/** GET of an upload: where it stands. */
export function answerUploadStatus({ repository }: Of<'upload-status'>, session: UploadSessionRow): Answer {
  return emptyAnswer(204, { ...sessionHeaders(repository, session.id, session.offset_bytes), ...NO_STORE })
}

/** DELETE of an upload. A chunk that is being written meanwhile fails at its end. */
export async function cancelUpload(region: ServedRegion, session: UploadSessionRow): Promise<Answer> {
  await discardSession(region, session)
  return emptyAnswer(204, NO_STORE)
}

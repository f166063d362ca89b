import type { DigestAlgorithm } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import { parseContentRange } from '@berth/oci/range'
import type { UploadSessionRow } from '../metastore/session-store.ts'
import { bodyLength, type Exchange, header } from './exchange.ts'
import type { Grant } from './grant.ts'
import { RESERVE_STEP_BYTES } from './limits.ts'
import { formatBytes } from './refusals.ts'
import type { ServedRegion } from './region.ts'
import type { RepositoryTarget } from './request.ts'
import { consumeBody } from './request-body.ts'
import { openAppender, type UploadAppender } from './upload-content.ts'
import { type HeldSession, loadQuotaLeft, noQuotaLeft, wrongOffset } from './upload-session.ts'

/**
 * Length of the chunk that the request announces, null when it does not. Throws BLOB_UPLOAD_INVALID for a malformed
 * Content-Range, 416 when it begins elsewhere than where the upload stands, SIZE_INVALID when it contradicts
 * Content-Length.
 */
export function announcedLength(
  exchange: Exchange,
  repository: RepositoryTarget,
  session: UploadSessionRow,
): number | null {
  const contentLengthBytes = bodyLength(exchange.req)
  const text = header(exchange.req, 'content-range')
  if (text === undefined) return contentLengthBytes
  const range = parseContentRange(text)
  if (range === null) throw new OciError('BLOB_UPLOAD_INVALID', 'Content-Range is malformed')
  if (range.start !== session.offset_bytes) {
    throw wrongOffset(repository, session, `the upload stands at byte ${session.offset_bytes}`)
  }
  const lengthBytes = range.end - range.start + 1
  if (contentLengthBytes !== null && contentLengthBytes !== lengthBytes) {
    throw new OciError('SIZE_INVALID', 'Content-Length and Content-Range disagree')
  }
  return lengthBytes
}

/**
 * Appends the request's body to a held session, hashing as it comes. The caller finishes or aborts the appender that
 * is returned; after an error here it is aborted already and the session is as before.
 *
 * Errors: SIZE_INVALID (413 when the blob is too large), DENIED (quota), BLOB_UPLOAD_UNKNOWN when the session was
 * cancelled meanwhile, UNSUPPORTED (408) when it comes too slowly, and `ClientGone`.
 */
export async function receiveBody(
  region: ServedRegion,
  exchange: Exchange,
  grant: Grant,
  held: HeldSession,
  chunk: { algorithm: DigestAlgorithm; announcedBytes: number | null },
): Promise<UploadAppender> {
  const { session } = held
  const { announcedBytes } = chunk
  const { maxBlobBytes, inlineLimitBytes } = region.limits
  checkSize(session.offset_bytes + (announcedBytes ?? 0), maxBlobBytes)
  const reservation = createReservation(region, grant, session)
  if (announcedBytes !== null) await reservation?.raise(session.offset_bytes + announcedBytes)

  const digester = await region.hashStates.open(session, chunk.algorithm)
  const appender = openAppender(region.blobs, session, digester, inlineLimitBytes)
  exchange.metrics.activeTransfers.inc({ direction: 'in' })
  try {
    const receivedBytes = await consumeBody(exchange, (bytes) => {
      if (!held.isHeld()) throw new OciError('BLOB_UPLOAD_UNKNOWN')
      const offsetBytes = appender.offsetBytes + bytes.byteLength
      checkSize(offsetBytes, maxBlobBytes)
      if (reservation === null || offsetBytes <= reservation.reservedBytes()) return appender.append(bytes)
      return reservation.raiseStep(offsetBytes).then(() => appender.append(bytes))
    })
    if (announcedBytes !== null && receivedBytes !== announcedBytes) {
      throw new OciError('SIZE_INVALID', `${announcedBytes} bytes were announced, ${receivedBytes} came`)
    }
  } catch (error) {
    await appender.abort()
    throw error
  } finally {
    exchange.metrics.activeTransfers.dec({ direction: 'in' })
  }
  return appender
}

/** Throws SIZE_INVALID (413) for a blob that is larger than blobs may be. */
export function checkSize(sizeBytes: number, maxBlobBytes: number): void {
  if (sizeBytes <= maxBlobBytes) return
  throw new OciError('SIZE_INVALID', `a blob may have at most ${formatBytes(maxBlobBytes)}`, { status: 413 })
}

interface Reservation {
  reservedBytes(): number
  /** Throws DENIED when the quota does not allow it. */
  raise(toBytes: number): Promise<void>
  /** The same in larger steps, for a body of unknown length. */
  raiseStep(toBytes: number): Promise<void>
}

/** The part of the quota that a session holds; null when the project has no quota. */
function createReservation(
  region: ServedRegion,
  grant: Grant,
  session: UploadSessionRow,
): Reservation | null {
  if (grant.project.quotaBytes === null) return null
  let reservedBytes = session.reserved_bytes

  async function tryRaise(toBytes: number): Promise<boolean> {
    const { leftBytes } = await loadQuotaLeft(region, grant)
    if (!(await region.sessions.reserve(session.id, toBytes, leftBytes))) return false
    reservedBytes = toBytes
    return true
  }

  async function raise(toBytes: number): Promise<void> {
    if (toBytes <= reservedBytes || (await tryRaise(toBytes))) return
    throw noQuotaLeft(await loadQuotaLeft(region, grant), toBytes)
  }

  return {
    reservedBytes: () => reservedBytes,
    raise,
    // Near the end of the quota a whole step may be too much while the next bytes are not.
    raiseStep: async (toBytes) => {
      if (!(await tryRaise(toBytes + RESERVE_STEP_BYTES))) await raise(toBytes)
    },
  }
}

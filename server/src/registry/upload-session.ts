import { randomUUID } from 'node:crypto'
import type { DigestAlgorithm } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import { formatUploadRange } from '@berth/oci/range'
import type { UploadState } from '../blobstore/blobstore.ts'
import { loadUsage, type ProjectUsage, TOTAL_PER_QUOTA } from '../metastore/queries/usage.ts'
import type { UploadSessionRow } from '../metastore/session-store.ts'
import type { Exchange } from './exchange.ts'
import type { Grant } from './grant.ts'
import { CLAIM_MS, CLAIM_RENEW_MS, TOO_MANY_UPLOADS_RETRY_SECONDS } from './limits.ts'
import { overQuota, trashFull } from './refusals.ts'
import type { ServedRegion } from './region.ts'
import type { RepositoryTarget } from './request.ts'

/** What of its quota a project has left, not counting reservations; `leftBytes` is null without a quota. */
export interface QuotaLeft extends ProjectUsage {
  readonly leftBytes: number | null
}

/** Looks what of its quota a project has left; its trash may take away some of it. Errors: NAME_UNKNOWN. */
export async function loadQuotaLeft(region: ServedRegion, { project }: Grant): Promise<QuotaLeft> {
  if (project.quotaBytes === null) return { leftBytes: null, usedBytes: 0, trashedBytes: 0, quotaBytes: null }
  const usage = await loadUsage(region.db.reader, project.id)
  if (usage === null) throw new OciError('NAME_UNKNOWN')
  const { quotaBytes, usedBytes, trashedBytes } = usage
  if (quotaBytes === null) return { leftBytes: null, ...usage }
  const leftInAllBytes = quotaBytes * TOTAL_PER_QUOTA - usedBytes - trashedBytes
  return { leftBytes: Math.min(quotaBytes - usedBytes, leftInAllBytes), ...usage }
}

/** DENIED for an upload that the quota, or the trash, leaves no room for. */
export function noQuotaLeft(quota: QuotaLeft, neededBytes: number): OciError {
  const { usedBytes, trashedBytes } = quota
  const quotaBytes = quota.quotaBytes ?? 0
  const isTrash = usedBytes + neededBytes <= quotaBytes && trashedBytes > quotaBytes * (TOTAL_PER_QUOTA - 1)
  return isTrash ? trashFull(quota, neededBytes) : overQuota(quota, neededBytes)
}

/**
 * Starts an upload session with a reservation of `reservedBytes`. Errors: DENIED (quota, disk), TOOMANYREQUESTS when
 * the key has too many open uploads.
 */
export async function startSession(
  region: ServedRegion,
  repository: RepositoryTarget,
  grant: Grant,
  upload: { algorithm: DigestAlgorithm; reservedBytes: number },
): Promise<UploadSessionRow> {
  await region.freeSpace.requireForUpload()
  const quota = await loadQuotaLeft(region, grant)
  if (quota.leftBytes !== null && quota.leftBytes <= 0) throw noQuotaLeft(quota, upload.reservedBytes)
  const nowMs = region.clock.nowMs()
  const row: UploadSessionRow = {
    id: randomUUID(),
    project_id: grant.project.id,
    repository_path: repository.path,
    credential_id: credentialOf(grant),
    algorithm: upload.algorithm,
    offset_bytes: 0,
    digest_so_far: null,
    pending: null,
    storage_state: null,
    reserved_bytes: upload.reservedBytes,
    claimed_by: null,
    claimed_until: null,
    created_at: nowMs,
    expires_at: nowMs + region.limits.uploadTtlMs,
  }
  const maxPerCredential = region.limits.maxUploadsPerKey
  const outcome = await region.sessions.create(row, { quotaLeftBytes: quota.leftBytes, maxPerCredential })
  if (outcome === 'created') return row
  if (outcome === 'over_quota') throw noQuotaLeft(quota, upload.reservedBytes)
  throw new OciError('TOOMANYREQUESTS', `this key has ${maxPerCredential} uploads open already`, {
    headers: { 'Retry-After': String(TOO_MANY_UPLOADS_RETRY_SECONDS) },
    detail: { limit: 'uploads', maxUploads: maxPerCredential },
  })
}

/** Key id of the grant's principal. Only keys can push, so there is always one. */
export function credentialOf({ principal }: Grant): string {
  return principal.kind === 'key' ? principal.keyId : 'anonymous'
}

/** Whether a session was started by this principal for this repository: for anybody else it does not exist. */
export function isOwnSession(session: UploadSessionRow, repository: RepositoryTarget, grant: Grant): boolean {
  return (
    session.project_id === grant.project.id &&
    session.repository_path === repository.path &&
    session.credential_id === credentialOf(grant)
  )
}

/** A session held for one writer. */
export interface HeldSession {
  readonly session: UploadSessionRow
  readonly owner: string
  /** False once another writer could have taken the session. */
  isHeld(): boolean
  /** Stops renewing; does not release. */
  stop(): void
}

/**
 * Takes the session for this request, so that of two writers exactly one goes on. The hold is renewed while the
 * request runs. Throws 416 with the session's state when another request holds it or has moved it on meanwhile, and
 * BLOB_UPLOAD_UNKNOWN when it is gone.
 */
export async function holdSession(
  region: ServedRegion,
  exchange: Exchange,
  repository: RepositoryTarget,
  seen: UploadSessionRow,
): Promise<HeldSession> {
  const owner = exchange.requestId
  const nowMs = region.clock.nowMs()
  const session = await region.sessions.claim(seen.id, {
    owner,
    nowMs,
    untilMs: nowMs + CLAIM_MS,
    expectedOffsetBytes: seen.offset_bytes,
  })
  if (session === null) {
    const current = await region.sessions.load(seen.id)
    if (current === null) throw new OciError('BLOB_UPLOAD_UNKNOWN')
    throw wrongOffset(repository, current, 'another request is writing to this upload')
  }
  let held = true
  const timer = setInterval(() => {
    region.sessions.renewClaim(session.id, owner, region.clock.nowMs() + CLAIM_MS).then(
      (renewed) => {
        if (!renewed) held = false
      },
      () => {
        held = false
      },
    )
  }, CLAIM_RENEW_MS)
  timer.unref()
  return { session, owner, isHeld: () => held, stop: () => clearInterval(timer) }
}

/** 416: the chunk does not begin where the upload stands, which the headers say. */
export function wrongOffset(
  repository: RepositoryTarget,
  session: UploadSessionRow,
  message: string,
): OciError {
  return new OciError('BLOB_UPLOAD_INVALID', message, {
    status: 416,
    headers: sessionHeaders(repository, session.id, session.offset_bytes),
    detail: { offset: session.offset_bytes },
  })
}

/** Headers that tell where an upload is and what it holds. */
export function sessionHeaders(
  { name }: RepositoryTarget,
  sessionId: string,
  offsetBytes: number,
): Record<'Location' | 'Range' | 'Docker-Upload-UUID', string> {
  return {
    Location: `/v2/${name}/blobs/uploads/${sessionId}`,
    Range: formatUploadRange(offsetBytes),
    'Docker-Upload-UUID': sessionId,
  }
}

/** Removes a session and whatever it left in the blob store. What fails here is swept later. */
export async function discardSession(
  region: ServedRegion,
  session: Pick<UploadSessionRow, 'id' | 'storage_state'>,
): Promise<void> {
  region.hashStates.drop(session.id)
  await region.sessions.remove(session.id)
  if (session.storage_state !== null) {
    await region.blobs.cancelUpload(session.storage_state as UploadState)
  }
}

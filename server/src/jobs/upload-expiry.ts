import { randomUUID } from 'node:crypto'
import type { BlobStore, UploadState } from '../blobstore/blobstore.ts'
import type { Database } from '../metastore/database.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { UploadSessionStore } from '../metastore/session-store.ts'
import type { Logger } from '../telemetry/log.ts'

export interface UploadExpiryOptions {
  readonly regionId: string
  readonly db: Database<RegionSchema>
  readonly sessions: UploadSessionStore
  readonly blobs: BlobStore
  /** Unfinished bytes in the blob store that no session knows are dropped after this age. */
  readonly orphanAgeMs: number
  readonly log: Logger
}

const LIMITS = {
  sessionsPerRun: 500,
  orphansPerRun: 500,
  /** How long the collector holds an expired session while it drops its bytes. */
  claimMs: 60_000,
} as const

/** Collects upload sessions that expired: first their bytes, then the session with its quota reservation. */
export async function expireUploads(options: UploadExpiryOptions, signal: AbortSignal): Promise<number> {
  const { db, sessions, blobs, log, regionId } = options
  const nowMs = await db.nowMs()
  let collected = 0
  for (const session of await sessions.listExpired(nowMs, LIMITS.sessionsPerRun)) {
    if (signal.aborted) break
    // Claimed like a writer would, so that a chunk that arrives at this moment and the collector exclude each other.
    const owner = `expiry-${randomUUID()}`
    const claimed = await sessions.claim(session.id, {
      owner,
      untilMs: nowMs + LIMITS.claimMs,
      nowMs,
      expectedOffsetBytes: session.offset_bytes,
      expired: true,
    })
    if (claimed === null) continue
    if (claimed.storage_state !== null) await blobs.cancelUpload(claimed.storage_state as UploadState)
    await sessions.remove(session.id)
    collected += 1
    log.info(
      {
        region: regionId,
        upload: session.id,
        project: session.project_id,
        offsetBytes: session.offset_bytes,
      },
      'expired upload collected',
    )
  }
  return collected
}

/** Drops unfinished bytes in the blob store that no session knows any more (a crash between the two). */
export async function sweepOrphanedUploads(
  options: UploadExpiryOptions,
  signal: AbortSignal,
): Promise<number> {
  const { sessions, blobs, log, regionId, orphanAgeMs } = options
  let swept = 0
  for await (const { uploadId, state } of blobs.listUploads(orphanAgeMs)) {
    if (signal.aborted || swept >= LIMITS.orphansPerRun) break
    if ((await sessions.load(uploadId)) !== null) continue
    await blobs.cancelUpload(state)
    swept += 1
    log.info({ region: regionId, upload: uploadId }, 'bytes of a lost upload dropped')
  }
  return swept
}

import type { Digester } from '@berth/oci/digest'
import type { BlobStore, BlobWriter, UploadState } from '../blobstore/blobstore.ts'
import type { UploadSessionRow } from '../metastore/session-store.ts'
import { gatherBytes } from './gathered-bytes.ts'

/** What an upload holds after a chunk. Up to the inline limit it is `pending`, beyond it is in the blob store. */
export interface UploadContent {
  readonly offsetBytes: number
  readonly pending: Uint8Array | null
  readonly storageState: UploadState | null
}

/**
 * Appends to one upload. The first bytes are kept in memory; when they pass the inline limit they go to the blob
 * store, and everything after them too, so that small content never touches it.
 */
export interface UploadAppender {
  readonly digester: Digester
  readonly offsetBytes: number
  /** Hashes and stores a chunk, which it owns from then on. A promise means: wait. */
  append(chunk: Uint8Array): Promise<void> | undefined
  /** Ends the chunk: what was appended is stored (not durable yet). */
  finish(): Promise<UploadContent>
  /** Forgets what was appended. What the session held before stays usable. */
  abort(): Promise<void>
}

/** Starts appending to what the session holds. `digester` covers exactly those bytes. */
export function openAppender(
  blobs: BlobStore,
  session: Pick<UploadSessionRow, 'id' | 'offset_bytes' | 'pending' | 'storage_state'>,
  digester: Digester,
  inlineLimitBytes: number,
): UploadAppender {
  const firstState = session.storage_state as UploadState | null
  let state = firstState
  let writer: BlobWriter | null = null
  let pending = gatherBytes()
  if (session.pending !== null) pending.append(session.pending)
  let offsetBytes = session.offset_bytes

  /** Moves what is pending into the store. From then on chunks go there directly. */
  async function spill(): Promise<void> {
    state ??= await blobs.createUpload(session.id)
    const storedBytes = firstState === null ? 0 : session.offset_bytes
    writer = await blobs.openWriter(state, storedBytes)
    const gathered = pending.bytes()
    pending = gatherBytes()
    await writer.append(gathered)
  }

  return {
    digester,
    get offsetBytes() {
      return offsetBytes
    },
    append(chunk) {
      digester.update(chunk)
      offsetBytes += chunk.byteLength
      if (writer !== null) return writer.append(chunk)
      pending.append(chunk)
      return state !== null || offsetBytes > inlineLimitBytes ? spill() : undefined
    },
    async finish() {
      if (writer !== null) {
        state = await writer.close()
        writer = null
      }
      return { offsetBytes, pending: state === null ? pending.bytes() : null, storageState: state }
    },
    async abort() {
      pending = gatherBytes()
      if (writer !== null) await writer.abort()
      writer = null
      if (state !== null && firstState === null) await blobs.cancelUpload(state)
    },
  }
}

import type { Digest } from '@berth/oci/digest'

/** Where a blob's bytes are, chosen by the driver. Random in part, so that no two commits ever share one. */
export type StorageKey = string & { readonly __brand: 'StorageKey' }

/** A driver's own record of an unfinished upload (JSON text). It can be stored and used by another replica. */
export type UploadState = string & { readonly __brand: 'UploadState' }

/**
 * Takes bytes from a driver. `chunk` is valid only until the returned promise resolves: drivers reuse their buffers,
 * so a sink resolves when the bytes have left (or were copied), not when they are queued.
 */
export interface ByteSink {
  write(chunk: Uint8Array): Promise<void>
}

/** Inclusive byte positions, as in RFC 9110. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** An opened blob. `close` must be called exactly once; it is safe while `pump` runs and makes it stop. */
export interface BlobSource {
  readonly sizeBytes: number
  /**
   * Writes `range` to `sink` in order, reading ahead of it by at most one buffer.
   * Rejects when the bytes end early or cannot be read (never ends a short read as if it were whole), when the sink
   * rejects, or with the signal's reason when it is aborted.
   */
  pump(sink: ByteSink, range: ByteRange, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Appends to one unfinished upload. One writer at a time: the caller holds the session's claim. */
export interface BlobWriter {
  /**
   * Queues a chunk, which the writer owns from then on. Returns a promise only when the caller should wait
   * (back-pressure); `undefined` means go on. A failure surfaces here or in `close`.
   */
  append(chunk: Uint8Array): Promise<void> | undefined
  /** Writes out what is queued and returns the state from which any replica can go on. Not durable yet. */
  close(): Promise<UploadState>
  /** Drops what is queued since the writer was opened, and frees everything. The state before stays usable. */
  abort(): Promise<void>
}

export interface StoredBlob {
  readonly key: StorageKey
  readonly sizeBytes: number
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number
}

/**
 * Bytes of one region, by storage key. It knows nothing of projects, repositories or references: the metadata
 * database decides what exists, this only keeps it. Absence is `null`; everything else throws `BlobStoreError`.
 * Every driver passes `contract.ts`.
 */
export interface BlobStore {
  readonly driver: 'filesystem' | 's3' | 'memory'

  /**
   * Starts an upload. The id is a UUID that the caller chose; nothing need exist before the first byte.
   */
  createUpload(uploadId: string): Promise<UploadState>

  /**
   * Opens the upload for appending at `offsetBytes`, the offset that was stored together with `state`. Bytes that a
   * chunk which failed left beyond it are dropped. Throws `upload_lost` when the store holds fewer bytes. A writer of
   * the same upload that is still open in this process is shut out first: its later appends fail.
   */
  openWriter(state: UploadState, offsetBytes: number): Promise<BlobWriter>

  /**
   * Reads the first `offsetBytes` of what was uploaded so far (to rebuild a hash state). Null when it is gone;
   * throws `upload_lost` when fewer bytes are left. Do not use it while a writer of the upload is open.
   */
  openUpload(state: UploadState, offsetBytes: number): Promise<BlobSource | null>

  /**
   * Makes an upload permanent under a new key, which no other commit, of this upload or another, has had or will have:
   * the caller may delete it when it finds that it does not need it. So a second commit of an upload throws
   * `upload_lost`, even when nobody got the first one's answer (or makes a copy of its own). When it resolves the bytes survive power loss: the file and its
   * directory entry are fsynced, or the object store has confirmed the whole object with this size. Exactly the first
   * `sizeBytes` are kept: what a failed chunk left beyond them is dropped. The caller has checked the digest.
   * A failure (an fsync error above all) leaves nothing that a retry would trust.
   */
  commitUpload(state: UploadState, content: { digest: Digest; sizeBytes: number }): Promise<StorageKey>

  /** Drops an unfinished upload. Safe to repeat, and after a commit (then it does nothing to the committed bytes). */
  cancelUpload(state: UploadState): Promise<void>

  /**
   * Opens committed bytes. `range` is what `pump` will be asked for, when that is known already: an object store then
   * answers both with one request. `pump` may still ask for another range.
   */
  open(key: StorageKey, range?: ByteRange): Promise<BlobSource | null>
  stat(key: StorageKey): Promise<StoredBlob | null>
  /** Removes the bytes. Safe to repeat. */
  delete(key: StorageKey): Promise<void>
  /** Moves bytes aside for a person to look at (`berth fsck --repair`), out of the reach of `open` and `list`. */
  quarantine(key: StorageKey): Promise<void>

  /** All committed blobs, in no order. Bounded memory. */
  list(): AsyncIterable<StoredBlob>
  /**
   * What unfinished uploads left that is at least `olderThanMs` old, for the sweeper, which hands `state` to
   * `cancelUpload`. One upload may be listed more than once. `modifiedAt` is the last change that the driver knows of
   * (an object store knows only when a multipart upload began), so the caller must skip an id whose session lives.
   */
  listUploads(
    olderThanMs: number,
  ): AsyncIterable<{ uploadId: string; state: UploadState; modifiedAt: number }>

  /** A URL that gives a GET of the whole object for `expiresSeconds`; null when the driver cannot. */
  presign(key: StorageKey, options: { expiresSeconds: number; fileName: string }): Promise<URL | null>
  /** The path below the store's root for `X-Accel-Redirect`; null when the driver has no files. */
  filePath(key: StorageKey): string | null

  /** Free bytes, or null when unknown (object stores). Cheap enough to ask every second. */
  freeBytes(): Promise<number | null>
  /** Resolves when the store can be written and read; otherwise throws. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** The store cannot do it now. `full` and `unavailable` are rendered as 503 (or DENIED for uploads when full). */
export class BlobStoreError extends Error {
  readonly reason: 'full' | 'io' | 'unavailable' | 'corrupt' | 'upload_lost'

  constructor(
    reason: 'full' | 'io' | 'unavailable' | 'corrupt' | 'upload_lost',
    message: string,
    cause?: unknown,
  ) {
    super(message, { cause })
    this.name = 'BlobStoreError'
    this.reason = reason
  }
}

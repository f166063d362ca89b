import type { StorageKey, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { isUploadId, parseBlobName } from './object-names.ts'
import { partsTotalBytes } from './part-sizes.ts'

/** Parts that were uploaded. All have the size that `part-sizes.ts` gives for their number. */
export interface MultipartProgress {
  /** The name that the object gets when it is completed. */
  readonly name: StorageKey
  readonly multipartId: string
  readonly etags: readonly string[]
}

/** What is written down about an unfinished upload between its chunks. */
export interface UploadProgress {
  readonly uploadId: string
  /** The size of the first part, from which the sizes of all others follow. */
  readonly basePartBytes: number
  readonly multipart: MultipartProgress | null
  /** The bytes after the last part, too few for a part of their own. */
  readonly tail: { readonly name: string; readonly sizeBytes: number } | null
  /** Objects that an earlier progress needed. Once this one is stored they can go. */
  readonly obsolete: readonly string[]
}

/** An upload without bytes. */
export function newProgress(uploadId: string, basePartBytes: number): UploadProgress {
  if (!isUploadId(uploadId)) {
    throw new TypeError('an upload id is a UUID in lower case')
  }
  return { uploadId, basePartBytes, multipart: null, tail: null, obsolete: [] }
}

/** Bytes in uploaded parts. */
export function multipartBytes({ multipart, basePartBytes }: UploadProgress): number {
  return multipart ? partsTotalBytes(multipart.etags.length, basePartBytes) : 0
}

/** Bytes in parts and tail. */
export function progressBytes(progress: UploadProgress): number {
  return multipartBytes(progress) + (progress.tail?.sizeBytes ?? 0)
}

/**
 * The progress without the bytes from `offsetBytes` on. Throws `upload_lost` when there are fewer, or when the cut would
 * go through a part.
 */
export function cutProgress(progress: UploadProgress, offsetBytes: number): UploadProgress {
  if (offsetBytes === progressBytes(progress)) {
    return progress
  }
  if (offsetBytes === 0) {
    return newProgress(progress.uploadId, progress.basePartBytes)
  }
  const tailBytes = offsetBytes - multipartBytes(progress)
  if (!progress.tail || tailBytes < 0 || tailBytes > progress.tail.sizeBytes) {
    throw new BlobStoreError('upload_lost', `${progressBytes(progress)} bytes are stored, not ${offsetBytes}`)
  }
  if (tailBytes === 0) {
    return { ...progress, tail: null, obsolete: [...progress.obsolete, progress.tail.name] }
  }
  return { ...progress, tail: { name: progress.tail.name, sizeBytes: tailBytes } }
}

/** The progress as text for the session store. */
export function formatProgress(progress: UploadProgress): UploadState {
  return JSON.stringify({ version: 1, ...progress }) as UploadState
}

/** Reads what `formatProgress` wrote. Throws `upload_lost` for anything else. */
export function parseProgress(state: UploadState): UploadProgress {
  try {
    const parsed: unknown = JSON.parse(state)
    if (isProgress(parsed)) {
      const { uploadId, basePartBytes, multipart, tail, obsolete } = parsed
      return { uploadId, basePartBytes, multipart, tail, obsolete }
    }
  } catch (error) {
    throw new BlobStoreError('upload_lost', 'the state of the upload is not JSON', error)
  }
  throw new BlobStoreError('upload_lost', 'the state of the upload is of another driver')
}

/** The text is our own; the check is for states of other drivers and versions. */
function isProgress(value: unknown): value is UploadProgress & { version: 1 } {
  if (typeof value !== 'object' || value === null) {
    return false
  }
  const { version, uploadId, basePartBytes, multipart, obsolete } = value as Partial<
    UploadProgress & { version: unknown }
  >
  return (
    version === 1 &&
    typeof uploadId === 'string' &&
    isUploadId(uploadId) &&
    Number.isSafeInteger(basePartBytes) &&
    'tail' in value &&
    Array.isArray(obsolete) &&
    (multipart === null || (typeof multipart === 'object' && parseBlobName(multipart.name) !== null))
  )
}

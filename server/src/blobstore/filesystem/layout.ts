import { randomBytes } from 'node:crypto'
import type { Digest } from '@berth/oci/digest'
import { digestAlgorithm, digestHex } from '@berth/oci/digest'
import type { StorageKey, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'

export const UPLOADS_DIRECTORY = 'uploads'
export const BLOBS_DIRECTORY = 'blobs'
export const QUARANTINE_DIRECTORY = 'quarantine'
export const PING_FILE = 'ping'

const GENERATION_BYTES = 8
const UPLOAD_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const BLOB_KEY = /^blobs\/(sha256|sha512)\/([0-9a-f]{2})\/(\2[0-9a-f]{62}(?:[0-9a-f]{64})?\.[0-9a-f]{16})$/

/** A committed file's place, relative to the root. */
export interface BlobPlace {
  readonly key: StorageKey
  readonly directory: string
  /** Where `quarantine` puts it. */
  readonly quarantinePath: string
}

/** A place that no file has had before. */
export function newBlobKey(digest: Digest): StorageKey {
  const hex = digestHex(digest)
  const generation = randomBytes(GENERATION_BYTES).toString('hex')
  return `${BLOBS_DIRECTORY}/${digestAlgorithm(digest)}/${hex.slice(0, 2)}/${hex}.${generation}` as StorageKey
}

/** Reads a key of this driver; null for any other text, so that a key can never point outside `blobs/`. */
export function parseBlobKey(key: string): BlobPlace | null {
  const match = BLOB_KEY.exec(key)
  if (!match) {
    return null
  }
  const [, algorithm, shard, name] = match
  return {
    key: key as StorageKey,
    directory: `${BLOBS_DIRECTORY}/${algorithm}/${shard}`,
    quarantinePath: `${QUARANTINE_DIRECTORY}/${algorithm}.${name}`,
  }
}

/** The upload's file, relative to the root. */
export function uploadPath(uploadId: string): string {
  return `${UPLOADS_DIRECTORY}/${uploadId}`
}

/** Whether the text is the id of an upload (a UUID in lower case), and so a safe file name. */
export function isUploadId(text: string): boolean {
  return UPLOAD_ID.test(text)
}

/** The state of an upload. The file's own size says how far it is; the session store says how far it may be trusted. */
export function formatUploadState(uploadId: string): UploadState {
  if (!isUploadId(uploadId)) {
    throw new TypeError('an upload id is a UUID in lower case')
  }
  return JSON.stringify({ version: 1, uploadId }) as UploadState
}

/** The upload's id. Throws `upload_lost` for a state that this driver did not write. */
export function parseUploadState(state: UploadState): string {
  try {
    const parsed: unknown = JSON.parse(state)
    if (typeof parsed === 'object' && parsed !== null && 'uploadId' in parsed) {
      const { uploadId } = parsed
      if (typeof uploadId === 'string' && isUploadId(uploadId)) {
        return uploadId
      }
    }
  } catch (error) {
    throw new BlobStoreError('upload_lost', 'the state of the upload is not JSON', error)
  }
  throw new BlobStoreError('upload_lost', 'the state of the upload is of another driver')
}

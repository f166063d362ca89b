import { randomBytes } from 'node:crypto'
import type { StorageKey } from '../blobstore.ts'

const GENERATION_BYTES = 8
const UPLOAD_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const BLOB_NAME = /^blobs\/([0-9a-f]{2})\/(\1[0-9a-f]{6}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9a-f]{16})$/

export const BLOBS_PREFIX = 'blobs/'
export const UPLOADS_PREFIX = 'uploads/'
export const PING_NAME = 'ping'

/** Whether the text is the id of an upload (a UUID in lower case), and so safe in an object's name. */
export function isUploadId(text: string): boolean {
  return UPLOAD_ID.test(text)
}

/** What the names of all objects begin with that one upload may become. */
export function blobPrefixOf(uploadId: string): string {
  return `${BLOBS_PREFIX}${uploadId.slice(0, 2)}/${uploadId}-`
}

/** A name for committed bytes that no object has had before. */
export function newBlobName(uploadId: string): StorageKey {
  return `${blobPrefixOf(uploadId)}${generation()}` as StorageKey
}

/** Reads a key of this driver; null for any other text. */
export function parseBlobName(
  key: string,
): { key: StorageKey; uploadId: string; quarantineName: string } | null {
  const match = BLOB_NAME.exec(key)
  const uploadId = match?.[2]
  if (!match || uploadId === undefined) {
    return null
  }
  return { key: key as StorageKey, uploadId, quarantineName: `quarantine/${uploadId}-${match[3]}` }
}

/** What the names of all objects begin with that keep bytes of one unfinished upload. */
export function uploadPrefixOf(uploadId: string): string {
  return `${UPLOADS_PREFIX}${uploadId}/`
}

/** A name for the bytes at the end of a chunk. Random, so that a late write of a lost request overwrites nothing. */
export function newTailName(uploadId: string): string {
  return `${uploadPrefixOf(uploadId)}tail-${generation()}`
}

/** Where the joined parts of a multipart upload are kept when they had to be read before the commit. */
export function sealedNameOf(uploadId: string, blobName: StorageKey): string {
  return `${uploadPrefixOf(uploadId)}sealed-${blobName.slice(-2 * GENERATION_BYTES)}`
}

/** The upload's id in the name of an object that keeps bytes of it, or null. */
export function uploadIdIn(name: string): string | null {
  const id = name.startsWith(UPLOADS_PREFIX) ? name.slice(UPLOADS_PREFIX.length).split('/')[0] : undefined
  return id !== undefined && isUploadId(id) ? id : null
}

function generation(): string {
  return randomBytes(GENERATION_BYTES).toString('hex')
}

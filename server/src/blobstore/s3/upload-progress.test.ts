import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { StorageKey, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import type { UploadProgress } from './upload-progress.ts'
import { cutProgress, formatProgress, newProgress, parseProgress, progressBytes } from './upload-progress.ts'

const uploadId = '01234567-89ab-4cde-8f01-23456789abcd'
const name = `blobs/01/${uploadId}-0123456789abcdef` as StorageKey
const progress: UploadProgress = {
  uploadId,
  basePartBytes: 100,
  multipart: { name, multipartId: 'm', etags: ['a', 'b'] },
  tail: { name: `uploads/${uploadId}/tail-1`, sizeBytes: 30 },
  obsolete: ['old'],
}

describe('upload progress', () => {
  it('survives being stored', () => {
    assert.deepEqual(parseProgress(formatProgress(progress)), progress)
    assert.deepEqual(parseProgress(formatProgress(newProgress(uploadId, 5))), newProgress(uploadId, 5))
    assert.equal(progressBytes(progress), 230)
  })

  it('refuses what it did not write', () => {
    const other = [
      '',
      '{',
      'null',
      '[]',
      JSON.stringify({ version: 1, uploadId }),
      JSON.stringify({ ...progress, version: 2 }),
      JSON.stringify({ ...progress, version: 1, uploadId: '../x' }),
      JSON.stringify({
        ...progress,
        version: 1,
        multipart: { ...progress.multipart, name: 'uploads/other' },
      }),
    ]
    for (const state of other) {
      assert.throws(() => parseProgress(state as UploadState), isLost, state)
    }
    assert.throws(() => newProgress('not-a-uuid', 1), TypeError)
  })

  it('can be cut within the tail or to nothing, and nowhere else', () => {
    assert.equal(cutProgress(progress, 230), progress)
    assert.equal(cutProgress(progress, 210).tail?.sizeBytes, 10)
    const parts = cutProgress(progress, 200)
    assert.equal(parts.tail, null)
    assert.deepEqual(parts.obsolete, ['old', progress.tail?.name])
    assert.deepEqual(cutProgress(progress, 0), newProgress(uploadId, 100))
    for (const offsetBytes of [1, 100, 199, 231]) {
      assert.throws(() => cutProgress(progress, offsetBytes), isLost)
    }
  })
})

function isLost(error: unknown): boolean {
  return error instanceof BlobStoreError && error.reason === 'upload_lost'
}

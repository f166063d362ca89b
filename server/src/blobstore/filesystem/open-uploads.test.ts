import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { BlobStore, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { eventually } from '../contract-sinks.ts'
import { appendAll, commit, contentOf, readAll, upload } from '../contract-transfers.ts'
import { blobStoreLimits } from '../limits.ts'
import { FaultyFileSystem } from './faulty-file-system.ts'
import { createFilesystemBlobStore } from './filesystem-blobstore.ts'

const { parkedUploadsMax } = blobStoreLimits
const HOUR_MS = 3_600_000

describe('open uploads', () => {
  let root = ''
  let faulty: FaultyFileSystem
  let store: BlobStore
  let offsetMs = 0
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'berth-parked-'))
    faulty = new FaultyFileSystem(root)
    offsetMs = 0
    store = await createFilesystemBlobStore({
      root,
      fileSystem: faulty.fileSystem,
      nowMs: () => Date.now() + offsetMs,
    })
  })
  afterEach(async () => {
    await store.close()
    assert.equal(openFilesBelow(root), 0)
    await rm(root, { recursive: true })
  })

  it('keeps a bounded number of files open between chunks, and loses none', async () => {
    const contents = Array.from({ length: parkedUploadsMax + 20 }, (_, index) =>
      contentOf(20_000 + index, 'parked'),
    )
    const states: UploadState[] = []
    for (const content of contents) {
      states.push(await appendAll(store, await store.createUpload(randomUUID()), 0, content))
    }
    await eventually(() => openFilesBelow(root) <= parkedUploadsMax, 'too many files stay open')
    for (const [index, content] of contents.entries()) {
      const key = await commit(store, states[index] ?? ('' as UploadState), content)
      assert.ok((await readAll(store, key)).equals(content))
    }
    assert.equal(openFilesBelow(root), 0)
  })

  it('gives up an upload whose bytes could not be written when its file had to be closed', async () => {
    const content = contentOf(20_000, 'evicted')
    const state = await appendAll(store, await store.createUpload(randomUUID()), 0, content)
    for (let count = 1; count < parkedUploadsMax; count++) {
      await appendAll(store, await store.createUpload(randomUUID()), 0, content)
    }
    faulty.failNext('fsync', 'EIO') // One more needs room: the first one is synced and closed.
    await appendAll(store, await store.createUpload(randomUUID()), 0, content)
    await eventually(() => faulty.failed, 'nothing was synced')
    await eventually(
      () => faulty.operations.some((operation) => operation.startsWith('unlink')),
      'nothing was removed',
    )
    await assert.rejects(
      commit(store, state, content),
      (error) => error instanceof BlobStoreError && error.reason === 'upload_lost',
    )
  })

  it('makes a blob look as young as its commit', async () => {
    const content = contentOf(20_000, 'old upload')
    const state = await appendAll(store, await store.createUpload(randomUUID()), 0, content)
    offsetMs = 2 * HOUR_MS
    const old = await store.stat(await commit(store, state, content))
    assert.ok(Math.abs((old?.modifiedAt ?? 0) - (Date.now() + offsetMs)) < HOUR_MS)
    offsetMs = 0
    const young = await store.stat(await upload(store, content))
    assert.ok(Math.abs((young?.modifiedAt ?? 0) - Date.now()) < HOUR_MS)
  })
})

function openFilesBelow(root: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(root)
    } catch {
      return false
    }
  }).length
}

import { readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeBlobStore } from '../contract.ts'
import { BufferPool } from './buffer-pool.ts'
import { createFilesystemBlobStore } from './filesystem-blobstore.ts'

describeBlobStore('filesystem', async () => {
  const root = await mkdtemp(join(tmpdir(), 'berth-blobs-'))
  const buffers = new BufferPool()
  let offsetMs = 0
  const nowMs = () => Date.now() + offsetMs
  const store = await createFilesystemBlobStore({ root, buffers, nowMs })
  return {
    store,
    openReplica: () => createFilesystemBlobStore({ root, buffers, nowMs }),
    advanceClock(ms) {
      offsetMs += ms
    },
    openHandles: () => openFilesBelow(root),
    buffersInUse: () => buffers.usedBytes,
    async close() {
      await store.close()
      await rm(root, { recursive: true })
    },
  }
})

function openFilesBelow(root: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(root)
    } catch {
      return false // The descriptor that listed the directory itself.
    }
  }).length
}

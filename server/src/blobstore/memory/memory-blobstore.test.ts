import { describeBlobStore } from '../contract.ts'
import { createMemoryBlobStore, emptyMemoryBlobs } from './memory-blobstore.ts'

describeBlobStore('memory', async () => {
  const blobs = emptyMemoryBlobs()
  let offsetMs = 0
  const nowMs = () => Date.now() + offsetMs
  return {
    store: createMemoryBlobStore({ blobs, nowMs }),
    openReplica: async () => createMemoryBlobStore({ blobs, nowMs }),
    advanceClock(ms) {
      offsetMs += ms
    },
    openHandles: () => 0,
    buffersInUse: () => 0,
    close: async () => {},
  }
})

import { createDigester, type Digester, type DigestAlgorithm } from '@berth/oci/digest'
import { LRUCache } from 'lru-cache'
import { BlobStoreError, type BlobStore, type UploadState } from '../blobstore/blobstore.ts'
import type { UploadSessionRow } from '../metastore/session-store.ts'

interface KeptState {
  readonly digester: Digester
  readonly offsetBytes: number
}

/**
 * Running digests of uploads between their chunks. Node cannot serialize one, so they live in this process; where one
 * is missing (another replica took the chunk before, or a restart) it is made again by reading what was uploaded.
 */
export interface HashStates {
  /**
   * The digest of all bytes that the session holds, in `algorithm`. The caller owns it.
   * Throws BlobStoreError `upload_lost` when the bytes are gone.
   */
  open(session: UploadSessionRow, algorithm: DigestAlgorithm): Promise<Digester>
  /** Keeps a digest for the session's next chunk. */
  keep(sessionId: string, state: KeptState): void
  drop(sessionId: string): void
}

/** Makes an empty set of states, of which at most `max` are kept. */
export function createHashStates(blobs: BlobStore, max: number): HashStates {
  const kept = new LRUCache<string, KeptState>({ max })
  return {
    async open(session, algorithm) {
      const state = kept.get(session.id)
      kept.delete(session.id)
      if (state?.offsetBytes === session.offset_bytes && state.digester.algorithm === algorithm) {
        return state.digester
      }
      return rebuild(blobs, session, algorithm)
    },
    keep(sessionId, state) {
      kept.set(sessionId, state)
    },
    drop(sessionId) {
      kept.delete(sessionId)
    },
  }
}

async function rebuild(
  blobs: BlobStore,
  session: UploadSessionRow,
  algorithm: DigestAlgorithm,
): Promise<Digester> {
  const digester = createDigester(algorithm)
  const { offset_bytes: offsetBytes, storage_state: storageState } = session
  if (offsetBytes === 0) return digester
  if (storageState === null) {
    digester.update(session.pending ?? new Uint8Array())
    return digester
  }
  const source = await blobs.openUpload(storageState as UploadState, offsetBytes)
  if (source === null) throw new BlobStoreError('upload_lost', 'the bytes of an upload are gone')
  try {
    const sink = {
      write(chunk: Uint8Array) {
        digester.update(chunk)
        return Promise.resolve()
      },
    }
    await source.pump(sink, { start: 0, end: offsetBytes - 1 }, new AbortController().signal)
  } finally {
    await source.close()
  }
  return digester
}

/**
 * Blobs as files.
 *
 *     <root>/
 *       uploads/<upload id>                                      an unfinished upload, appended to
 *       blobs/<algorithm>/<first 2 hex>/<hex>.<generation>       committed bytes, never changed
 *       quarantine/<algorithm>.<hex>.<generation>                put aside by fsck
 *       ping                                                     written and read by the readiness check
 *
 * All in one file system, so that a commit is a rename. The generation is random: no two commits share a path, and
 * deleting one copy can never hurt another of the same content. It is a part of the file's name, not a file in a
 * directory per digest: that would cost each commit a mkdir and one more fsync, and each delete a rmdir that can race
 * with the mkdir of the next commit.
 *
 * Commit: cut to size, fsync the file, rename, fsync the directory. fsync and not fdatasync: a file that grew has
 * metadata to write either way, so nothing would be saved, and nothing depends on which metadata fdatasync covers on
 * which file system. After an error at any step the upload is removed, because a second fsync after a failed one
 * answers success without having written anything.
 *
 * One process at a time takes uploads into a root (the application locks its data directory). Others, fsck for one, may
 * read, list and quarantine beside it.
 */
import { randomUUID } from 'node:crypto'
import * as realFileSystem from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import type { Digest } from '@berth/oci/digest'
import type { BlobSource, BlobStore, BlobWriter, StorageKey, StoredBlob, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { ByteBudget } from '../byte-budget.ts'
import { blobStoreLimits } from '../limits.ts'
import { BufferPool } from './buffer-pool.ts'
import { DurableDirectories } from './durable-directory.ts'
import type { FileSystem } from './file-system.ts'
import { isMissing, translated } from './file-system.ts'
import { FileSource } from './file-source.ts'
import { listBlobs, listUploads } from './listing.ts'
import {
  BLOBS_DIRECTORY,
  formatUploadState,
  newBlobKey,
  parseBlobKey,
  parseUploadState,
  PING_FILE,
  QUARANTINE_DIRECTORY,
  UPLOADS_DIRECTORY,
  uploadPath,
} from './layout.ts'
import { cutTo, OpenUploads } from './open-uploads.ts'
import { WriteShare } from './write-share.ts'

/** A commit whose bytes were last written longer ago than this gets a new time of change, so that it looks as young as it is. */
const COMMIT_TOUCH_AFTER_MS = 60_000

export interface FilesystemBlobStoreOptions {
  /** Made when missing. */
  readonly root: string
  /** Read buffers; pass one pool to all stores of a process. */
  readonly buffers?: BufferPool
  /** Memory for uploads; pass one to all stores of a process. */
  readonly writeShare?: WriteShare
  /** fsync calls at once; pass one to all stores of a process. */
  readonly syncSlots?: ByteBudget
  readonly fileSystem?: FileSystem
  /** Milliseconds since the epoch. */
  readonly nowMs?: () => number
  /** Milliseconds of a clock that never jumps. */
  readonly monotonicMs?: () => number
}

/** Opens (and makes, if need be) the store below `root`. Throws `BlobStoreError` when it cannot be written. */
export async function createFilesystemBlobStore(options: FilesystemBlobStoreOptions): Promise<BlobStore> {
  const fs = options.fileSystem ?? realFileSystem
  const root = resolve(options.root)
  const store = new FilesystemBlobStore({
    buffers: new BufferPool(),
    writeShare: new WriteShare(),
    syncSlots: new ByteBudget(blobStoreLimits.syncsInFlightMax),
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    ...options,
    fileSystem: fs,
    root,
  })
  await translated('preparing the blob store', async () => {
    await store.prepare(await fs.mkdir(root, { recursive: true, mode: 0o750 }))
  })
  return store
}

class FilesystemBlobStore implements BlobStore {
  readonly driver = 'filesystem'
  readonly #root: string
  readonly #fs: FileSystem
  readonly #buffers: BufferPool
  readonly #syncSlots: ByteBudget
  readonly #directories: DurableDirectories
  readonly #uploads: OpenUploads
  readonly #nowMs: () => number
  readonly #monotonicMs: () => number
  #freeBytes: { answer: Promise<number>; askedAtMs: number } | null = null
  #ping: Promise<void> | null = null

  constructor(options: Required<FilesystemBlobStoreOptions>) {
    this.#root = options.root
    this.#fs = options.fileSystem
    this.#buffers = options.buffers
    this.#syncSlots = options.syncSlots
    this.#nowMs = options.nowMs
    this.#monotonicMs = options.monotonicMs
    this.#directories = new DurableDirectories(this.#fs, this.#root, this.#syncSlots)
    const pathOf = (uploadId: string) => join(this.#root, uploadPath(uploadId))
    this.#uploads = new OpenUploads(this.#fs, pathOf, options.writeShare, this.#syncSlots)
  }

  /** `firstMade` is the uppermost directory that had to be made for the root, if any. */
  async prepare(firstMade: string | undefined): Promise<void> {
    for (
      let path = this.#root;
      firstMade !== undefined && path !== dirname(firstMade);
      path = dirname(path)
    ) {
      await this.#directories.sync(relative(this.#root, dirname(path)))
    }
    await this.#directories.ensure(UPLOADS_DIRECTORY)
    await this.#directories.ensure(BLOBS_DIRECTORY)
  }

  async createUpload(uploadId: string): Promise<UploadState> {
    return formatUploadState(uploadId)
  }

  async openWriter(state: UploadState, offsetBytes: number): Promise<BlobWriter> {
    const uploadId = parseUploadState(state)
    return translated('opening an upload', () => this.#uploads.openWriter(uploadId, state, offsetBytes))
  }

  async openUpload(state: UploadState, offsetBytes: number): Promise<BlobSource | null> {
    const uploadId = parseUploadState(state)
    if (offsetBytes === 0) {
      return emptySource
    }
    const source = await this.#open(uploadPath(uploadId), offsetBytes)
    if (source && source.sizeBytes < offsetBytes) {
      await source.close()
      throw new BlobStoreError('upload_lost', 'the file of the upload is shorter than what was accepted')
    }
    return source
  }

  async commitUpload(
    state: UploadState,
    content: { digest: Digest; sizeBytes: number },
  ): Promise<StorageKey> {
    const uploadId = parseUploadState(state)
    return this.#uploads.inTurn(uploadId, () =>
      translated('committing an upload', () => this.#commit(uploadId, content)),
    )
  }

  async #commit(uploadId: string, content: { digest: Digest; sizeBytes: number }): Promise<StorageKey> {
    const source = join(this.#root, uploadPath(uploadId))
    const key = newBlobKey(content.digest)
    const target = join(this.#root, key)
    const directory = dirname(key)
    try {
      await this.#syncUpload(uploadId, content.sizeBytes)
      await this.#directories.ensure(directory)
      await this.#rename(source, target, directory)
    } catch (error) {
      await this.#fs.unlink(source).catch(() => {})
      throw error
    }
    try {
      await this.#directories.sync(directory)
    } catch (error) {
      await this.#fs.unlink(target).catch(() => {})
      throw error
    }
    return key
  }

  async #syncUpload(uploadId: string, sizeBytes: number): Promise<void> {
    const handle = await this.#uploads.take(uploadId, sizeBytes === 0 ? 'create' : 'existing')
    try {
      const { modifiedAt } = await cutTo(handle, sizeBytes)
      const nowMs = this.#nowMs()
      if (nowMs - modifiedAt > COMMIT_TOUCH_AFTER_MS) {
        await handle.utimes(nowMs / 1000, nowMs / 1000)
      }
      await this.#syncSlots.acquire(1)
      try {
        await handle.sync()
      } finally {
        this.#syncSlots.release(1)
      }
    } catch (error) {
      await handle.close().catch(() => {})
      throw error
    }
    await handle.close()
  }

  async #rename(source: string, target: string, directory: string): Promise<void> {
    try {
      await this.#fs.rename(source, target)
    } catch (error) {
      if (isMissing(error)) {
        this.#directories.forget(directory)
      }
      throw error
    }
  }

  async cancelUpload(state: UploadState): Promise<void> {
    const uploadId = parseUploadState(state)
    await this.#uploads.inTurn(uploadId, () =>
      translated('cancelling an upload', async () => {
        const handle = await this.#uploads.take(uploadId, 'existing').catch((error: unknown) => {
          if (error instanceof BlobStoreError && error.reason === 'upload_lost') {
            return null
          }
          throw error
        })
        await handle?.close().catch(() => {})
        await this.#unlink(uploadPath(uploadId))
      }),
    )
  }

  async open(key: StorageKey): Promise<BlobSource | null> {
    const place = parseBlobKey(key)
    return place ? this.#open(place.key, null) : null
  }

  #open(path: string, sizeLimitBytes: number | null): Promise<BlobSource | null> {
    return translated('opening a blob', async () => {
      const handle = await this.#fs.open(join(this.#root, path), 'r').catch(nullIfMissing)
      if (!handle) {
        return null
      }
      try {
        const { size } = await handle.stat()
        const sizeBytes = sizeLimitBytes === null ? size : Math.min(size, sizeLimitBytes)
        return new FileSource(handle, sizeBytes, this.#buffers, this.#monotonicMs)
      } catch (error) {
        await handle.close().catch(() => {})
        throw error
      }
    })
  }

  async stat(key: StorageKey): Promise<StoredBlob | null> {
    const place = parseBlobKey(key)
    if (!place) {
      return null
    }
    return translated('looking at a blob', async () => {
      const stats = await this.#fs.stat(join(this.#root, place.key)).catch(nullIfMissing)
      return stats && { key, sizeBytes: stats.size, modifiedAt: stats.mtimeMs }
    })
  }

  /** Not synced: a file that reappears after power loss is an orphan, which fsck finds. */
  async delete(key: StorageKey): Promise<void> {
    const place = parseBlobKey(key)
    if (place) {
      await translated('deleting a blob', () => this.#unlink(place.key))
    }
  }

  async quarantine(key: StorageKey): Promise<void> {
    const place = parseBlobKey(key)
    if (!place) {
      return
    }
    await translated('moving a blob to the quarantine', async () => {
      await this.#directories.ensure(QUARANTINE_DIRECTORY)
      const from = join(this.#root, place.key)
      const moved = await this.#fs
        .rename(from, join(this.#root, place.quarantinePath))
        .then(() => true, falseIfMissing)
      if (moved) {
        await this.#directories.sync(QUARANTINE_DIRECTORY)
        await this.#directories.sync(place.directory)
      }
    })
  }

  list(): AsyncIterable<StoredBlob> {
    return listBlobs(this.#fs, this.#root)
  }

  listUploads(
    olderThanMs: number,
  ): AsyncIterable<{ uploadId: string; state: UploadState; modifiedAt: number }> {
    return listUploads(this.#fs, this.#root, () => this.#nowMs() - olderThanMs)
  }

  async presign(): Promise<URL | null> {
    return null
  }

  filePath(key: StorageKey): string | null {
    return parseBlobKey(key)?.key ?? null
  }

  freeBytes(): Promise<number> {
    const nowMs = this.#monotonicMs()
    if (!this.#freeBytes || nowMs - this.#freeBytes.askedAtMs >= blobStoreLimits.freeBytesTtlMs) {
      const answer = translated('asking for free space', async () => {
        const { bavail, bsize } = await this.#fs.statfs(this.#root)
        return bavail * bsize
      })
      answer.catch(() => {
        this.#freeBytes = null
      })
      this.#freeBytes = { answer, askedAtMs: nowMs }
    }
    return this.#freeBytes.answer
  }

  /** Throws `full` when there is no room for a few bytes: reads may well go on then. */
  ping(): Promise<void> {
    this.#ping ??= translated('writing the ping file', () => this.#writePing()).finally(() => {
      this.#ping = null
    })
    return this.#ping
  }

  async #writePing(): Promise<void> {
    const written = Buffer.from(randomUUID())
    const read = Buffer.alloc(written.byteLength)
    const handle = await this.#fs.open(join(this.#root, PING_FILE), 'w+', 0o640)
    try {
      await handle.write(written, 0, written.byteLength, 0)
      await handle.read(read, 0, read.byteLength, 0)
    } finally {
      await handle.close()
    }
    if (!read.equals(written)) {
      throw new BlobStoreError('io', 'the ping file reads otherwise than it was written')
    }
  }

  close(): Promise<void> {
    return this.#uploads.close()
  }

  async #unlink(path: string): Promise<void> {
    await this.#fs.unlink(join(this.#root, path)).catch(nullIfMissing)
  }
}

/** An upload that has no bytes yet has no file either. */
const emptySource: BlobSource = {
  sizeBytes: 0,
  async pump(_sink, _range, signal) {
    signal.throwIfAborted()
  },
  async close() {},
}

function nullIfMissing(error: unknown): null {
  if (isMissing(error)) {
    return null
  }
  throw error
}

function falseIfMissing(error: unknown): boolean {
  return nullIfMissing(error) !== null
}

import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { BlobWriter, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import type { ByteBudget } from '../byte-budget.ts'
import { blobStoreLimits } from '../limits.ts'
import { Turns } from '../turns.ts'
import type { FileSystem } from './file-system.ts'
import { isMissing } from './file-system.ts'
import { FileWriter } from './file-writer.ts'
import type { WriteShare } from './write-share.ts'

const FILE_MODE = 0o640

interface Entry {
  readonly handle: FileHandle
  writer: FileWriter | null
}

/**
 * The files of uploads that this process has open, at most one writer each.
 *
 * A file stays open ("parked") between the chunks of its upload until the commit. That spares an open per chunk, and it
 * matters for durability: the kernel reports a failed write-back to those who had the file open when it happened. A file
 * that is closed, and dropped from the cache before anybody looks, would take the error with it. So a parked file that
 * must make room for another one is synced first, and removed when that fails.
 */
export class OpenUploads {
  readonly #fs: FileSystem
  readonly #pathOf: (uploadId: string) => string
  readonly #share: WriteShare
  readonly #syncSlots: ByteBudget
  readonly #entries = new Map<string, Entry>()
  readonly #turns = new Turns()

  constructor(
    fs: FileSystem,
    pathOf: (uploadId: string) => string,
    share: WriteShare,
    syncSlots: ByteBudget,
  ) {
    this.#fs = fs
    this.#pathOf = pathOf
    this.#share = share
    this.#syncSlots = syncSlots
  }

  /** Runs `act` when no other `act` of this upload runs. */
  inTurn<T>(uploadId: string, act: () => Promise<T>): Promise<T> {
    return this.#turns.take(uploadId, act)
  }

  /** Shuts out the upload's writer, drops what lies beyond `offsetBytes`, and opens a writer there. */
  openWriter(uploadId: string, state: UploadState, offsetBytes: number): Promise<BlobWriter> {
    return this.inTurn(uploadId, async () => {
      const handle = await this.take(uploadId, offsetBytes === 0 ? 'create' : 'existing')
      try {
        await cutTo(handle, offsetBytes)
      } catch (error) {
        await handle.close().catch(() => {})
        throw error
      }
      const writer = new FileWriter(handle, offsetBytes, state, this.#share, (ended) =>
        this.#park(uploadId, ended),
      )
      this.#entries.set(uploadId, { handle, writer })
      return writer
    })
  }

  /**
   * Shuts out the upload's writer and hands over its file, which the caller must close. To be called in turn.
   * Throws `upload_lost` when there is no file and none is to be created.
   */
  async take(uploadId: string, mode: 'create' | 'existing'): Promise<FileHandle> {
    const entry = this.#entries.get(uploadId)
    if (entry) {
      await entry.writer?.shutOut(new BlobStoreError('upload_lost', 'another request took over the upload'))
      this.#entries.delete(uploadId)
      if (await this.#isStillInPlace(uploadId, entry.handle)) {
        return entry.handle
      }
      await entry.handle.close().catch(() => {})
    }
    const flags = constants.O_RDWR | (mode === 'create' ? constants.O_CREAT : 0)
    try {
      return await this.#fs.open(this.#pathOf(uploadId), flags, FILE_MODE)
    } catch (error) {
      if (isMissing(error) && mode === 'existing') {
        throw new BlobStoreError('upload_lost', 'the file of the upload is gone', error)
      }
      throw error
    }
  }

  /**
   * Whether the open file is the one that the path names. It is not when something else committed or removed the
   * upload; writing through it would then change committed bytes.
   */
  async #isStillInPlace(uploadId: string, handle: FileHandle): Promise<boolean> {
    try {
      const [named, open] = await Promise.all([this.#fs.stat(this.#pathOf(uploadId)), handle.stat()])
      return named.ino === open.ino && named.dev === open.dev
    } catch (error) {
      if (isMissing(error)) {
        return false
      }
      await handle.close().catch(() => {})
      throw error
    }
  }

  /** Shuts out all writers and closes all files. */
  async close(): Promise<void> {
    const ids = [...this.#entries.keys()]
    await Promise.all(ids.map((id) => this.inTurn(id, () => this.#release(id))))
  }

  #park(uploadId: string, ended: FileWriter): void {
    const entry = this.#entries.get(uploadId)
    if (entry?.writer !== ended) {
      return
    }
    entry.writer = null
    // A Map keeps the order of insertion: the file that was used last goes to the end.
    this.#entries.delete(uploadId)
    this.#entries.set(uploadId, entry)
    this.#makeRoom()
  }

  #makeRoom(): void {
    const parked = [...this.#entries].filter(([, entry]) => !entry.writer)
    const excess = parked.slice(0, Math.max(0, parked.length - blobStoreLimits.parkedUploadsMax))
    for (const [uploadId, entry] of excess) {
      void this.inTurn(uploadId, async () => {
        if (this.#entries.get(uploadId) === entry && !entry.writer) {
          await this.#release(uploadId)
        }
      })
    }
  }

  async #release(uploadId: string): Promise<void> {
    if (!this.#entries.has(uploadId)) {
      return
    }
    const handle = await this.take(uploadId, 'existing')
    await this.#syncSlots.acquire(1)
    try {
      await handle.sync()
    } catch {
      // The upload is lost; whoever goes on with it finds no file and is told so.
      await this.#fs.unlink(this.#pathOf(uploadId)).catch(() => {})
    } finally {
      this.#syncSlots.release(1)
      await handle.close().catch(() => {})
    }
  }
}

/** Makes the file exactly `sizeBytes` long. Throws `upload_lost` when it is shorter. Answers its last change. */
export async function cutTo(handle: FileHandle, sizeBytes: number): Promise<{ modifiedAt: number }> {
  const stats = await handle.stat()
  if (stats.size < sizeBytes) {
    throw new BlobStoreError(
      'upload_lost',
      `the file has ${stats.size} bytes, not the ${sizeBytes} that were accepted`,
    )
  }
  if (stats.size > sizeBytes) {
    await handle.truncate(sizeBytes)
  }
  return { modifiedAt: stats.mtimeMs }
}

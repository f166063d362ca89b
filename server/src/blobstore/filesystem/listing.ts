import { join } from 'node:path'
import type { Dir, Dirent } from 'node:fs'
import type { StoredBlob, UploadState } from '../blobstore.ts'
import type { FileSystem } from './file-system.ts'
import { isMissing, translated } from './file-system.ts'
import { BLOBS_DIRECTORY, formatUploadState, isUploadId, parseBlobKey, UPLOADS_DIRECTORY } from './layout.ts'

/** Walks the committed files. Files with other names than the driver's are passed over; so are those that vanish. */
export async function* listBlobs(fs: FileSystem, root: string): AsyncGenerator<StoredBlob> {
  for await (const algorithm of entries(fs, join(root, BLOBS_DIRECTORY))) {
    for await (const shard of entries(fs, join(root, BLOBS_DIRECTORY, algorithm.name))) {
      const directory = `${BLOBS_DIRECTORY}/${algorithm.name}/${shard.name}`
      for await (const file of entries(fs, join(root, directory))) {
        const place = parseBlobKey(`${directory}/${file.name}`)
        const stats = place && (await statOrNull(fs, join(root, place.key)))
        if (place && stats) {
          yield { key: place.key, ...stats }
        }
      }
    }
  }
}

/** Walks the files of unfinished uploads that were last changed at or before `changedUntil()`. */
export async function* listUploads(
  fs: FileSystem,
  root: string,
  changedUntil: () => number,
): AsyncGenerator<{ uploadId: string; state: UploadState; modifiedAt: number }> {
  const until = changedUntil()
  for await (const file of entries(fs, join(root, UPLOADS_DIRECTORY))) {
    const stats = isUploadId(file.name)
      ? await statOrNull(fs, join(root, UPLOADS_DIRECTORY, file.name))
      : null
    if (stats && stats.modifiedAt <= until) {
      yield { uploadId: file.name, state: formatUploadState(file.name), modifiedAt: stats.modifiedAt }
    }
  }
}

async function* entries(fs: FileSystem, directory: string): AsyncGenerator<Dirent> {
  const opened = await translated('listing a directory', () => openOrNull(fs, directory))
  if (!opened) {
    return
  }
  try {
    for (;;) {
      const entry = await translated('listing a directory', () => opened.read())
      if (!entry) {
        return
      }
      yield entry
    }
  } finally {
    await opened.close().catch(() => {})
  }
}

async function openOrNull(fs: FileSystem, directory: string): Promise<Dir | null> {
  try {
    return await fs.opendir(directory)
  } catch (error) {
    // ENOTDIR: a stray file where a directory would be.
    if (isMissing(error) || (error instanceof Error && 'code' in error && error.code === 'ENOTDIR')) {
      return null
    }
    throw error
  }
}

async function statOrNull(
  fs: FileSystem,
  path: string,
): Promise<{ sizeBytes: number; modifiedAt: number } | null> {
  return translated('looking at a file', async () => {
    try {
      const stats = await fs.stat(path)
      return { sizeBytes: stats.size, modifiedAt: stats.mtimeMs }
    } catch (error) {
      if (isMissing(error)) {
        return null
      }
      throw error
    }
  })
}

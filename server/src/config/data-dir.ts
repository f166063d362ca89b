import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** The data folder cannot be used. The message says what to do. */
export class DataDirError extends Error {
  override readonly name = 'DataDirError'
}

/** Where things are below the data folder. */
export interface DataDir {
  readonly path: string
  readonly controlDatabase: string
  /** The region's folder is also the root of its blob store. */
  readonly region: (regionId: string) => { folder: string; database: string; sessions: string }
  /** Gives the folder back, so that another process may use it. */
  release(): void
}

/** The layout alone, for programs that only read (`berth fsck`, `berth backup`). */
export function dataDirLayout(path: string): Omit<DataDir, 'release'> {
  return {
    path,
    controlDatabase: join(path, 'control.db'),
    region: (regionId) => {
      const folder = join(path, 'regions', regionId)
      return {
        folder,
        database: join(folder, 'region.db'),
        sessions: join(folder, 'sessions.db'),
      }
    },
  }
}

/**
 * Creates the data folder if needed and takes it for this process alone. Throws `DataDirError` when it cannot be
 * written or another process has it. The kernel drops the lock when the process dies, however it dies.
 */
export function openDataDir(path: string): DataDir {
  makeWritable(path)
  const lock = takeLock(path)
  return { ...dataDirLayout(path), release: () => lock.close() }
}

function makeWritable(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const probe = join(path, `.write-test-${process.pid}`)
    closeSync(openSync(probe, 'w'))
    rmSync(probe)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'error'
    const why: Record<string, string> = {
      EACCES: 'this user may not write there',
      EPERM: 'this user may not write there',
      EROFS: 'it is on a read-only file system',
      ENOSPC: 'the disk is full',
      ENOTDIR: 'a part of the path is a file',
      EEXIST: 'it is a file, not a folder',
    }
    throw new DataDirError(
      `The data folder ${path} cannot be used: ${why[code] ?? code}. Choose another with BERTH_DATA_DIR, or fix its owner and rights.`,
      { cause: error },
    )
  }
}

/**
 * Node has no file locks of its own; SQLite's exclusive lock on a file that holds nothing else is one, on every
 * platform, and the kernel drops it with the process.
 */
function takeLock(path: string): DatabaseSync {
  const lock = new DatabaseSync(join(path, 'berth.lock'), { timeout: 0 })
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    throw new DataDirError(
      `Another Berth process uses the data folder ${path}. Stop it first, or give this one a folder of its own with BERTH_DATA_DIR.`,
      { cause: error },
    )
  }
  writeFileSync(join(path, 'berth.pid'), `${process.pid}\n`)
  return lock
}

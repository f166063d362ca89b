import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { BUSY_TIMEOUT_MS, EXCLUSIVE_BUSY_TIMEOUT_MS, WAL_SIZE_LIMIT_BYTES } from './limits.ts'

export interface ConnectionOptions {
  /** `full`: a commit is on the disk when it returns. `off`: nothing waits for the disk, ever. */
  readonly synchronous: 'full' | 'off'
  /** No other connection can open the file, not even of this process. */
  readonly exclusive?: boolean
  readonly queryOnly: boolean
  readonly cacheKib: number
  /** Pages after which a commit also runs a checkpoint; 0: somebody else does. */
  readonly autoCheckpointPages: number
}

/**
 * Opens a SQLite file (made if missing, readable by its owner only) in write-ahead-log mode with foreign keys on.
 * Throws the error of `node:sqlite`, or an `Error` when the filesystem does not support the write-ahead log.
 */
export function openConnection(path: string, options: ConnectionOptions): DatabaseSync {
  const timeout = options.exclusive === true ? EXCLUSIVE_BUSY_TIMEOUT_MS : BUSY_TIMEOUT_MS
  const connection = new DatabaseSync(path, { timeout, enableForeignKeyConstraints: true })
  try {
    if (!options.queryOnly) chmodSync(path, 0o600)
    if (options.exclusive === true) connection.exec('pragma locking_mode = exclusive')
    const mode = connection.prepare('pragma journal_mode = wal').get()
    if (mode?.['journal_mode'] !== 'wal') throw new Error(`${path}: the filesystem has no write-ahead log`)
    connection.exec(`pragma synchronous = ${options.synchronous}`)
    connection.exec(`pragma cache_size = -${options.cacheKib}`)
    connection.exec(`pragma wal_autocheckpoint = ${options.autoCheckpointPages}`)
    connection.exec(`pragma journal_size_limit = ${WAL_SIZE_LIMIT_BYTES}`)
    connection.exec('pragma mmap_size = 0')
    connection.exec('pragma temp_store = memory')
    connection.exec('pragma trusted_schema = off')
    if (options.queryOnly) connection.exec('pragma query_only = on')
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { dataDirLayout } from '../config/data-dir.ts'

/** A backup cannot be made or restored. The message says what to do. */
export class BackupError extends Error {
  override readonly name = 'BackupError'
}

export interface BackupSummary {
  readonly createdAt: string
  readonly version: string
  readonly regions: readonly { id: string; blobs: number; bytes: number }[]
  readonly includesRootKey: boolean
}

export interface BackupOptions {
  readonly dataDir: string
  /** An empty or new folder. */
  readonly target: string
  readonly rootKeyFile: string
  readonly includeRootKey: boolean
  readonly version: string
  readonly onProgress: (progress: { region: string; done: number; total: number }) => void
}

const SUMMARY_FILE = 'backup.json'
const COPIES_AT_ONCE = 8

/**
 * Copies an embedded installation while it runs.
 *
 * Region databases are snapshotted before the control database, so the access feed of the copy is never behind what a
 * region has applied, and databases before blobs: blobs never change, and what a snapshot names stays on disk for the
 * trash period at least. Throws `BackupError`.
 */
export async function backUp(options: BackupOptions): Promise<BackupSummary> {
  await requireEmpty(options.target)
  const source = dataDirLayout(options.dataDir)
  const target = dataDirLayout(options.target)
  const regionIds = await listRegions(join(options.dataDir, 'regions'))
  for (const id of regionIds) await snapshot(source.region(id).database, target.region(id).database)
  await snapshot(source.controlDatabase, target.controlDatabase)

  const regions = []
  for (const id of regionIds) {
    const copied = await copyBlobs(
      target.region(id).database,
      source.region(id).folder,
      target.region(id).folder,
      (done, total) => options.onProgress({ region: id, done, total }),
    )
    regions.push({ id, ...copied })
  }
  if (options.includeRootKey) await copyDurably(options.rootKeyFile, join(options.target, 'root.key'))
  const summary: BackupSummary = {
    createdAt: new Date().toISOString(),
    version: options.version,
    regions,
    includesRootKey: options.includeRootKey,
  }
  await writeFile(join(options.target, SUMMARY_FILE), `${JSON.stringify(summary, null, 2)}\n`, {
    flush: true,
  })
  await syncFolder(options.target)
  return summary
}

export interface RestoreOptions {
  readonly source: string
  /** An empty or new folder. */
  readonly dataDir: string
  readonly onProgress: (progress: { done: number; total: number }) => void
}

/** Copies a backup into an empty data folder. Throws `BackupError` when it is not a finished backup. */
export async function restore(options: RestoreOptions): Promise<BackupSummary> {
  const summary = await readSummary(options.source)
  await requireEmpty(options.dataDir)
  const files = await listFiles(options.source)
  let done = 0
  for (const file of files) {
    if (file !== SUMMARY_FILE) await copyDurably(join(options.source, file), join(options.dataDir, file))
    done += 1
    options.onProgress({ done, total: files.length })
  }
  await syncFolder(options.dataDir)
  return summary
}

async function readSummary(source: string): Promise<BackupSummary> {
  try {
    return JSON.parse(await readFile(join(source, SUMMARY_FILE), 'utf8')) as BackupSummary
  } catch (error) {
    throw new BackupError(`${source} is not a finished backup: it has no readable ${SUMMARY_FILE}.`, {
      cause: error,
    })
  }
}

async function requireEmpty(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if ((await readdir(folder)).length > 0)
    throw new BackupError(`${folder} is not empty. Choose a new folder.`)
}

async function listRegions(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  } catch (error) {
    throw new BackupError(`${dirname(folder)} is not the data folder of an embedded installation.`, {
      cause: error,
    })
  }
}

async function snapshot(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 })
  const database = new DatabaseSync(from, { readOnly: true, timeout: 30_000 })
  try {
    database.prepare('VACUUM INTO ?').run(to)
  } finally {
    database.close()
  }
  // As the database itself: the folder of the backup may be one that others can read.
  await chmod(to, 0o600)
  await syncFile(to)
}

async function copyBlobs(
  database: string,
  from: string,
  to: string,
  onProgress: (done: number, total: number) => void,
): Promise<{ blobs: number; bytes: number }> {
  const snapshotDatabase = new DatabaseSync(database, { readOnly: true })
  const rows = snapshotDatabase
    .prepare(`select storage_key, size_bytes, state from blob where storage_key is not null`)
    .all() as { storage_key: string; size_bytes: number; state: string }[]
  snapshotDatabase.close()
  let next = 0
  let blobs = 0
  let bytes = 0
  const worker = async () => {
    for (;;) {
      const row = rows[next]
      if (row === undefined) return
      next += 1
      const copied = await copyBlob(row, from, to)
      if (copied) {
        blobs += 1
        bytes += row.size_bytes
      }
      onProgress(blobs, rows.length)
    }
  }
  await Promise.all(Array.from({ length: COPIES_AT_ONCE }, worker))
  return { blobs, bytes }
}

async function copyBlob(
  row: { storage_key: string; size_bytes: number; state: string },
  from: string,
  to: string,
): Promise<boolean> {
  const source = join(from, row.storage_key)
  const target = join(to, row.storage_key)
  try {
    await copyDurably(source, target)
  } catch (error) {
    // What was in the trash may have been purged since the snapshot; nothing reads it.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && row.state === 'trashed') return false
    throw error
  }
  const { size } = await stat(target)
  if (size !== row.size_bytes)
    throw new BackupError(`${source} has ${size} bytes instead of ${row.size_bytes}. Run "berth fsck".`)
  return true
}

async function copyDurably(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 })
  await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
  await syncFile(to)
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function listFiles(folder: string, below = ''): Promise<string[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true })
  const lists = await Promise.all(
    entries.map(async (entry) => {
      const path = join(below, entry.name)
      return entry.isDirectory() ? listFiles(folder, path) : [path]
    }),
  )
  return lists.flat()
}

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Linux's name for the time since the machine started; the same in containers of one machine. */
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id'

/** Files that SQLite keeps beside a database. */
const COMPANIONS = ['-wal', '-shm', '-journal']

export interface BootGuard {
  /** Call after the file was closed: it will be trusted at the next start, whatever happens to the machine. */
  closeCleanly(): void
}

/**
 * Makes a database usable that is written without ever waiting for the disk. Its pages are whole as long as the
 * machine runs, however the process ends; after a power failure they may be mixed from different times. So while the
 * file is in use, the boot of the machine is written down beside it, durably, and a file whose note is of another
 * boot is removed. Where the boot has no name, only a file that was closed cleanly is kept.
 *
 * Throws what the filesystem throws.
 */
export function openBootGuard(path: string, bootId: string | null = readBootId()): BootGuard {
  const note = `${path}-boot`
  if (existsSync(note) && (bootId === null || readFileSync(note, 'utf8') !== bootId)) {
    for (const suffix of ['', ...COMPANIONS]) rmSync(path + suffix, { force: true })
  }
  writeDurably(note, bootId ?? '')
  return {
    closeCleanly() {
      syncFile(path)
      rmSync(note, { force: true })
    },
  }
}

function readBootId(): string | null {
  try {
    return readFileSync(BOOT_ID_FILE, 'utf8').trim()
  } catch {
    return null
  }
}

function writeDurably(path: string, text: string): void {
  const file = openSync(path, 'w', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  syncFile(dirname(path))
}

function syncFile(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

import { basename, dirname } from 'node:path'

interface FileRecord {
  writes: number
  /** How many of the writes a successful fsync has covered; -1 before the first. */
  synced: number
}

/** For fault tests: what a file system that keeps only what was synced would still have after power loss. */
export class DurabilityLedger {
  readonly #root: string
  readonly #files = new Map<string, FileRecord>()
  readonly #entries = new Map<string, Set<string>>()
  readonly #durableEntries = new Set<string>()

  constructor(root: string) {
    this.#root = root
  }

  record(path: string): FileRecord {
    const record = this.#files.get(path) ?? { writes: 0, synced: -1 }
    this.#files.set(path, record)
    return record
  }

  addEntry(path: string): void {
    const names = this.#entries.get(dirname(path)) ?? new Set()
    this.#entries.set(dirname(path), names.add(basename(path)))
  }

  rename(from: string, to: string): void {
    this.#files.set(to, this.record(from))
    this.#files.delete(from)
    this.#entries.get(dirname(from))?.delete(basename(from))
    this.addEntry(to)
  }

  /** An fsync covers what was there when it began, if it succeeds. */
  async syncDirectory(path: string, sync: () => Promise<void>): Promise<void> {
    const names = [...(this.#entries.get(path) ?? [])]
    await sync()
    for (const name of names) {
      this.#durableEntries.add(`${path}/${name}`)
    }
  }

  async syncFile(record: FileRecord, sync: () => Promise<void>): Promise<void> {
    const { writes } = record
    await sync()
    record.synced = writes
  }

  /**
   * Whether the file, with all that was written to it, would be there after power loss now: its bytes were synced
   * after the last write, and its name and those of its directories (below the root) after they were made.
   */
  survivesPowerLoss(path: string): boolean {
    const record = this.#files.get(path)
    if (!record || record.synced !== record.writes) {
      return false
    }
    for (let at = path; at !== this.#root; at = dirname(at)) {
      if (!this.#durableEntries.has(at)) {
        return false
      }
    }
    return true
  }
}

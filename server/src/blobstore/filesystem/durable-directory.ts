import { dirname, join } from 'node:path'
import type { ByteBudget } from '../byte-budget.ts'
import type { FileSystem } from './file-system.ts'
import { isMissing, isPresent } from './file-system.ts'

interface Rounds {
  running: Promise<void>
  /** The fsync that begins when the running one is over. Whoever asks meanwhile shares it. */
  next: Promise<void> | null
}

/** Makes directory entries survive power loss, with as few fsyncs as that takes. */
export class DurableDirectories {
  readonly #fs: FileSystem
  readonly #root: string
  readonly #syncSlots: ByteBudget
  readonly #rounds = new Map<string, Rounds>()
  readonly #made = new Map<string, Promise<void>>()

  /** `root` must exist and be durable already. Paths below are relative to it. */
  constructor(fs: FileSystem, root: string, syncSlots: ByteBudget) {
    this.#fs = fs
    this.#root = root
    this.#syncSlots = syncSlots
    this.#made.set('.', Promise.resolve())
  }

  /**
   * Makes the directory and its parents where missing. The parent is synced even when the directory is there already:
   * an earlier process may have made it and lost power before its own sync.
   */
  ensure(directory: string): Promise<void> {
    const known = this.#made.get(directory)
    if (known) {
      return known
    }
    const made = this.#make(directory)
    this.#made.set(directory, made)
    made.catch(() => this.#made.delete(directory))
    return made
  }

  async #make(directory: string): Promise<void> {
    const parent = dirname(directory)
    await this.ensure(parent)
    try {
      await this.#fs.mkdir(join(this.#root, directory), { mode: 0o750 })
    } catch (error) {
      if (isMissing(error)) {
        this.#made.delete(parent)
      }
      if (!isPresent(error)) {
        throw error
      }
    }
    await this.sync(parent)
  }

  /** Forgets that the directory is there, after it turned out to be gone. */
  forget(directory: string): void {
    this.#made.delete(directory)
  }

  /**
   * Resolves when every change of the directory that was made before this call is durable. Callers that come while an
   * fsync runs share the one that begins after it: the running one may have begun before their change.
   */
  sync(directory: string): Promise<void> {
    const rounds = this.#rounds.get(directory)
    if (rounds) {
      rounds.next ??= rounds.running.then(
        () => this.#startRound(directory),
        () => this.#startRound(directory),
      )
      return rounds.next
    }
    return this.#startRound(directory)
  }

  #startRound(directory: string): Promise<void> {
    const rounds: Rounds = { running: this.#fsync(directory), next: null }
    this.#rounds.set(directory, rounds)
    const end = () => {
      if (!rounds.next && this.#rounds.get(directory) === rounds) {
        this.#rounds.delete(directory)
      }
    }
    rounds.running.then(end, end)
    return rounds.running
  }

  async #fsync(directory: string): Promise<void> {
    await this.#syncSlots.acquire(1)
    try {
      const handle = await this.#fs.open(join(this.#root, directory), 'r')
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    } finally {
      this.#syncSlots.release(1)
    }
  }
}

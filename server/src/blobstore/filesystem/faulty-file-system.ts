import type { FileHandle } from 'node:fs/promises'
import * as real from 'node:fs/promises'
import { DurabilityLedger } from './durability-ledger.ts'
import type { FileSystem } from './file-system.ts'

/** What goes wrong: an error code, or a write that takes only the first half of its bytes. */
export type Fault = 'EIO' | 'ENOSPC' | 'short write'

/** For fault tests: the real file system, one operation of which fails, and a record of what is durable. */
export class FaultyFileSystem {
  /** Operations so far, with the path below the root: `fsync uploads/…`. */
  readonly operations: string[] = []
  readonly ledger: DurabilityLedger
  readonly fileSystem: FileSystem
  readonly #root: string
  #plan: { at: number | string; fault: Fault } | null = null
  #failed = false

  constructor(root: string) {
    this.#root = root
    this.ledger = new DurabilityLedger(root)
    this.fileSystem = this.#calls() as unknown as FileSystem
  }

  /** Makes the operation fail that comes after `skip` more. */
  failAfter(skip: number, fault: Fault): void {
    this.#failed = false
    this.#plan = { at: this.operations.length + skip, fault }
  }

  /** Makes the next operation of that name fail: `fsync`, `write`. */
  failNext(operation: string, fault: Fault): void {
    this.#failed = false
    this.#plan = { at: operation, fault }
  }

  /** Whether the planned fault has happened. */
  get failed(): boolean {
    return this.#failed
  }

  /** Counts an operation; answers the fault when it is its turn. */
  #next(operation: string, path: string): Fault | null {
    this.operations.push(`${operation} ${path.slice(this.#root.length + 1)}`)
    const plan = this.#plan
    if (plan && (plan.at === operation || plan.at === this.operations.length - 1)) {
      this.#failed = true
      this.#plan = null
      return plan.fault
    }
    return null
  }

  async #run<T>(operation: string, path: string, act: () => Promise<T>): Promise<T> {
    throwIfError(this.#next(operation, path))
    return act()
  }

  #calls() {
    const simply =
      <T>(operation: string, call: (path: string) => Promise<T>) =>
      (path: string) =>
        this.#run(operation, path, () => call(path))
    return {
      unlink: simply('unlink', real.unlink),
      stat: simply('stat', real.stat),
      statfs: simply('statfs', real.statfs),
      opendir: simply('opendir', real.opendir),
      open: (path: string, flags: string | number, mode?: number) =>
        this.#run('open', path, async () => {
          const handle = await real.open(path, flags, mode)
          const isDirectory = (await handle.stat()).isDirectory()
          if (!isDirectory) {
            this.ledger.addEntry(path)
          }
          return this.#wrap(handle, path, isDirectory)
        }),
      mkdir: (path: string, options: { recursive?: boolean }) =>
        this.#run('mkdir', path, async () => {
          const made = await real.mkdir(path, options)
          this.ledger.addEntry(path)
          return made
        }),
      rename: (from: string, to: string) =>
        this.#run('rename', from, async () => {
          await real.rename(from, to)
          this.ledger.rename(from, to)
        }),
    }
  }

  #wrap(handle: FileHandle, path: string, isDirectory: boolean): FileHandle {
    const record = this.ledger.record(path)
    const calls: Partial<Record<string | symbol, unknown>> = {
      writev: async (buffers: Uint8Array[], position: number) => {
        const fault = this.#next('write', path)
        throwIfError(fault)
        record.writes++
        return handle.writev(fault === 'short write' ? firstHalf(buffers) : buffers, position)
      },
      truncate: (size: number) =>
        this.#run('truncate', path, async () => {
          record.writes++
          await handle.truncate(size)
        }),
      sync: () =>
        this.#run('fsync', path, () =>
          isDirectory
            ? this.ledger.syncDirectory(path, () => handle.sync())
            : this.ledger.syncFile(record, () => handle.sync()),
        ),
      stat: () => this.#run('fstat', path, () => handle.stat()),
      utimes: (atime: number, mtime: number) => this.#run('utimes', path, () => handle.utimes(atime, mtime)),
      read: (buffer: Buffer, offset: number, length: number, position: number) =>
        this.#run('read', path, () => handle.read(buffer, offset, length, position)),
      // A close that fails has closed the file all the same.
      close: async () => {
        const fault = this.#next('close', path)
        await handle.close()
        throwIfError(fault)
      },
    }
    return new Proxy(handle, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        return calls[name] ?? (typeof value === 'function' ? value.bind(target) : value)
      },
    })
  }
}

function throwIfError(fault: Fault | null): void {
  if (fault && fault !== 'short write') {
    throw Object.assign(new Error(`${fault}: made to fail`), { code: fault })
  }
}

function firstHalf(buffers: Uint8Array[]): Uint8Array[] {
  const first = buffers[0] ?? new Uint8Array()
  return first.byteLength > 1 ? [first.subarray(0, first.byteLength >> 1)] : [first]
}

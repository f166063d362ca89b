import { EventEmitter } from 'node:events'
import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type DatabaseKind, DatabaseUnavailableError } from '../database.ts'
import {
  COMMAND_TIMEOUT_CHECK_MS,
  COMMAND_TIMEOUT_MS,
  MAX_RESTARTS,
  MAX_WAITING_BYTES,
  MAX_WAITING_COMMANDS,
  RESTART_WINDOW_MS,
  WRITER_YOUNG_GENERATION_MIB,
} from './limits.ts'
import { type Answer, fromErrorMessage, type WriterRequest } from './writer-protocol.ts'
import type { WriterThreadData } from './writer-thread.ts'

interface Call {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
  readonly sizeBytes: number
  readonly startedAt: number
}

interface OpenedDatabase {
  readonly kind: DatabaseKind
  readonly path: string
}

type Unsent<Request> = Request extends WriterRequest ? Omit<Request, 'call'> : never

/** The folder that the cache was enabled with; Node answers the one below it, of its own version. */
function compileCacheFolder(): string | null {
  const inUse = getCompileCacheDir()
  return inUse === undefined ? null : dirname(inUse)
}

/**
 * A thread does not inherit the process's compile cache, and without it loads the whole of Node's type stripper: 20 MiB
 * and most of the time of its start.
 */
const WRITER_ENTRY = `
const { enableCompileCache, flushCompileCache } = require('node:module')
const cache = ${JSON.stringify(compileCacheFolder())}
if (cache !== null) enableCompileCache(cache)
import(${JSON.stringify(new URL('./writer-thread.ts', import.meta.url).href)}).then(() => flushCompileCache())
`

/**
 * The writer thread of this process, seen from the main thread: one for all SQLite databases. When the thread ends
 * by itself, everything that waits is rejected (whether it was committed is not known) and another thread is started,
 * at most `MAX_RESTARTS` times in `RESTART_WINDOW_MS`.
 */
export class SqliteWriter {
  readonly #commandsModule: string
  readonly #commandTimeoutMs: number
  readonly #calls = new Map<number, Call>()
  readonly #databases = new Map<number, OpenedDatabase>()
  readonly #channels = new Map<string, EventEmitter>()
  readonly #starts: number[] = []
  readonly #timer: NodeJS.Timeout
  #worker: Worker | null = null
  #waitingBytes = 0
  #lastCall = 0
  #lastDatabase = 0
  #closed = false

  constructor(commandsModule: URL, commandTimeoutMs: number) {
    this.#commandsModule = commandsModule.href
    this.#commandTimeoutMs = commandTimeoutMs
    const checkMs = Math.min(COMMAND_TIMEOUT_CHECK_MS, commandTimeoutMs)
    this.#timer = setInterval(() => this.#rejectOverdue(), checkMs).unref()
    this.#start()
  }

  /** Opens a database in the writer thread, with its schema brought up to date; answers its number. */
  async open(kind: DatabaseKind, path: string): Promise<number> {
    this.#lastDatabase += 1
    const database = this.#lastDatabase
    await this.#send({ type: 'open', database, kind, path, again: false }, 0)
    this.#databases.set(database, { kind, path })
    return database
  }

  /** Runs a command; see `Database.run`. `sizeBytes`: about how much memory its arguments take. */
  run(database: number, command: string, args: unknown, sizeBytes: number): Promise<unknown> {
    return this.#send({ type: 'run', database, command, args, sizeBytes }, sizeBytes)
  }

  async closeDatabase(database: number): Promise<void> {
    this.#databases.delete(database)
    if (this.#worker !== null) await this.#send({ type: 'close', database }, 0)
  }

  /** Where the handles of one file tell each other about changes. */
  channelsOf(path: string): EventEmitter {
    const known = this.#channels.get(path)
    if (known !== undefined) return known
    const channels = new EventEmitter()
    channels.setMaxListeners(0)
    this.#channels.set(path, channels)
    return channels
  }

  /** Ends the thread after what was asked before; databases that are still open are closed. */
  async close(): Promise<void> {
    if (this.#closed) return
    for (const database of this.#databases.keys()) {
      await this.closeDatabase(database).catch(() => undefined)
    }
    this.#closed = true
    clearInterval(this.#timer)
    await this.#worker?.terminate()
    this.#rejectAll(new DatabaseUnavailableError('connection', new Error('the writer thread was closed')))
  }

  #send(request: Unsent<WriterRequest>, sizeBytes: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const worker = this.#usableWorker(sizeBytes)
      this.#lastCall += 1
      const call = this.#lastCall
      worker.postMessage({ ...request, call })
      this.#calls.set(call, { resolve, reject, sizeBytes, startedAt: performance.now() })
      this.#waitingBytes += sizeBytes
      worker.ref()
    })
  }

  /** Throws `DatabaseUnavailableError` when the thread is gone or too much waits for it. */
  #usableWorker(sizeBytes: number): Worker {
    if (this.#closed)
      throw new DatabaseUnavailableError('connection', new Error('the writer thread was closed'))
    if (this.#worker === null) this.#restart()
    if (this.#worker === null) {
      throw new DatabaseUnavailableError('connection', new Error('the writer thread ended too often'))
    }
    const full = this.#calls.size >= MAX_WAITING_COMMANDS
    // One command may be larger than the limit, but not together with others.
    if (full || (this.#calls.size > 0 && this.#waitingBytes + sizeBytes > MAX_WAITING_BYTES)) {
      throw new DatabaseUnavailableError('connection', new Error('too many writes are waiting'))
    }
    return this.#worker
  }

  #start(): void {
    this.#starts.push(performance.now())
    const workerData: WriterThreadData = { commandsModule: this.#commandsModule }
    const worker = new Worker(WRITER_ENTRY, {
      eval: true,
      workerData,
      name: 'sqlite-writer',
      resourceLimits: { maxYoungGenerationSizeMb: WRITER_YOUNG_GENERATION_MIB },
    })
    let cause: unknown = new Error('the writer thread ended')
    worker.on('message', (answers: Answer[]) => this.#settle(answers))
    worker.on('error', (error) => {
      cause = error
    })
    worker.on('exit', () => {
      if (this.#worker !== worker) return
      this.#worker = null
      this.#rejectAll(new DatabaseUnavailableError('connection', cause))
      if (!this.#closed) this.#restart()
    })
    // The thread alone does not keep the process alive; waiting calls do.
    worker.unref()
    this.#worker = worker
  }

  /** Starts the thread again with the databases that were open, unless it ended too often of late. */
  #restart(): void {
    const windowStart = performance.now() - RESTART_WINDOW_MS
    while (this.#starts[0] !== undefined && this.#starts[0] < windowStart) this.#starts.shift()
    if (this.#starts.length > MAX_RESTARTS) return
    this.#start()
    for (const [database, { kind, path }] of this.#databases) {
      this.#send({ type: 'open', database, kind, path, again: true }, 0).catch(() => undefined)
    }
  }

  #settle(answers: readonly Answer[]): void {
    for (const answer of answers) {
      const call = this.#take(answer.call)
      if (call === null) continue
      if (answer.ok) call.resolve(answer.result)
      else call.reject(fromErrorMessage(answer.error))
    }
  }

  #take(number: number): Call | null {
    const call = this.#calls.get(number)
    if (call === undefined) return null
    this.#calls.delete(number)
    this.#waitingBytes -= call.sizeBytes
    if (this.#calls.size === 0) this.#worker?.unref()
    return call
  }

  #rejectAll(error: DatabaseUnavailableError): void {
    for (const number of this.#calls.keys()) this.#take(number)?.reject(error)
  }

  /** A disk that hangs must not hold its callers for ever. Calls are in the order of their start. */
  #rejectOverdue(): void {
    const limit = performance.now() - this.#commandTimeoutMs
    for (const [number, call] of this.#calls) {
      if (call.startedAt > limit) return
      const cause = new Error(`the disk did not answer within ${this.#commandTimeoutMs} ms`)
      this.#take(number)?.reject(new DatabaseUnavailableError('io', cause))
    }
  }
}

export interface SqliteWriterOptions {
  /** Exports `COMMANDS` as `commands.ts` does; only for tests that need commands of their own. */
  readonly commandsModule?: URL
  readonly commandTimeoutMs?: number
}

/** Starts the writer thread of this process. */
export function startSqliteWriter(options: SqliteWriterOptions = {}): SqliteWriter {
  const commandsModule = options.commandsModule ?? new URL('../commands.ts', import.meta.url)
  return new SqliteWriter(commandsModule, options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS)
}

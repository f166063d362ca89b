import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import type { Kysely } from 'kysely'
import type { AnyCommand } from '../commands.ts'
import { type DatabaseKind, Rollback } from '../database.ts'
import { migrate } from '../migrations/migrate.ts'
import { openConnection } from './connection.ts'
import { unavailabilityOf } from './errors.ts'
import { BUSY_TIMEOUT_MS, CHECKPOINT_PAGES, WRITER_CACHE_KIB } from './limits.ts'
import { kyselyOver } from './node-sqlite-dialect.ts'
import { type Answer, type ErrorMessage, type RunRequest, toErrorMessage } from './writer-protocol.ts'

interface OpenDatabase {
  readonly connection: DatabaseSync
  readonly db: Kysely<unknown>
  /** The first error of a query of the command that is running. */
  failure: Error | null
  /** `pragma secure_delete` as it is set now. */
  fillsDeleted: boolean
}

/**
 * The writing end of one database file: runs groups of commands, each group in one transaction with one fsync.
 *
 * When a group cannot be committed, all of its callers are told so and the connection is closed and opened again:
 * after a failed fsync the kernel may have dropped the pages, so nothing may be tried again on what the connection
 * has in memory.
 */
export class GroupWriter {
  readonly #kind: DatabaseKind
  readonly #path: string
  readonly #commands: ReadonlyMap<string, AnyCommand>
  #open: OpenDatabase | null = null
  /** Something was overwritten that is still in the write-ahead log; at first, what a process before has left there. */
  #mustErase = true

  constructor(kind: DatabaseKind, path: string, commands: ReadonlyMap<string, AnyCommand>) {
    this.#kind = kind
    this.#path = path
    this.#commands = commands
  }

  /** Opens the file and brings its schema up to date. Throws what SQLite throws, or `DatabaseTooNewError`. */
  async open(): Promise<void> {
    const { connection, db } = this.#ensureOpen()
    try {
      connection.exec('begin immediate')
      await migrate(db, this.#kind, 'sqlite', Date.now())
      connection.exec('commit')
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Runs the commands in their order and commits them together. Never throws. */
  async commit(requests: readonly RunRequest[]): Promise<Answer[]> {
    try {
      // A file that vanished would be made again, empty and without its tables.
      if (this.#open === null && !existsSync(this.#path)) throw new Error(`${this.#path} is gone`)
      const open = this.#ensureOpen()
      const erases = requests.some(({ command }) => this.#commands.get(command)?.erases === true)
      fillDeletedWithZeros(open, erases || this.#kind === 'control')
      open.connection.exec('begin immediate')
      const answers: Answer[] = []
      for (const request of requests) answers.push(await this.#execute(open, request))
      open.connection.exec('commit')
      if (erases) this.#mustErase = true
      this.#erase(open.connection)
      return answers
    } catch (error) {
      this.close()
      const message = toErrorMessage(error)
      const unavailable: ErrorMessage = { ...message, type: 'unavailable', reason: message.reason ?? 'io' }
      return requests.map((request) => ({ call: request.call, ok: false, error: unavailable }))
    }
  }

  /**
   * Moves committed pages from the write-ahead log into the database when there are many. Called between groups, so
   * that no commit waits for it; a failure loses nothing and is met again by the next call.
   */
  checkpoint(): void {
    if (this.#open === null) return
    const { connection } = this.#open
    try {
      const state = connection.prepare('pragma wal_checkpoint(noop)').get()
      const waiting = Number(state?.['log'] ?? 0) - Number(state?.['checkpointed'] ?? 0)
      if (waiting >= CHECKPOINT_PAGES) connection.exec('pragma wal_checkpoint(passive)')
    } catch {
      this.close()
    }
  }

  /**
   * Empties the write-ahead log, which still has the pages from before. A reader of another process keeps it from
   * that; then it is tried again after the next group. A failure is not the commit's: that is on the disk.
   */
  #erase(connection: DatabaseSync): void {
    if (!this.#mustErase) return
    try {
      connection.exec('pragma busy_timeout = 0')
      const state = connection.prepare('pragma wal_checkpoint(truncate)').get()
      this.#mustErase = state?.['busy'] !== 0
      connection.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`)
    } catch {
      this.close()
    }
  }

  close(): void {
    const open = this.#open
    this.#open = null
    try {
      open?.connection.close()
    } catch {
      // A connection that fails to close is not used again either.
    }
  }

  #ensureOpen(): OpenDatabase {
    if (this.#open !== null) return this.#open
    const connection = openConnection(this.#path, {
      synchronous: 'full',
      queryOnly: false,
      cacheKib: WRITER_CACHE_KIB,
      autoCheckpointPages: 0,
    })
    const open: OpenDatabase = {
      connection,
      db: kyselyOver(connection, (error) => {
        open.failure ??= toError(error)
      }),
      failure: null,
      fillsDeleted: false,
    }
    this.#open = open
    return open
  }

  /**
   * Runs one command in a savepoint. Throws only when the whole group is lost: the database failed, or SQLite ended
   * the transaction by itself.
   */
  async #execute(open: OpenDatabase, request: RunRequest): Promise<Answer> {
    const { connection, db } = open
    open.failure = null
    connection.exec('savepoint command')
    let answer: Answer
    try {
      const command = this.#commands.get(request.command)
      if (command === undefined)
        throw new Error(`no command is named ${request.command}: list it in commands.ts`)
      const result: unknown = await command.execute(db as never, request.args as never)
      answer = { call: request.call, ok: true, result }
      // PostgreSQL cannot commit after a failed query, so a command must not be able to here.
      const swallowed = failureOf(open)
      if (swallowed !== null) throw swallowed
    } catch (error) {
      const failure = failureOf(open) ?? toError(error)
      if (unavailabilityOf(failure) !== null || !connection.isTransaction) throw failure
      connection.exec('rollback to command')
      answer =
        failure instanceof Rollback
          ? { call: request.call, ok: true, result: failure.result }
          : { call: request.call, ok: false, error: toErrorMessage(failure) }
    }
    connection.exec('release command')
    return answer
  }
}

/** Only where something secret may be: it costs writes, and deleted content of a registry is nothing to hide. */
function fillDeletedWithZeros(open: OpenDatabase, wanted: boolean): void {
  if (open.fillsDeleted === wanted) return
  open.connection.exec(`pragma secure_delete = ${wanted ? 'on' : 'off'}`)
  open.fillsDeleted = wanted
}

function failureOf(open: OpenDatabase): Error | null {
  return open.failure
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

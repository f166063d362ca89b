import type { Kysely } from 'kysely'

/** The two kinds of metadata database: one for the control plane, one per region. */
export type DatabaseKind = 'control' | 'region'

/**
 * A write transaction as a value: a named function over a Kysely handle that is already inside a transaction.
 *
 * Commands run in a writer thread on SQLite, so `args` and the result must be structured-cloneable, and the
 * function must be found by name in that thread: each command is listed in `commands.ts`. On PostgreSQL the same
 * function runs in a transaction of its own, and runs again when the database asks for a retry (serialization
 * failure, deadlock), so it must not have effects besides its queries.
 *
 * Expected outcomes are part of the result (`{ ok: false, reason }`), never exceptions: a command that throws is a
 * bug or a failing database, and leaves nothing behind. To undo writes and still answer, throw `Rollback`.
 */
export interface Command<Schema, Args, Result> {
  readonly name: string
  readonly execute: (tx: Kysely<Schema>, args: Args) => Promise<Result>
  /** Its commit leaves nothing of what it overwrote or deleted in the files of SQLite. */
  readonly erases?: boolean
}

/** Thrown inside a command: undo its writes and answer with `result`. */
export class Rollback extends Error {
  readonly result: unknown

  constructor(result: unknown) {
    super('rolled back')
    this.name = 'Rollback'
    this.result = result
  }
}

/** Declares a command; `name` is `<noun>.<verb>` and unique in its database kind. */
export function defineCommand<Schema, Args, Result>(
  name: string,
  execute: (tx: Kysely<Schema>, args: Args) => Promise<Result>,
): Command<Schema, Args, Result> {
  return { name, execute }
}

/**
 * The same for a command that overwrites or deletes a secret. On SQLite nothing of the old one is in the database or
 * its write-ahead log when `run` returns, unless another process reads just then. PostgreSQL keeps old rows until
 * vacuum and old log segments until they are reused, and has no means against that.
 */
export function defineErasingCommand<Schema, Args, Result>(
  name: string,
  execute: (tx: Kysely<Schema>, args: Args) => Promise<Result>,
): Command<Schema, Args, Result> {
  return { name, execute, erases: true }
}

/**
 * One metadata database.
 *
 * Reads go through `reader`, each statement on its own. What must be consistent across several reads belongs into
 * one statement or into a command.
 */
export interface Database<Schema> {
  readonly dialect: 'sqlite' | 'postgres'
  readonly reader: Kysely<Schema>

  /**
   * Runs a command in one transaction. The promise resolves when the commit is durable (power loss included).
   * Rejects with `DatabaseUnavailableError` when the database cannot be reached or refuses the commit: then nothing
   * was acknowledged, and the effect is visible only if the commit did reach the disk.
   */
  run<Args, Result>(command: Command<Schema, Args, Result>, args: Args): Promise<Result>

  /** Milliseconds since the epoch by the database's clock (on SQLite: this process's). */
  nowMs(): Promise<number>

  /**
   * Calls `listener` soon after another process or handle called `notify` with this channel. A hint only: it may be
   * lost or come twice, so whoever listens also polls. Returns a function that ends the subscription.
   */
  subscribe(channel: string, listener: () => void): () => void
  notify(channel: string): Promise<void>

  /** Resolves when a trivial read and a trivial write both work. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** The database cannot be reached, is full, or its disk fails. Rendered as 503 with Retry-After; by the registry, when full, as 403. */
export class DatabaseUnavailableError extends Error {
  /** `full`: no space left; `io`: read, write or fsync failed; `connection`: unreachable or timed out. */
  readonly reason: 'full' | 'io' | 'connection'

  constructor(reason: 'full' | 'io' | 'connection', cause: unknown) {
    super('the metadata database is unavailable', { cause })
    this.name = 'DatabaseUnavailableError'
    this.reason = reason
  }
}

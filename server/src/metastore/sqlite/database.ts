import { resolve } from 'node:path'
import type { EventEmitter } from 'node:events'
import type { DatabaseSync } from 'node:sqlite'
import { type Kysely, sql } from 'kysely'
import type { Command, Database, DatabaseKind } from '../database.ts'
import { touchHealth } from '../queries/health.ts'
import type { Schemas } from '../schemas.ts'
import { openConnection } from './connection.ts'
import { toCallerError } from './errors.ts'
import { READER_CACHE_KIB } from './limits.ts'
import { kyselyOver } from './node-sqlite-dialect.ts'
import type { SqliteWriter } from './writer.ts'

/**
 * Opens a SQLite database (made if missing) and brings its schema up to date. Its folder must exist. Commands run in
 * the writer thread, reads in this one on a connection of their own. That no other process serves the same file is
 * for the caller to make sure of.
 *
 * Throws `DatabaseUnavailableError` when the file cannot be opened (`connection`: another process holds its lock),
 * and `DatabaseTooNewError` when a newer version wrote it.
 */
export async function openSqliteDatabase<Kind extends DatabaseKind>(
  kind: Kind,
  options: { path: string; writer: SqliteWriter },
): Promise<Database<Schemas[Kind]>> {
  const path = resolve(options.path)
  const { writer } = options
  const number = await writer.open(kind, path)
  try {
    const connection = openConnection(path, {
      synchronous: 'full',
      queryOnly: true,
      cacheKib: READER_CACHE_KIB,
      autoCheckpointPages: 0,
    })
    return new SqliteDatabase<Schemas[Kind]>(writer, number, connection, writer.channelsOf(path))
  } catch (error) {
    await writer.closeDatabase(number)
    throw toCallerError(error)
  }
}

class SqliteDatabase<Schema> implements Database<Schema> {
  readonly dialect = 'sqlite'
  readonly reader: Kysely<Schema>
  readonly #writer: SqliteWriter
  readonly #number: number
  readonly #connection: DatabaseSync
  readonly #channels: EventEmitter
  readonly #subscriptions = new Set<() => void>()
  #closed = false

  constructor(writer: SqliteWriter, number: number, connection: DatabaseSync, channels: EventEmitter) {
    this.#writer = writer
    this.#number = number
    this.#connection = connection
    this.#channels = channels
    this.reader = kyselyOver<Schema>(connection)
  }

  async run<Args, Result>(command: Command<Schema, Args, Result>, args: Args): Promise<Result> {
    const { compact, sizeBytes } = prepareArgs(args)
    return (await this.#writer.run(this.#number, command.name, compact, sizeBytes)) as Result
  }

  async nowMs(): Promise<number> {
    return Date.now()
  }

  subscribe(channel: string, listener: () => void): () => void {
    // Not within the notifier's own call: a listener that throws is no concern of the one who changed something.
    const onEvent = () => setImmediate(listener)
    const end = () => {
      this.#channels.off(channel, onEvent)
      this.#subscriptions.delete(end)
    }
    this.#channels.on(channel, onEvent)
    this.#subscriptions.add(end)
    return end
  }

  async notify(channel: string): Promise<void> {
    this.#channels.emit(channel)
  }

  async ping(): Promise<void> {
    await sql`select checked_at from health_check`.execute(this.reader)
    await this.#writer.run(this.#number, touchHealth.name, { nowMs: Date.now() }, 0)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const end of this.#subscriptions) end()
    // The reader goes first: whoever closes last moves the write-ahead log into the file, and may write.
    this.#connection.close()
    await this.#writer.closeDatabase(this.#number)
  }
}

/** About how much an argument costs besides its texts and bytes. */
const ARGUMENT_OVERHEAD_BYTES = 128

/**
 * Estimates the size of a command's arguments, and copies bytes that are a small part of a large buffer: structured
 * cloning copies the whole buffer behind a view.
 */
function prepareArgs(args: unknown): { compact: unknown; sizeBytes: number } {
  if (typeof args !== 'object' || args === null) return { compact: args, sizeBytes: ARGUMENT_OVERHEAD_BYTES }
  let sizeBytes = ARGUMENT_OVERHEAD_BYTES
  let compact: Record<string, unknown> | null = null
  for (const [name, value] of Object.entries(args)) {
    if (typeof value === 'string') sizeBytes += value.length
    else if (value instanceof Uint8Array) {
      sizeBytes += value.byteLength
      if (value.byteLength === value.buffer.byteLength) continue
      compact ??= { ...args }
      compact[name] = new Uint8Array(value)
    }
  }
  return { compact: compact ?? args, sizeBytes }
}

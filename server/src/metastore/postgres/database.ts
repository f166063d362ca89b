import { type Kysely, sql } from 'kysely'
import pg from 'pg'
import { type Command, type Database, type DatabaseKind, DatabaseUnavailableError } from '../database.ts'
import { DatabaseTooNewError, migrate, WrongDatabaseKindError } from '../migrations/migrate.ts'
import { touchHealth } from '../queries/health.ts'
import type { Schemas } from '../schemas.ts'
import { toCallerError } from './errors.ts'
import { DEFAULT_POOL_SIZE, MIGRATION_LOCK_TIMEOUT_MS } from './limits.ts'
import { Notifications, serverChannel } from './notifications.ts'
import { connectionConfig, openPool, quoteSchema } from './pool.ts'
import { kyselyOverClient, kyselyOverPool } from './postgres-dialect.ts'
import { runInTransaction } from './transaction.ts'

export interface PostgresDatabaseOptions {
  /** `postgres://…`; TLS and the like as in libpq's URLs. */
  readonly url: string
  /** Made if missing. */
  readonly schema: string
  /** Connections at most, besides the one that listens. */
  readonly poolSize?: number
  /** For tests only: accept a server that loses acknowledged commits when the power fails. */
  readonly allowUnsafeDurability?: boolean
}

/** The server is set up in a way in which Berth cannot keep its promises. */
export class UnsuitableServerError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UnsuitableServerError'
  }
}

/** A PostgreSQL database with what the session store of the same schema needs. */
export interface PostgresDatabase<Schema> extends Database<Schema> {
  readonly dialect: 'postgres'
  readonly pool: pg.Pool
  readonly schema: string
}

/**
 * Connects to a schema of a PostgreSQL database and brings it up to date. Prepared statements and notifications
 * belong to a connection, so a pooler in between must give each client a server connection of its own.
 *
 * Throws `DatabaseUnavailableError` when the server cannot be reached, `UnsuitableServerError` when a commit there
 * would not be durable or the database is not in UTF-8, and `DatabaseTooNewError` when a newer version was here.
 */
export async function openPostgresDatabase<Kind extends DatabaseKind>(
  kind: Kind,
  options: PostgresDatabaseOptions,
): Promise<PostgresDatabase<Schemas[Kind]>> {
  await prepare(kind, options)
  return new PooledDatabase<Schemas[Kind]>(options)
}

async function prepare(kind: DatabaseKind, options: PostgresDatabaseOptions): Promise<void> {
  const client = new pg.Client(connectionConfig(options.url, options.schema))
  client.on('error', () => undefined)
  try {
    await client.connect()
    await refuseUnsuitable(client, options.allowUnsafeDurability ?? false)
    await client.query('begin')
    await client.query(`set local lock_timeout = ${MIGRATION_LOCK_TIMEOUT_MS}`)
    // One process at a time per schema of this database.
    await client.query("select pg_advisory_xact_lock(hashtextextended('berth/migrate/' || $1, 0))", [
      options.schema,
    ])
    const known = await client.query('select 1 from pg_namespace where nspname = $1', [options.schema])
    if (known.rowCount === 0) await client.query(`create schema ${quoteSchema(options.schema)}`)
    const tx = kyselyOverClient<unknown>(client, () => undefined)
    await migrate(tx, kind, 'postgres', Date.now())
    await client.query('commit')
  } catch (error) {
    throw isOurs(error) ? error : toCallerError(error)
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Everything else comes from the connection or from the server. */
function isOurs(error: unknown): boolean {
  return [DatabaseTooNewError, WrongDatabaseKindError, UnsuitableServerError].some(
    (type) => error instanceof type,
  )
}

async function refuseUnsuitable(client: pg.Client, allowUnsafeDurability: boolean): Promise<void> {
  const { rows } = await client.query<Record<'fsync' | 'commit' | 'encoding', string>>(
    `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit,
       current_setting('server_encoding') as encoding`,
  )
  const settings = rows[0]
  if (settings === undefined) throw new UnsuitableServerError('the server tells no settings')
  if (settings.encoding !== 'UTF8') {
    throw new UnsuitableServerError(
      `the database has the encoding ${settings.encoding}; make one with encoding UTF8`,
    )
  }
  if (allowUnsafeDurability) return
  if (settings.fsync !== 'on') {
    throw new UnsuitableServerError(
      'the server runs with fsync = off: a power failure would lose pushed images',
    )
  }
  if (settings.commit !== 'on' && settings.commit !== 'remote_apply') {
    throw new UnsuitableServerError(
      `the server runs with synchronous_commit = ${settings.commit}; it must be on or remote_apply, else a power ` +
        'failure or a failover would lose pushed images',
    )
  }
}

class PooledDatabase<Schema> implements PostgresDatabase<Schema> {
  readonly dialect = 'postgres'
  readonly reader: Kysely<Schema>
  readonly pool: pg.Pool
  readonly schema: string
  readonly #notifications: Notifications
  #closed = false

  constructor(options: PostgresDatabaseOptions) {
    this.schema = options.schema
    this.pool = openPool(options.url, options.schema, options.poolSize ?? DEFAULT_POOL_SIZE)
    this.reader = kyselyOverPool<Schema>(this.pool)
    this.#notifications = new Notifications(connectionConfig(options.url, options.schema))
  }

  run<Args, Result>(command: Command<Schema, Args, Result>, args: Args): Promise<Result> {
    return runInTransaction(this.pool, command, args)
  }

  async nowMs(): Promise<number> {
    const query = sql<{ now_ms: number }>`
      select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms`
    const { rows } = await query.execute(this.reader)
    const row = rows[0]
    if (row === undefined) throw new DatabaseUnavailableError('connection', new Error('no time was answered'))
    return row.now_ms
  }

  subscribe(channel: string, listener: () => void): () => void {
    return this.#notifications.subscribe(serverChannel(this.schema, channel), listener)
  }

  async notify(channel: string): Promise<void> {
    await sql`select pg_notify(${serverChannel(this.schema, channel)}, '')`.execute(this.reader)
  }

  async ping(): Promise<void> {
    await sql`select checked_at from health_check`.execute(this.reader)
    await runInTransaction(this.pool, touchHealth, { nowMs: Date.now() })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#notifications.close()
    await this.pool.end()
  }
}

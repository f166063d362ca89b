import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from 'kysely'
import type pg from 'pg'
import { breaksConnection, toCallerError } from './errors.ts'
import { acquire } from './pool.ts'
import { preparedName } from './prepared-name.ts'

/*
 * Kysely's own PostgreSQL driver has no prepared statements, and gives broken connections back to the pool.
 */

/** Called with the server's own error for each query that fails. */
export type QueryFailureListener = (error: unknown) => void

/** A Kysely handle that takes a connection of the pool for each query. */
export function kyselyOverPool<Schema>(pool: pg.Pool): Kysely<Schema> {
  return kyselyOver({
    acquire: async () => new PostgresConnection(await acquire(pool), () => undefined),
    release: (connection) => connection.release(),
  })
}

/** A Kysely handle over one connection, whose transaction and release are the caller's business. */
export function kyselyOverClient<Schema>(
  client: pg.PoolClient | pg.Client,
  onFailure: QueryFailureListener,
): Kysely<Schema> {
  const connection = new PostgresConnection(client, onFailure)
  return kyselyOver({ acquire: async () => connection, release: () => undefined })
}

interface Connections {
  readonly acquire: () => Promise<PostgresConnection>
  readonly release: (connection: PostgresConnection) => void
}

function kyselyOver<Schema>(connections: Connections): Kysely<Schema> {
  const dialect: Dialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new PooledDriver(connections),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
  return new Kysely<Schema>({ dialect })
}

class PooledDriver implements Driver {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  async init(): Promise<void> {}

  acquireConnection(): Promise<DatabaseConnection> {
    return this.#connections.acquire()
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    this.#connections.release(connection as PostgresConnection)
  }

  async beginTransaction(): Promise<void> {
    throw new Error('transactions are commands: this handle cannot start one')
  }

  async commitTransaction(): Promise<void> {}

  async rollbackTransaction(): Promise<void> {}

  async destroy(): Promise<void> {}
}

class PostgresConnection implements DatabaseConnection {
  readonly #client: pg.PoolClient | pg.Client
  readonly #onFailure: QueryFailureListener
  #broken = false

  constructor(client: pg.PoolClient | pg.Client, onFailure: QueryFailureListener) {
    this.#client = client
    this.#onFailure = onFailure
  }

  async executeQuery<Result>(query: CompiledQuery): Promise<QueryResult<Result>> {
    const name = preparedName(query.sql)
    const values = query.parameters as unknown[]
    try {
      const result = await this.#client.query(
        name === null ? { text: query.sql, values } : { name, text: query.sql, values },
      )
      return { rows: result.rows as Result[], numAffectedRows: BigInt(result.rowCount ?? 0) }
    } catch (error) {
      if (breaksConnection(error)) this.#broken = true
      this.#onFailure(error)
      throw toCallerError(error)
    }
  }

  streamQuery<Result>(): AsyncIterableIterator<QueryResult<Result>> {
    throw new Error('queries are not streamed: read pages instead')
  }

  release(): void {
    if ('release' in this.#client) this.#client.release(this.#broken)
  }
}

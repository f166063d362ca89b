import type { DatabaseSync } from 'node:sqlite'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import { toCallerError } from './errors.ts'
import { Statements } from './statements.ts'

/** Called with the error of each query that fails. */
export type QueryFailureListener = (error: unknown) => void

/**
 * A Kysely handle over one open connection of `node:sqlite`. Queries run at once and in this thread, so none waits
 * for another; transactions are the business of whoever owns the connection, and so is closing it. Errors about the
 * database itself come as `DatabaseUnavailableError`.
 */
export function kyselyOver<Schema>(
  connection: DatabaseSync,
  onFailure: QueryFailureListener = () => undefined,
): Kysely<Schema> {
  const driver = new NodeSqliteDriver(new NodeSqliteConnection(new Statements(connection), onFailure))
  const dialect: Dialect = {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => driver,
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
  return new Kysely<Schema>({ dialect })
}

class NodeSqliteDriver implements Driver {
  readonly #connection: Promise<NodeSqliteConnection>

  constructor(connection: NodeSqliteConnection) {
    this.#connection = Promise.resolve(connection)
  }

  async init(): Promise<void> {}

  acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection
  }

  async beginTransaction(): Promise<void> {
    throw new Error('transactions are commands: this handle cannot start one')
  }

  async commitTransaction(): Promise<void> {}

  async rollbackTransaction(): Promise<void> {}

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {}
}

class NodeSqliteConnection implements DatabaseConnection {
  readonly #statements: Statements
  readonly #onFailure: QueryFailureListener

  constructor(statements: Statements, onFailure: QueryFailureListener) {
    this.#statements = statements
    this.#onFailure = onFailure
  }

  async executeQuery<Result>(query: CompiledQuery): Promise<QueryResult<Result>> {
    try {
      const { rows, changes, lastInsertId } = this.#statements.run(query.sql, query.parameters)
      return {
        rows: rows as Result[],
        numAffectedRows: BigInt(changes),
        insertId: BigInt(lastInsertId),
      }
    } catch (error) {
      this.#onFailure(error)
      throw toCallerError(error)
    }
  }

  streamQuery<Result>(): AsyncIterableIterator<QueryResult<Result>> {
    throw new Error('a streamed query would hold back checkpoints: read pages instead')
  }
}

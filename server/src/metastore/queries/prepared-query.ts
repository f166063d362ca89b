import type { Compilable, CompiledQuery, Kysely } from 'kysely'

/** Stands for a parameter while a prepared query is built. */
class Parameter {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

interface Prepared {
  readonly query: CompiledQuery<unknown>
  readonly parameters: readonly unknown[]
}

/** A query whose SQL text is made once per dialect; running it costs only the binding of its parameters. */
export interface PreparedQuery<Schema, Params, Row> {
  /** All rows. */
  all(db: Kysely<Schema>, params: Params): Promise<Row[]>
  /** The first row, or undefined. */
  first(db: Kysely<Schema>, params: Params): Promise<Row | undefined>
  /** Runs a statement without rows; answers how many rows it changed. */
  run(db: Kysely<Schema>, params: Params): Promise<number>
}

/**
 * Prepares a query of the hot paths. Building and compiling a Kysely query costs several times what SQLite needs to
 * run it, so queries that are part of nearly every request are built once. `build` gets a function that makes a
 * placeholder for a parameter; it is called once per dialect, so the shape of the query cannot depend on values.
 *
 * `prepareQuery<Schema, Params>()((db, p) => db.selectFrom(…).where('id', '=', p('id')))`
 */
export function prepareQuery<Schema, Params extends object>() {
  return function prepare<Row>(
    build: (
      db: Kysely<Schema>,
      p: <Name extends keyof Params>(name: Name) => Params[Name],
    ) => Compilable<Row>,
  ): PreparedQuery<Schema, Params, Row> {
    const byDialect = new Map<unknown, Prepared>()

    function prepared(db: Kysely<Schema>): Prepared {
      const dialect = db.getExecutor().adapter.constructor
      const known = byDialect.get(dialect)
      if (known !== undefined) return known
      const query = build(db, (name) => new Parameter(String(name)) as never).compile()
      const made = { query, parameters: query.parameters }
      byDialect.set(dialect, made)
      return made
    }

    function bind(db: Kysely<Schema>, params: Params): CompiledQuery<Row> {
      const { query, parameters } = prepared(db)
      const values = parameters.map((parameter) =>
        parameter instanceof Parameter ? (params as Record<string, unknown>)[parameter.name] : parameter,
      )
      return { ...query, parameters: values } as CompiledQuery<Row>
    }

    return {
      all: async (db, params) => (await db.executeQuery(bind(db, params))).rows,
      first: async (db, params) => (await db.executeQuery(bind(db, params))).rows[0],
      run: async (db, params) => Number((await db.executeQuery(bind(db, params))).numAffectedRows ?? 0n),
    }
  }
}

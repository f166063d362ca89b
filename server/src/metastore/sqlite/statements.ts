import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { LRUCache } from 'lru-cache'
import { MAX_PREPARED_STATEMENTS } from './limits.ts'

export type Row = Record<string, SQLOutputValue>

interface Prepared {
  readonly statement: StatementSync
  /** Names of the columns of its rows; empty for a statement that answers no rows. */
  columns: string[]
}

export interface Outcome {
  readonly rows: Row[]
  readonly changes: number
  readonly lastInsertId: number
}

/** The prepared statements of one connection, by their text. */
export class Statements {
  readonly #connection: DatabaseSync
  readonly #prepared = new LRUCache<string, Prepared>({ max: MAX_PREPARED_STATEMENTS })

  constructor(connection: DatabaseSync) {
    this.#connection = connection
  }

  /** Runs a statement to its end. Integers are answered as numbers; one beyond 2^53 - 1 throws a `RangeError`. */
  run(text: string, parameters: readonly unknown[]): Outcome {
    const prepared = this.#prepare(text)
    const values = parameters.map(toInput)
    if (prepared.columns.length === 0) {
      const { changes, lastInsertRowid } = prepared.statement.run(...values)
      return { rows: [], changes: Number(changes), lastInsertId: Number(lastInsertRowid) }
    }
    const tuples = prepared.statement.all(...values) as unknown as SQLOutputValue[][]
    // A changed schema makes SQLite prepare the statement again by itself: `select *` may then have other columns.
    const first = tuples[0]
    if (first !== undefined && first.length !== prepared.columns.length) {
      prepared.columns = columnNames(prepared.statement)
    }
    const { columns } = prepared
    return { rows: tuples.map((tuple) => toRow(columns, tuple)), changes: tuples.length, lastInsertId: 0 }
  }

  #prepare(text: string): Prepared {
    const known = this.#prepared.get(text)
    if (known !== undefined) return known
    const statement = this.#connection.prepare(text)
    // Tuples are a third cheaper than the row objects of node:sqlite, which have no prototype either.
    statement.setReturnArrays(true)
    const prepared: Prepared = { statement, columns: columnNames(statement) }
    this.#prepared.set(text, prepared)
    return prepared
  }
}

function columnNames(statement: StatementSync): string[] {
  return statement.columns().map((column) => column.name)
}

function toRow(columns: readonly string[], tuple: readonly SQLOutputValue[]): Row {
  const row: Row = {}
  for (let index = 0; index < columns.length; index += 1) {
    row[columns[index] as string] = tuple[index] as SQLOutputValue
  }
  return row
}

/**
 * node:sqlite binds every number as REAL, which turns `5 / ?` into a fraction: integers go in as integers. It also
 * takes an object for named parameters and leaves what is missing null: anything unexpected is refused instead.
 */
function toInput(value: unknown): SQLInputValue {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value
  if (value === null || typeof value === 'string' || typeof value === 'bigint') return value
  if (value instanceof Uint8Array) return value
  throw new TypeError(`a value of type ${typeof value} cannot be stored`)
}

import pg from 'pg'
import { DatabaseUnavailableError } from '../database.ts'
import { toCallerError } from './errors.ts'
import {
  CONNECT_TIMEOUT_MS,
  CONNECTION_LIFETIME_SECONDS,
  IDLE_CONNECTION_MS,
  IDLE_TRANSACTION_TIMEOUT_MS,
  KEEP_ALIVE_DELAY_MS,
  LOCK_TIMEOUT_MS,
  MAX_WAITING_CALLERS,
  QUERY_TIMEOUT_MS,
  STATEMENT_TIMEOUT_MS,
} from './limits.ts'

const INT8_OID = 20
const NUMERIC_OID = 1700

/** Schema names are made of a fixed prefix and a slug, so anything else is a mistake. */
const SCHEMA_NAME = /^[a-z][a-z0-9_-]{0,62}$/

/**
 * Sums of integers are `numeric` in PostgreSQL; there is no other numeric value here. Beyond 2^53 - 1 a number would
 * be silently wrong, so it is refused, as on SQLite.
 */
function toNumber(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new RangeError(`the database holds an integer that is not safe: ${text}`)
  }
  return value
}

const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if ((oid === INT8_OID || oid === NUMERIC_OID) && format !== 'binary') return toNumber
    return pg.types.getTypeParser(oid, format as 'text')
  },
}

/** Throws an `Error` for a name that is not a slug with a prefix. */
export function quoteSchema(schema: string): string {
  if (!SCHEMA_NAME.test(schema)) throw new Error(`not a schema name: ${JSON.stringify(schema)}`)
  return `"${schema}"`
}

/** What every connection of this driver has in common: all names are looked up in `schema` alone. */
export function connectionConfig(url: string, schema: string): pg.ClientConfig {
  const queryAt = url.indexOf('?')
  const base = queryAt < 0 ? url : url.slice(0, queryAt)
  const query = new URLSearchParams(queryAt < 0 ? '' : url.slice(queryAt + 1))
  const options = [query.get('options') ?? '', `-c search_path=${quoteSchema(schema)}`]
  query.set('options', options.join(' ').trim())
  return {
    connectionString: `${base}?${query.toString()}`,
    application_name: query.get('application_name') ?? 'berth',
    types,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
  }
}

export function openPool(url: string, schema: string, size: number): pg.Pool {
  const pool = new pg.Pool({
    ...connectionConfig(url, schema),
    max: size,
    idleTimeoutMillis: IDLE_CONNECTION_MS,
    maxLifetimeSeconds: CONNECTION_LIFETIME_SECONDS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  })
  // A lost connection is met by the query that uses it; without a listener it would end the process.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

/** Takes a connection. Throws `DatabaseUnavailableError` when there is none within the time-out. */
export async function acquire(pool: pg.Pool): Promise<pg.PoolClient> {
  if (pool.waitingCount >= MAX_WAITING_CALLERS) {
    throw new DatabaseUnavailableError('connection', new Error('too many callers wait for a connection'))
  }
  try {
    return await pool.connect()
  } catch (error) {
    throw toCallerError(error)
  }
}

import pg from 'pg'
import { DatabaseUnavailableError } from '../database.ts'

/** SQLSTATE codes that say what the database cannot do. Other codes of the listed classes count like them. */
const REASONS: Readonly<Record<string, DatabaseUnavailableError['reason']>> = {
  '53100': 'full', // disk_full
  '58030': 'io', // io_error
  '55P03': 'connection', // lock_not_available: the lock time-out
  '57014': 'connection', // query_canceled: the statement time-out
  '25P03': 'connection', // idle_in_transaction_session_timeout
  '25006': 'connection', // read_only_sql_transaction: connected to a standby
  '0A000': 'connection', // a prepared statement's result changed with a migration
  '3D000': 'connection', // the database does not exist
}

const CLASSES: Readonly<Record<string, DatabaseUnavailableError['reason']>> = {
  '08': 'connection', // connection exceptions
  '28': 'connection', // the server refuses our credentials
  '53': 'connection', // out of memory, too many connections
  '57': 'connection', // shutdown, crash of a neighbour, cannot connect now
  '58': 'io', // system errors
  XX: 'io', // internal errors, corrupted data
}

/** Serialization failure and deadlock: the same transaction may succeed when it is run again. */
export function isRetryable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === '40001' || error.code === '40P01')
}

/** Whether the connection must not be used again: it is gone, or what it has prepared does not fit any more. */
export function breaksConnection(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return true
  return error.severity !== 'ERROR' || error.code === '25006' || error.code === '0A000'
}

/**
 * Why the database cannot do its work, or null when the error is about one statement. What comes from a query and is
 * not an answer of the server, comes from its connection; mistakes of the caller (a value that cannot be sent or
 * read) are told apart by their class.
 */
export function unavailabilityOf(error: unknown): DatabaseUnavailableError['reason'] | null {
  if (error instanceof DatabaseUnavailableError) return error.reason
  if (error instanceof pg.DatabaseError) {
    const code = error.code ?? ''
    return REASONS[code] ?? CLASSES[code.slice(0, 2)] ?? (error.severity === 'ERROR' ? null : 'connection')
  }
  return error instanceof TypeError || error instanceof RangeError ? null : 'connection'
}

/** The error that callers see: `DatabaseUnavailableError` around what is about the database, else the error itself. */
export function toCallerError(error: unknown): unknown {
  if (error instanceof DatabaseUnavailableError) return error
  const reason = unavailabilityOf(error)
  return reason === null ? error : new DatabaseUnavailableError(reason, error)
}

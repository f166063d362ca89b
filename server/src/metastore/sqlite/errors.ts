import { DatabaseUnavailableError } from '../database.ts'

/** Primary result codes of SQLite (the low byte of `errcode`). */
const SQLITE_PERM = 3
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const SQLITE_NOMEM = 7
const SQLITE_READONLY = 8
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14
const SQLITE_PROTOCOL = 15
const SQLITE_NOTADB = 26

const REASONS: Readonly<Record<number, DatabaseUnavailableError['reason']>> = {
  [SQLITE_FULL]: 'full',
  [SQLITE_BUSY]: 'connection',
  [SQLITE_LOCKED]: 'connection',
  [SQLITE_PROTOCOL]: 'connection',
  [SQLITE_PERM]: 'io',
  [SQLITE_NOMEM]: 'io',
  [SQLITE_READONLY]: 'io',
  [SQLITE_IOERR]: 'io',
  [SQLITE_CORRUPT]: 'io',
  [SQLITE_CANTOPEN]: 'io',
  [SQLITE_NOTADB]: 'io',
}

/** Why SQLite cannot do its work, or null when the error is about one statement (a constraint, a mistake in it). */
export function unavailabilityOf(error: unknown): DatabaseUnavailableError['reason'] | null {
  if (error instanceof DatabaseUnavailableError) return error.reason
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null
  return REASONS[error.errcode & 0xff] ?? null
}

/** The error that callers see: `DatabaseUnavailableError` around what is about the database, else the error itself. */
export function toCallerError(error: unknown): unknown {
  if (error instanceof DatabaseUnavailableError) return error
  const reason = unavailabilityOf(error)
  return reason === null ? error : new DatabaseUnavailableError(reason, error)
}

import { DatabaseUnavailableError, type DatabaseKind } from '../database.ts'
import { DatabaseTooNewError } from '../migrations/migrate.ts'
import { unavailabilityOf } from './errors.ts'

/*
 * The messages between the main thread and the writer thread.
 */

export interface OpenRequest {
  readonly type: 'open'
  readonly call: number
  readonly database: number
  readonly kind: DatabaseKind
  readonly path: string
  /** It was open before the thread was started again: no migration, and opened by its next command. */
  readonly again: boolean
}

export interface RunRequest {
  readonly type: 'run'
  readonly call: number
  readonly database: number
  readonly command: string
  readonly args: unknown
  readonly sizeBytes: number
}

/** Closes a database after everything that was asked before. */
export interface CloseRequest {
  readonly type: 'close'
  readonly call: number
  readonly database: number
}

export type WriterRequest = OpenRequest | RunRequest | CloseRequest

export type Answer =
  | { readonly call: number; readonly ok: true; readonly result: unknown }
  | { readonly call: number; readonly ok: false; readonly error: ErrorMessage }

/** An error as a message: structured cloning alone would drop its class and its fields. */
export interface ErrorMessage {
  readonly type: 'unavailable' | 'too_new' | 'other'
  readonly reason: DatabaseUnavailableError['reason'] | null
  readonly name: string
  readonly message: string
  readonly stack: string | null
  readonly errcode: number | null
}

export function toErrorMessage(thrown: unknown): ErrorMessage {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const reason = unavailabilityOf(error)
  // For the caller the interesting text is SQLite's own, which is the cause.
  const inner =
    error instanceof DatabaseUnavailableError && error.cause instanceof Error ? error.cause : error
  return {
    type: reason !== null ? 'unavailable' : error instanceof DatabaseTooNewError ? 'too_new' : 'other',
    reason,
    name: inner.name,
    message: inner.message,
    stack: inner.stack ?? null,
    errcode: 'errcode' in inner && typeof inner.errcode === 'number' ? inner.errcode : null,
  }
}

export function fromErrorMessage(message: ErrorMessage): Error {
  const error =
    message.type === 'too_new' ? Object.create(DatabaseTooNewError.prototype) : new Error(message.message)
  Object.defineProperty(error, 'name', { value: message.name, configurable: true })
  Object.defineProperty(error, 'message', { value: message.message, configurable: true })
  if (message.stack !== null)
    Object.defineProperty(error, 'stack', { value: message.stack, configurable: true })
  if (message.errcode !== null) Object.assign(error, { errcode: message.errcode })
  return message.reason === null ? error : new DatabaseUnavailableError(message.reason, error)
}

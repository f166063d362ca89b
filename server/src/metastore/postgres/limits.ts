/*
 * Limits and time-outs of the PostgreSQL driver, each with its unit.
 */

/** Connections of one database in one process, unless the configuration says otherwise. */
export const DEFAULT_POOL_SIZE = 16

/** Callers that may wait for a connection; more are refused at once. */
export const MAX_WAITING_CALLERS = 1024

/** How long a caller waits for a connection, whether for a free one or for a new one. */
export const CONNECT_TIMEOUT_MS = 5000

/** An unused connection is closed after this time. */
export const IDLE_CONNECTION_MS = 60_000

/** A connection is closed after this time at the latest, so that a failover or a new address is found. */
export const CONNECTION_LIFETIME_SECONDS = 1800

/** The server ends a statement that runs longer. */
export const STATEMENT_TIMEOUT_MS = 20_000

/** The server ends a statement that waits longer for a lock. */
export const LOCK_TIMEOUT_MS = 10_000

/** The server ends a transaction whose client says nothing for longer (its process hangs or is gone). */
export const IDLE_TRANSACTION_TIMEOUT_MS = 30_000

/** A statement without any answer for this long is given up with its connection: the server or the network is gone. */
export const QUERY_TIMEOUT_MS = 30_000

export const KEEP_ALIVE_DELAY_MS = 10_000

/** Runs of a transaction that the server asks to repeat (serialization failure, deadlock). */
export const MAX_ATTEMPTS = 8

/** The pause before the second run is a random time up to this, and up to twice as long before each further one. */
export const RETRY_PAUSE_MS = 10

/** Pause before the listening connection is opened again. */
export const RELISTEN_PAUSE_MS = 1000

/** A migration waits this long for another process's migration. */
export const MIGRATION_LOCK_TIMEOUT_MS = 120_000

/** Texts that get a prepared statement; further ones are parsed each time. */
export const MAX_PREPARED_STATEMENTS = 300

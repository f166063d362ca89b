/*
 * Limits and sizes of the SQLite driver, each with its unit.
 */

/** Commands that one commit takes along. More only makes the first of them wait longer. */
export const MAX_GROUP_COMMANDS = 256

/** Bytes of arguments that one commit takes along. */
export const MAX_GROUP_BYTES = 16 * 1024 * 1024

/** Commands that may wait for the writer thread, over all databases; more are refused at once. */
export const MAX_WAITING_COMMANDS = 4096

/** Bytes of arguments that may wait for the writer thread; more are refused at once. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024

/** How long a caller waits for its commit before it is told that the database is unavailable. */
export const COMMAND_TIMEOUT_MS = 30_000

/** How often waiting commands are looked at for that. */
export const COMMAND_TIMEOUT_CHECK_MS = 1000

/** How long a connection waits for a lock that another connection or process holds. */
export const BUSY_TIMEOUT_MS = 5000

/** The same for a file that only one process may have: who holds it does not give it up soon. */
export const EXCLUSIVE_BUSY_TIMEOUT_MS = 100

/** Young generation of the writer thread's heap: its objects are few and short-lived. */
export const WRITER_YOUNG_GENERATION_MIB = 4

/** Starts of the writer thread within `RESTART_WINDOW_MS`; after that, commands are refused until it has passed. */
export const MAX_RESTARTS = 5
export const RESTART_WINDOW_MS = 60_000

/** Pages in the write-ahead log that are not in the database yet, from which on the writer thread moves them (4 MiB). */
export const CHECKPOINT_PAGES = 1024

/** The write-ahead log file is cut back to this size when it starts again after a long reader. */
export const WAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024

/**
 * Page caches, in KiB. There is no memory map: a read error in one is a SIGBUS that ends the process, while a read
 * error in `read` is an error of one query.
 */
export const WRITER_CACHE_KIB = 8 * 1024
export const READER_CACHE_KIB = 16 * 1024
export const SESSION_CACHE_KIB = 2 * 1024

/** Prepared statements that a connection keeps. Kysely makes the same text for the same query. */
export const MAX_PREPARED_STATEMENTS = 500

/**
 * Pages of the upload sessions' write-ahead log after which a commit copies them into the file (1 MiB): without a wait
 * for the disk this takes about a millisecond of the main thread.
 */
export const SESSION_CHECKPOINT_PAGES = 256

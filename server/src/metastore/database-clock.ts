import type { Database } from './database.ts'

/** The database's time without asking it each time: this process's clock, corrected by what the database last said. */
export interface DatabaseClock {
  nowMs(): number
  close(): void
}

const RESYNC_MS = 60_000

/**
 * Asks the database once, then every minute. The error is at most half a round trip plus the drift of a minute.
 * On SQLite the database's clock is this process's, so nothing is asked again.
 */
export async function startDatabaseClock<Schema>(db: Database<Schema>): Promise<DatabaseClock> {
  if (db.dialect === 'sqlite') return { nowMs: () => Date.now(), close: () => {} }
  let offsetMs = 0

  async function synchronize(): Promise<void> {
    const sentAt = Date.now()
    const databaseMs = await db.nowMs()
    const receivedAt = Date.now()
    offsetMs = databaseMs - (sentAt + receivedAt) / 2
  }

  await synchronize()
  // A failed round leaves the last correction in place.
  const timer = setInterval(() => void synchronize().catch(() => {}), RESYNC_MS).unref()
  return { nowMs: () => Math.round(Date.now() + offsetMs), close: () => clearInterval(timer) }
}

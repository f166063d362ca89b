import { sql } from 'kysely'
import { COMMANDS as CONTRACT_COMMANDS } from '../contract-commands.ts'
import { defineCommand } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'

/*
 * Commands that make the writer thread fail in the ways in which disks and threads do. For its tests only.
 */

/**
 * Holds the writer thread: tells so in the second element of `gate` (over shared memory), and waits until the first
 * one is not zero any more.
 */
export const hold = defineCommand<RegionSchema, { gate: Int32Array }, void>(
  'fault.hold',
  async (_, { gate }) => {
    Atomics.store(gate, 1, 1)
    Atomics.wait(gate, 0, 0)
  },
)

/** Lets the COMMIT of its group fail: a foreign key that is only looked at then is broken. */
export const breakCommit = defineCommand<RegionSchema, { name: string }, void>(
  'fault.break_commit',
  async (tx, { name }) => {
    await sql`pragma defer_foreign_keys = on`.execute(tx)
    await tx
      .insertInto('tag')
      .values({ repository_id: -1, name, digest: 'none', version: 1, updated_at: 1 })
      .execute()
  },
)

/** Writes more than the file may grow from now on, as on a full disk. */
export const fillDisk = defineCommand<RegionSchema, { projectId: string }, void>(
  'fault.fill_disk',
  async (tx, { projectId }) => {
    await sql`pragma max_page_count = 1`.execute(tx)
    const content = new Uint8Array(16 * 1024 * 1024)
    await tx
      .insertInto('blob')
      .values({
        project_id: projectId,
        digest: 'sha256:full',
        size_bytes: content.byteLength,
        storage_key: null,
        content,
        state: 'live',
        created_at: 1,
        trashed_at: null,
        purge_at: null,
      })
      .execute()
  },
)

/** Ends the writer thread in the middle of a transaction. */
export const endThread = defineCommand<RegionSchema, Record<string, never>, void>(
  'fault.end_thread',
  async () => {
    process.exit(1)
  },
)

/** Answers with something that no message can carry. */
export const answerFunction = defineCommand<RegionSchema, Record<string, never>, unknown>(
  'fault.answer_function',
  async () => ({ impossible: () => undefined }),
)

/** The settings that decide whether a commit is durable. */
export const readSettings = defineCommand<
  RegionSchema,
  Record<string, never>,
  { synchronous: number; journalMode: string }
>('fault.read_settings', async (tx) => {
  const synchronous = await sql<{ synchronous: number }>`pragma synchronous`.execute(tx)
  const journal = await sql<{ journal_mode: string }>`pragma journal_mode`.execute(tx)
  return {
    synchronous: synchronous.rows[0]?.synchronous ?? -1,
    journalMode: journal.rows[0]?.journal_mode ?? '',
  }
})

export const COMMANDS = {
  control: CONTRACT_COMMANDS.control,
  region: [...CONTRACT_COMMANDS.region, hold, breakCommit, fillDisk, endThread, answerFunction, readSettings],
}

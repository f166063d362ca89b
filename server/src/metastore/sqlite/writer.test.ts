import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { appendEvent, setUsage, storeBlob } from '../contract-commands.ts'
import { type Database, DatabaseUnavailableError, defineCommand } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'
import { openSqliteDatabase } from './database.ts'
import { answerFunction, breakCommit, endThread, fillDisk, hold, readSettings } from './fault-commands.ts'
import { CHECKPOINT_PAGES, MAX_RESTARTS, MAX_WAITING_BYTES, MAX_WAITING_COMMANDS } from './limits.ts'
import { type SqliteWriter, startSqliteWriter } from './writer.ts'

const commandsModule = new URL('./fault-commands.ts', import.meta.url)

describe('SQLite writer thread', () => {
  let folder: string
  let writer: SqliteWriter
  let db: Database<RegionSchema>

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'berth-writer-'))
    writer = startSqliteWriter({ commandsModule })
    db = await openSqliteDatabase('region', { path: join(folder, 'region.db'), writer })
  })
  afterEach(async () => {
    await db.close()
    await writer.close()
    rmSync(folder, { recursive: true })
  })

  function append(projectId: string, count: number): Promise<number>[] {
    return Array.from({ length: count }, (_, index) =>
      db.run(appendEvent, { projectId, requestId: String(index) }),
    )
  }

  async function eventsOf(projectId: string): Promise<number> {
    const rows = await db.reader
      .selectFrom('audit_event')
      .select('id')
      .where('project_id', '=', projectId)
      .execute()
    return rows.length
  }

  test('a commit waits for the disk', async () => {
    assert.deepEqual(await db.run(readSettings, {}), { synchronous: 2, journalMode: 'wal' })
  })

  test('the file can be read by its owner alone', () => {
    for (const suffix of ['', '-wal', '-shm']) {
      assert.equal(statSync(join(folder, `region.db${suffix}`)).mode & 0o777, 0o600)
    }
  })

  test('commands take effect in the order in which they were asked', async () => {
    const gate = await closeGate(db)
    const appended = append(randomUUID(), 600)
    gate.open()
    await gate.held
    const ids = await Promise.all(appended)
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => a - b),
    )
  })

  test('a commit that fails rejects all commands of its group, and the next ones work', async () => {
    const projectId = randomUUID()
    const gate = await closeGate(db)
    const before = append(projectId, 10)
    const breaking = db.run(breakCommit, { name: 'broken' })
    const after = append(projectId, 10)
    gate.open()
    await gate.held
    for (const result of await Promise.allSettled([...before, breaking, ...after])) {
      assert.ok(result.status === 'rejected' && result.reason instanceof DatabaseUnavailableError)
      assert.equal(result.reason.reason, 'io')
    }
    assert.equal(await eventsOf(projectId), 0)
    await Promise.all(append(projectId, 3))
    assert.equal(await eventsOf(projectId), 3)
  })

  test('a failing database does not disturb another one of the same thread', async () => {
    const other = await openSqliteDatabase('region', { path: join(folder, 'other.db'), writer })
    try {
      const gate = await closeGate(db)
      const breaking = db.run(breakCommit, { name: 'broken' })
      const beside = other.run(appendEvent, { projectId: 'project', requestId: '1' })
      gate.open()
      await gate.held
      await assert.rejects(breaking, DatabaseUnavailableError)
      assert.equal(await beside, 1)
    } finally {
      await other.close()
    }
  })

  test('a full disk rejects the group as full, and commands work when there is space again', async () => {
    const projectId = randomUUID()
    const gate = await closeGate(db)
    const beside = append(projectId, 1)
    const filling = db.run(fillDisk, { projectId })
    gate.open()
    await gate.held
    for (const result of await Promise.allSettled([...beside, filling])) {
      assert.ok(result.status === 'rejected' && result.reason instanceof DatabaseUnavailableError)
      assert.equal(result.reason.reason, 'full')
    }
    await Promise.all(append(projectId, 1))
    assert.equal(await eventsOf(projectId), 1)
    const content = new Uint8Array(1024 * 1024)
    await db.run(storeBlob, { projectId, digest: 'sha256:1', content, sizeBytes: content.byteLength })
  })

  test('more commands than may wait are refused at once, and the others are done', async () => {
    const gate = await closeGate(db)
    const projectId = randomUUID()
    const results = Promise.allSettled(append(projectId, MAX_WAITING_COMMANDS + 100))
    gate.open()
    const settled = await results
    await gate.held
    const refused = settled.filter((result) => result.status === 'rejected')
    assert.equal(refused.length, 101) // The one that holds the thread waits too.
    for (const { reason } of refused) {
      assert.ok(reason instanceof DatabaseUnavailableError && reason.reason === 'connection')
    }
    assert.equal(await eventsOf(projectId), MAX_WAITING_COMMANDS - 1)
  })

  test('more bytes than may wait are refused at once', async () => {
    const gate = await closeGate(db)
    const content = new Uint8Array(MAX_WAITING_BYTES / 2)
    const store = (digest: string) =>
      db.run(storeBlob, { projectId: 'project', digest, content, sizeBytes: content.byteLength })
    const first = store('sha256:1')
    await assert.rejects(store('sha256:2'), DatabaseUnavailableError)
    gate.open()
    await gate.held
    await first
  })

  test('when the thread ends, its callers are rejected and another thread goes on', async () => {
    const projectId = randomUUID()
    await db.run(setUsage, { projectId, usedBytes: 1 })
    const gate = await closeGate(db)
    const before = append(projectId, 5)
    const ending = db.run(endThread, {})
    const after = append(projectId, 5)
    gate.open()
    await gate.held
    for (const result of await Promise.allSettled([...before, ending, ...after])) {
      assert.ok(result.status === 'rejected' && result.reason instanceof DatabaseUnavailableError)
    }
    await Promise.all(append(projectId, 2))
    assert.equal(await eventsOf(projectId), 2)
  })

  test('a thread that ends again and again is not started for ever', async () => {
    for (let count = 0; count <= MAX_RESTARTS; count += 1) {
      await assert.rejects(db.run(endThread, {}), DatabaseUnavailableError)
    }
    await assert.rejects(append('project', 1)[0] as Promise<number>, (error: unknown) => {
      assert.ok(error instanceof DatabaseUnavailableError && error.cause instanceof Error)
      return error.cause.message === 'the writer thread ended too often'
    })
    // Reads do not need the thread.
    assert.equal(await eventsOf('project'), 0)
  })

  test('a result that cannot be answered is the error of its own command', async () => {
    const gate = await closeGate(db)
    const impossible = db.run(answerFunction, {})
    const beside = append('project', 1)
    gate.open()
    await gate.held
    await assert.rejects(impossible, { name: 'DataCloneError' })
    await Promise.all(beside)
  })

  test('arguments that cannot be sent and commands that are not listed are the errors of their caller', async () => {
    await assert.rejects(db.run(setUsage, { projectId: (() => 'x') as never, usedBytes: 1 }), {
      name: 'DataCloneError',
    })
    const unlisted = defineCommand<RegionSchema, null, void>('fault.unlisted', async () => undefined)
    await assert.rejects(db.run(unlisted, null), /no command is named fault\.unlisted/)
  })

  test('the write-ahead log does not grow without end', async () => {
    const content = new Uint8Array(1024 * 1024)
    const pageBytes = 4096
    for (let index = 0; index < 40; index += 1) {
      await db.run(storeBlob, { projectId: 'project', digest: `sha256:${index}`, content, sizeBytes: 1 })
    }
    assert.ok(statSync(join(folder, 'region.db-wal')).size < 3 * CHECKPOINT_PAGES * pageBytes)
  })

  test('after its end the writer refuses', async () => {
    await writer.close()
    await assert.rejects(append('project', 1)[0] as Promise<number>, DatabaseUnavailableError)
  })
})

/** Keeps the thread busy, so that what is asked meanwhile waits and becomes one group. */
async function closeGate(db: Database<RegionSchema>): Promise<{ open: () => void; held: Promise<void> }> {
  const gate = new Int32Array(new SharedArrayBuffer(8))
  const held = db.run(hold, { gate })
  while (Atomics.load(gate, 1) === 0) await nextTurn()
  const open = () => {
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
  }
  return { open, held }
}

test('a disk that does not answer is given up', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-writer-'))
  const writer = startSqliteWriter({ commandsModule, commandTimeoutMs: 3000 })
  const db = await openSqliteDatabase('region', { path: join(folder, 'region.db'), writer })
  const gate = await closeGate(db)
  await assert.rejects(
    gate.held,
    (error: unknown) => error instanceof DatabaseUnavailableError && error.reason === 'io',
  )
  gate.open()
  await db.run(appendEvent, { projectId: 'project', requestId: '1' })
  await db.close()
  await writer.close()
  rmSync(folder, { recursive: true })
})

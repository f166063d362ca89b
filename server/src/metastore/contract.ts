import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import {
  addRepositories,
  appendEvent,
  danglingTag,
  increment,
  moveUsage,
  setUsage,
  storeBlob,
  trashBlob,
  writeTwice,
} from './contract-commands.ts'
import type { Database } from './database.ts'
import { constraintViolation, dialectOf } from './dialect.ts'
import type { RegionSchema } from './region-schema.ts'

/** A region database under test. */
export interface DatabaseFixture {
  /** Opens one more handle on the same database, with the commands of `contract-commands.ts`. */
  open(): Promise<Database<RegionSchema>>
  /** Called after all handles were closed; throws when something is left over. */
  dispose(): Promise<void>
}

/** What every driver of the metastore must do alike. */
export function describeDatabase(name: string, make: () => Promise<DatabaseFixture>): void {
  describe(`${name}: database`, () => {
    let fixture: DatabaseFixture
    let db: Database<RegionSchema>
    before(async () => {
      fixture = await make()
      db = await fixture.open()
    })
    after(async () => {
      await db.close()
      await db.close() // Twice is once.
      await fixture.dispose()
    })

    describeTransactions(() => db)
    describeValues(() => db)
    describeSharing(
      () => db,
      () => fixture.open(),
    )
  })
}

function describeTransactions(use: () => Database<RegionSchema>): void {
  test('a command that returns is committed as a whole', async () => {
    const projectIds: [string, string] = [randomUUID(), randomUUID()]
    assert.equal(await use().run(writeTwice, { projectIds, ending: 'return' }), 'done')
    assert.deepEqual(await usageOf(use(), projectIds), [1, 1])
  })

  test('a command that throws leaves nothing, and its error is no DatabaseUnavailableError', async () => {
    const projectIds: [string, string] = [randomUUID(), randomUUID()]
    await assert.rejects(use().run(writeTwice, { projectIds, ending: 'throw' }), {
      name: 'Error',
      message: 'a mistake in the command',
    })
    assert.deepEqual(await usageOf(use(), projectIds), [])
  })

  test('Rollback undoes the writes and answers', async () => {
    const projectIds: [string, string] = [randomUUID(), randomUUID()]
    assert.equal(await use().run(writeTwice, { projectIds, ending: 'rollback' }), 'undone')
    assert.deepEqual(await usageOf(use(), projectIds), [])
  })

  for (const ending of ['duplicate', 'swallowed duplicate'] as const) {
    test(`a ${ending} rejects as a unique violation and leaves nothing`, async () => {
      const projectIds: [string, string] = [randomUUID(), randomUUID()]
      const error = await use()
        .run(writeTwice, { projectIds, ending })
        .catch((caught: unknown) => caught)
      assert.equal(constraintViolation(error), 'unique')
      assert.deepEqual(await usageOf(use(), projectIds), [])
    })
  }

  test('commands that fail do not disturb those that run beside them', async () => {
    const kept = Array.from({ length: 20 }, (): [string, string] => [randomUUID(), randomUUID()])
    const failing = Array.from({ length: 20 }, (): [string, string] => [randomUUID(), randomUUID()])
    const results = await Promise.allSettled(
      kept.flatMap((projectIds, index) => [
        use().run(writeTwice, { projectIds, ending: 'return' }),
        use().run(writeTwice, { projectIds: failing[index] as [string, string], ending: 'duplicate' }),
      ]),
    )
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 20)
    assert.equal((await usageOf(use(), kept.flat())).length, 40)
    assert.deepEqual(await usageOf(use(), failing.flat()), [])
  })

  test('100 parallel increments lose nothing', async () => {
    const projectId = randomUUID()
    await use().run(setUsage, { projectId, usedBytes: 0 })
    const values = await Promise.all(Array.from({ length: 100 }, () => use().run(increment, { projectId })))
    assert.deepEqual(
      values.sort((a, b) => a - b),
      Array.from({ length: 100 }, (_, index) => index + 1),
    )
    assert.deepEqual(await usageOf(use(), [projectId]), [100])
  })

  test('transactions that lock in opposite orders all succeed', async () => {
    const [left, right] = [randomUUID(), randomUUID()]
    await use().run(setUsage, { projectId: left, usedBytes: 1000 })
    await use().run(setUsage, { projectId: right, usedBytes: 1000 })
    const moves = Array.from({ length: 6 }, (_, index) =>
      use().run(moveUsage, index % 2 === 0 ? { from: left, to: right } : { from: right, to: left }),
    )
    await Promise.all(moves)
    assert.deepEqual(await usageOf(use(), [left, right]), [1000, 1000])
  })

  test('what a command wrote is visible to the reader when its promise resolves', async () => {
    const projectId = randomUUID()
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const requestId = `${projectId}/${index}`
        const id = await use().run(appendEvent, { projectId, requestId })
        const row = await use()
          .reader.selectFrom('audit_event')
          .select('request_id')
          .where('id', '=', id)
          .executeTakeFirst()
        assert.equal(row?.request_id, requestId)
      }),
    )
  })

  test('a foreign key is enforced', async () => {
    const projectId = randomUUID()
    await use().run(addRepositories, { projectId, paths: ['app'] })
    const repository = await use()
      .reader.selectFrom('repository')
      .select('id')
      .where('project_id', '=', projectId)
      .executeTakeFirstOrThrow()
    const error = await use()
      .run(danglingTag, { repositoryId: repository.id })
      .catch((caught: unknown) => caught)
    assert.equal(constraintViolation(error), 'foreign_key')
  })
}

function describeValues(use: () => Database<RegionSchema>): void {
  test('bytes, null and the largest safe integer come back as they were', async () => {
    const projectId = randomUUID()
    const whole = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256))
    // A small part of a larger buffer, as chunks of the network are.
    const content = whole.subarray(100, 400)
    const id = await use().run(storeBlob, {
      projectId,
      digest: 'sha256:1',
      content,
      sizeBytes: Number.MAX_SAFE_INTEGER,
    })
    const row = await use()
      .reader.selectFrom('blob')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    assert.ok(row.content instanceof Uint8Array)
    assert.equal(Buffer.compare(row.content, content), 0)
    const { content: _, ...rest } = row
    assert.deepEqual(rest, {
      id,
      project_id: projectId,
      digest: 'sha256:1',
      size_bytes: Number.MAX_SAFE_INTEGER,
      storage_key: null,
      state: 'live',
      created_at: 1,
      trashed_at: null,
      purge_at: null,
    })
  })

  test('no bytes are not null', async () => {
    const id = await use().run(storeBlob, {
      projectId: randomUUID(),
      digest: 'sha256:1',
      content: new Uint8Array(0),
      sizeBytes: 0,
    })
    const row = await use()
      .reader.selectFrom('blob')
      .select('content')
      .where('id', '=', id)
      .executeTakeFirst()
    assert.equal(row?.content?.byteLength, 0)
  })

  test('counts, sums and integer division are numbers', async () => {
    const projectId = randomUUID()
    await use().run(setUsage, { projectId, usedBytes: 7 })
    const { rows } = await sql<{ count: number; sum: number; half: number }>`
      select count(*) as count, sum(used_bytes) as sum, max(used_bytes) / ${2} as half
      from project_usage where project_id = ${projectId}`.execute(use().reader)
    assert.deepEqual(rows, [{ count: 1, sum: 7, half: 3 }])
  })

  test('an integer that is not safe is refused, not rounded', async () => {
    const text = dialectOf(use().reader) === 'sqlite' ? '9007199254740993' : '9007199254740993::bigint'
    await assert.rejects(sql.raw(`select ${text} as value`).execute(use().reader), RangeError)
  })

  test('an update says how many rows it changed', async () => {
    const args = { projectId: randomUUID(), digest: 'sha256:2', content: new Uint8Array(1), sizeBytes: 1 }
    const id = await use().run(storeBlob, args)
    assert.equal(await use().run(trashBlob, { id }), 1)
    assert.equal(await use().run(trashBlob, { id: id + 1_000_000 }), 0)
  })

  test('a digest is live once per project, and again after its trashing', async () => {
    const args = { projectId: randomUUID(), digest: 'sha256:3', content: new Uint8Array(1), sizeBytes: 1 }
    const id = await use().run(storeBlob, args)
    const error = await use()
      .run(storeBlob, args)
      .catch((caught: unknown) => caught)
    assert.equal(constraintViolation(error), 'unique')
    await use().run(trashBlob, { id })
    assert.notEqual(await use().run(storeBlob, args), id)
  })

  test('text sorts and compares by its bytes', async () => {
    const projectId = randomUUID()
    const paths = ['a', 'B', 'a-b', 'a/b', 'a.b', 'a_b', 'ab', 'Z', 'é', 'z', '\u{1f600}', '\uffee', '0']
    await use().run(addRepositories, { projectId, paths })
    const expected = paths.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    const query = use().reader.selectFrom('repository').select('path').where('project_id', '=', projectId)
    assert.deepEqual(
      (await query.orderBy('path').execute()).map((row) => row.path),
      expected,
    )
    const after = await query.where('path', '>', 'a/b').orderBy('path').execute()
    assert.deepEqual(
      after.map((row) => row.path),
      expected.slice(expected.indexOf('a/b') + 1),
    )
  })
}

function describeSharing(
  use: () => Database<RegionSchema>,
  open: () => Promise<Database<RegionSchema>>,
): void {
  test('another handle opens the same database without running migrations again, and sees the same rows', async () => {
    const projectId = randomUUID()
    await use().run(setUsage, { projectId, usedBytes: 5 })
    const other = await open()
    try {
      assert.deepEqual(await usageOf(other, [projectId]), [5])
      await Promise.all([use(), other, use(), other].map((handle) => handle.run(increment, { projectId })))
      assert.deepEqual(await usageOf(use(), [projectId]), [9])
    } finally {
      await other.close()
    }
  })

  test('a notification reaches the other handles that listen on its channel, and no longer after the end', async () => {
    const other = await open()
    try {
      const heard = new EventTarget()
      let wrong = 0
      let calls = 0
      const end = other.subscribe('changes', () => {
        calls += 1
        heard.dispatchEvent(new Event('call'))
      })
      const endWrong = other.subscribe('elsewhere', () => {
        wrong += 1
      })
      // The subscription itself may take a while, so the first notification can come too early: ask again.
      const first = once(heard, 'call')
      const repeat = setInterval(() => void use().notify('changes'), 20)
      await first
      clearInterval(repeat)
      const callsOnElsewhere = wrong
      end()
      endWrong()
      const after = once(heard, 'call')
      const endSecond = other.subscribe('changes', () => heard.dispatchEvent(new Event('call')))
      const callsBefore = calls
      const repeatAgain = setInterval(() => void use().notify('changes'), 20)
      await after
      clearInterval(repeatAgain)
      assert.equal(calls, callsBefore)
      // At most the one call that tells a new listener that it may have missed something.
      assert.ok(callsOnElsewhere <= 1)
      endSecond()
    } finally {
      await other.close()
    }
  })

  test('ping and the clock answer', async () => {
    const before = await use().nowMs()
    await use().ping()
    const now = await use().nowMs()
    assert.ok(Number.isSafeInteger(now))
    assert.ok(now >= before)
    assert.ok(Math.abs(now - Date.now()) < 60_000)
  })

  test('the reader refuses to write on SQLite, and starts no transactions anywhere', async () => {
    await assert.rejects(
      use()
        .reader.transaction()
        .execute(async () => undefined),
    )
    if (use().dialect === 'sqlite') {
      await assert.rejects(use().reader.deleteFrom('project_usage').execute())
    }
  })
}

async function usageOf(db: Database<RegionSchema>, projectIds: readonly string[]): Promise<number[]> {
  const rows = await db.reader
    .selectFrom('project_usage')
    .select('used_bytes')
    .where('project_id', 'in', projectIds)
    .execute()
  return rows.map((row) => row.used_bytes)
}

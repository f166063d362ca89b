import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { type Kysely, sql } from 'kysely'
import { DatabaseUnavailableError } from '../database.ts'
import { DatabaseTooNewError, MIGRATIONS, migrate } from '../migrations/migrate.ts'
import { openConnection } from './connection.ts'
import { openSqliteDatabase } from './database.ts'
import { kyselyOver } from './node-sqlite-dialect.ts'
import { startSqliteWriter } from './writer.ts'

describe('migrations on SQLite', () => {
  let folder: string
  let path: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'berth-migrate-'))
    path = join(folder, 'some.db')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  async function withFile<Result>(
    work: (db: Kysely<unknown>, connection: DatabaseSync) => Promise<Result>,
  ): Promise<Result> {
    const connection = openConnection(path, {
      synchronous: 'full',
      queryOnly: false,
      cacheKib: 1024,
      autoCheckpointPages: 0,
    })
    try {
      return await work(kyselyOver(connection), connection)
    } finally {
      connection.close()
    }
  }

  async function open(kind: 'control' | 'region'): Promise<void> {
    const writer = startSqliteWriter()
    try {
      await (await openSqliteDatabase(kind, { path, writer })).close()
    } finally {
      await writer.close()
    }
  }

  for (const kind of ['control', 'region'] as const) {
    test(`${kind}: the second run does nothing`, async () => {
      await withFile(async (db) => {
        assert.deepEqual(
          await migrate(db, kind, 'sqlite', 1),
          MIGRATIONS[kind].map((migration) => migration.name),
        )
        assert.deepEqual(await migrate(db, kind, 'sqlite', 2), [])
      })
    })
  }

  test('every table has typed columns', async () => {
    for (const kind of ['control', 'region'] as const) {
      path = join(folder, `${kind}.db`)
      await withFile(async (db, connection) => {
        await migrate(db, kind, 'sqlite', 1)
        const loose = connection
          .prepare(
            `select name from pragma_table_list where schema = 'main' and type = 'table' and strict = 0
             and name not like 'sqlite%' and name <> 'schema_migration'`,
          )
          .all()
        assert.deepEqual(loose, [])
      })
    }
  })

  test('the starting rows are there once', async () => {
    await withFile(async (db) => {
      await migrate(db, 'region', 'sqlite', 1)
      await migrate(db, 'region', 'sqlite', 1)
      assert.deepEqual((await sql`select * from access_cursor`.execute(db)).rows, [{ id: 1, applied_seq: 0 }])
    })
    path = join(folder, 'control.db')
    await withFile(async (db) => {
      await migrate(db, 'control', 'sqlite', 1)
      assert.deepEqual((await sql`select * from access_counter`.execute(db)).rows, [{ id: 1, seq: 0 }])
    })
  })

  test('a database of a newer version is refused', async () => {
    await open('region')
    await withFile(async (db) => {
      await sql`insert into schema_migration (name, kind, applied_at) values ('9999-later', 'region', 1)`.execute(
        db,
      )
    })
    await assert.rejects(open('region'), (error: unknown) => {
      assert.ok(error instanceof DatabaseTooNewError)
      assert.match(error.message, /newer version of Berth.*9999-later/)
      return true
    })
  })

  test('a database of the other kind is refused', async () => {
    await open('region')
    await assert.rejects(open('control'), /this is a region database, not a control database/)
  })

  test('a file that is no database, and a folder that is not there, are unavailable', async () => {
    writeFileSync(path, 'this is a text and no database, whatever its name says'.repeat(100))
    await assert.rejects(open('region'), DatabaseUnavailableError)
    path = join(folder, 'missing', 'some.db')
    await assert.rejects(open('region'), DatabaseUnavailableError)
  })

  test('a migration that fails leaves nothing of it', async () => {
    await open('region')
    await withFile(async (db, connection) => {
      const broken = {
        name: '0002-broken',
        async up(tx: Kysely<unknown>): Promise<void> {
          await sql`create table half (id integer) strict`.execute(tx)
          throw new Error('no further')
        },
      }
      connection.exec('begin immediate')
      await assert.rejects(migrate(db, 'region', 'sqlite', 1, [...MIGRATIONS.region, broken]), /no further/)
      connection.exec('rollback')
      assert.equal(connection.prepare("select 1 from sqlite_schema where name = 'half'").get(), undefined)
    })
    await open('region')
  })

  test('processes that start at the same time migrate once', async () => {
    const script = join(folder, 'open.ts')
    const modules = {
      database: import.meta.resolve('./database.ts'),
      writer: import.meta.resolve('./writer.ts'),
    }
    writeFileSync(
      script,
      `import { openSqliteDatabase } from ${JSON.stringify(modules.database)}
       import { startSqliteWriter } from ${JSON.stringify(modules.writer)}
       const writer = startSqliteWriter()
       const db = await openSqliteDatabase('region', { path: process.argv[2], writer })
       await db.ping()
       await db.close()
       await writer.close()`,
    )
    const children = Array.from({ length: 3 }, () =>
      spawn(process.execPath, [script, path], { stdio: ['ignore', 'ignore', 'inherit'] }),
    )
    const ends = await Promise.all(children.map((child) => once(child, 'close')))
    assert.deepEqual(ends, Array(3).fill([0, null]))
    await withFile(async (db) => {
      const { rows } = await sql`select name from schema_migration order by name`.execute(db)
      assert.deepEqual(
        rows,
        MIGRATIONS.region.map(({ name }) => ({ name })),
      )
    })
  })
})

// @needs postgres
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import pg from 'pg'
import { waitFor } from '../../../../test/support/process.ts'
import { type Postgres, startPostgres } from '../../../../test/support/servers/postgres.ts'
import { appendEvent, setUsage } from '../contract-commands.ts'
import { MIGRATIONS } from '../migrations/migrate.ts'
import { type Database, DatabaseUnavailableError, defineCommand } from '../database.ts'
import { DatabaseTooNewError, migrate } from '../migrations/migrate.ts'
import type { RegionSchema } from '../region-schema.ts'
import { openConnection } from '../sqlite/connection.ts'
import { kyselyOver } from '../sqlite/node-sqlite-dialect.ts'
import { openPostgresDatabase, UnsuitableServerError } from './database.ts'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'
import { MAX_ATTEMPTS, MAX_WAITING_CALLERS } from './limits.ts'

const schema = 'berth_region_faults'

describe('PostgreSQL driver', () => {
  let server: Postgres
  let proxy: FaultProxy
  let url: string
  let db: Database<RegionSchema>
  before(async () => {
    server = await startPostgres({ fsync: true })
    url = await server.createDatabase('faults')
    proxy = await startFaultProxy(server.port)
    const proxied = server.url('faults').replace(String(server.port), String(proxy.port))
    db = await openPostgresDatabase('region', { url: proxied, schema, poolSize: 4 })
  })
  after(async () => {
    await db.close()
    await proxy.close()
    await server.stop()
  })

  test('a COMMIT whose answer is lost is unavailable and not repeated', async () => {
    const projectId = randomUUID()
    let runs = 0
    const counted = defineCommand<RegionSchema, null, void>('fault.counted', async (tx) => {
      runs += 1
      await appendEvent.execute(tx, { projectId, requestId: String(runs) })
    })
    proxy.cutAfter('commit\0')
    await assert.rejects(
      db.run(counted, null),
      (error: unknown) => error instanceof DatabaseUnavailableError && error.reason === 'connection',
    )
    assert.equal(runs, 1)
    assert.deepEqual(await eventsOf(db, projectId), ['1'])
  })

  test('a connection that is lost inside a transaction undoes it', async () => {
    const projectId = randomUUID()
    proxy.cutAfter(projectId)
    await assert.rejects(db.run(appendEvent, { projectId, requestId: '1' }), DatabaseUnavailableError)
    assert.deepEqual(await eventsOf(db, projectId), [])
    await db.run(appendEvent, { projectId, requestId: '2' })
    assert.deepEqual(await eventsOf(db, projectId), ['2'])
  })

  test('a pooled connection that is lost before BEGIN is replaced unseen', async () => {
    const projectId = randomUUID()
    await db.run(appendEvent, { projectId, requestId: '1' })
    proxy.cutAfter('begin')
    await db.run(appendEvent, { projectId, requestId: '2' })
    assert.deepEqual(await eventsOf(db, projectId), ['1', '2'])
  })

  test('a read on a lost connection is unavailable, and the next one works', async () => {
    const projectId = randomUUID()
    proxy.cutAfter(projectId)
    await assert.rejects(eventsOf(db, projectId), DatabaseUnavailableError)
    assert.deepEqual(await eventsOf(db, projectId), [])
  })

  for (const [name, failures, succeeds] of [
    ['is run again when the server asks for it', MAX_ATTEMPTS - 1, true],
    ['is not run again for ever', MAX_ATTEMPTS, false],
  ] as const) {
    test(`a transaction ${name}`, async () => {
      const projectId = randomUUID()
      let runs = 0
      const contended = defineCommand<RegionSchema, null, number>('fault.contended', async (tx) => {
        runs += 1
        await appendEvent.execute(tx, { projectId, requestId: String(runs) })
        if (runs <= failures) await raise('40001').execute(tx)
        return runs
      })
      if (succeeds) assert.equal(await db.run(contended, null), MAX_ATTEMPTS)
      else await assert.rejects(db.run(contended, null), DatabaseUnavailableError)
      assert.equal(runs, MAX_ATTEMPTS)
      assert.deepEqual(await eventsOf(db, projectId), succeeds ? [String(MAX_ATTEMPTS)] : [])
    })
  }

  for (const [code, reason] of [
    ['53100', 'full'],
    ['58030', 'io'],
    ['XX001', 'io'],
    ['57014', 'connection'],
    ['55P03', 'connection'],
    ['53300', 'connection'],
    ['25006', 'connection'],
  ] as const) {
    test(`SQLSTATE ${code} is unavailable (${reason})`, async () => {
      const failing = defineCommand<RegionSchema, null, void>('fault.failing', async (tx) => {
        await raise(code).execute(tx)
      })
      await assert.rejects(
        db.run(failing, null),
        (error: unknown) => error instanceof DatabaseUnavailableError && error.reason === reason,
      )
    })
  }

  test('more callers than may wait for a connection are refused at once', async () => {
    const sleeping = defineCommand<RegionSchema, null, void>('fault.sleeping', async (tx) => {
      await sql`select pg_sleep(0.3)`.execute(tx)
    })
    const sleepers = Array.from({ length: 4 }, () => db.run(sleeping, null))
    const readers = await Promise.allSettled(
      Array.from({ length: MAX_WAITING_CALLERS + 10 }, () => eventsOf(db, 'none')),
    )
    await Promise.all(sleepers)
    const refused = readers.filter((reader) => reader.status === 'rejected')
    assert.equal(refused.length, 10)
    for (const { reason } of refused) assert.ok(reason instanceof DatabaseUnavailableError)
  })

  test('a listener is called again after its connection was lost', async () => {
    let calls = 0
    const end = db.subscribe('changes', () => {
      calls += 1
    })
    await waitFor('the subscription', async () => calls > 0)
    proxy.cutAll()
    const callsBefore = calls
    await waitFor('the new subscription', async () => calls > callsBefore)
    const callsWhenBack = calls
    await db.notify('changes')
    await waitFor('the notification', async () => calls > callsWhenBack)
    end()
  })

  test('while the server is down everything is unavailable, and works again when it is back', async () => {
    const projectId = randomUUID()
    await db.run(setUsage, { projectId, usedBytes: 3 })
    await server.kill9()
    await assert.rejects(db.run(setUsage, { projectId, usedBytes: 4 }), DatabaseUnavailableError)
    await assert.rejects(eventsOf(db, projectId), DatabaseUnavailableError)
    await assert.rejects(db.ping(), DatabaseUnavailableError)
    await assert.rejects(db.nowMs(), DatabaseUnavailableError)
    await assert.rejects(db.notify('changes'), DatabaseUnavailableError)
    await assert.rejects(openPostgresDatabase('region', { url, schema }), DatabaseUnavailableError)
    await server.start()
    await db.ping()
    const rows = await db.reader
      .selectFrom('project_usage')
      .select('used_bytes')
      .where('project_id', '=', projectId)
      .execute()
    assert.deepEqual(rows, [{ used_bytes: 3 }])
  })

  test('processes that start at the same time migrate once', async () => {
    const together = { url, schema: 'berth_region_together' }
    const handles = await Promise.all(
      Array.from({ length: 4 }, () => openPostgresDatabase('region', together)),
    )
    const { rows } = await sql`select name from schema_migration`.execute((handles[0] as typeof db).reader)
    const names = MIGRATIONS.region.map(({ name }) => ({ name }))
    assert.deepEqual(rows, names)
    for (const handle of handles) await handle.close()
  })

  test('a schema of a newer version, of the other kind or with a wrong name is refused', async () => {
    const newer = { url, schema: 'berth_region_newer' }
    const handle = await openPostgresDatabase('region', newer)
    const insert = "insert into schema_migration (name, kind, applied_at) values ('9999-later', 'region', 1)"
    await sql.raw(insert).execute(handle.reader)
    await handle.close()
    await assert.rejects(openPostgresDatabase('region', newer), DatabaseTooNewError)
    await assert.rejects(openPostgresDatabase('control', { url, schema }), /this is a region database/)
    await assert.rejects(openPostgresDatabase('region', { url, schema: 'x"; drop' }), /not a schema name/)
  })

  test('a server that would lose acknowledged commits, or is not in UTF-8, is refused', async () => {
    for (const value of ['off', 'local', 'remote_write']) {
      await query(url, `alter database faults set synchronous_commit = ${value}`)
      await assert.rejects(openPostgresDatabase('region', { url, schema }), UnsuitableServerError)
    }
    const unsafe = await openPostgresDatabase('region', { url, schema, allowUnsafeDurability: true })
    await unsafe.close()
    await query(url, 'alter database faults reset synchronous_commit')
    await query(url, `create database latin template template0 locale 'C' encoding 'LATIN1'`)
    await assert.rejects(
      openPostgresDatabase('region', { url: server.url('latin'), schema }),
      /encoding LATIN1/,
    )
  })

  test('both dialects have the same tables and columns', async () => {
    for (const kind of ['control', 'region'] as const) {
      const handle = await openPostgresDatabase(kind, { url, schema: `berth_same_${kind}` })
      const { rows } = await sql<{ column: string; kind: string; nullable: string }>`
        select table_name || '.' || column_name as column, is_nullable as nullable,
          case data_type when 'bigint' then 'INTEGER' when 'bytea' then 'BLOB' else 'TEXT' end as kind
        from information_schema.columns where table_schema = ${`berth_same_${kind}`}
          and table_name <> 'schema_migration'`.execute(handle.reader)
      await handle.close()
      const shared = rows.filter((row) => !row.column.startsWith('upload_session.'))
      assert.deepEqual(sorted(shared), sorted(await sqliteColumns(kind)))
    }
  })
})

test('a server without fsync is refused', async () => {
  const server = await startPostgres({ fsync: false })
  try {
    await assert.rejects(
      openPostgresDatabase('region', { url: server.url('postgres'), schema }),
      (error: unknown) => error instanceof UnsuitableServerError && error.message.includes('fsync = off'),
    )
  } finally {
    await server.stop()
  }
})

function raise(code: string) {
  return sql.raw(`do $$ begin raise exception 'asked for' using errcode = '${code}'; end $$`)
}

async function eventsOf(db: Database<RegionSchema>, projectId: string): Promise<string[]> {
  const rows = await db.reader
    .selectFrom('audit_event')
    .select('request_id')
    .where('project_id', '=', projectId)
    .orderBy('id')
    .execute()
  return rows.map((row) => row.request_id)
}

async function query(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

async function sqliteColumns(kind: 'control' | 'region') {
  const folder = mkdtempSync(join(tmpdir(), 'berth-columns-'))
  const connection = openConnection(join(folder, 'some.db'), {
    synchronous: 'full',
    queryOnly: false,
    cacheKib: 1024,
    autoCheckpointPages: 0,
  })
  try {
    const db = kyselyOver<unknown>(connection)
    await migrate(db, kind, 'sqlite', 1)
    const { rows } = await sql<{ column: string; kind: string; nullable: string }>`
      select tables.name || '.' || columns.name as column, upper(columns.type) as kind,
        case when columns."notnull" = 1 or columns.pk > 0 then 'NO' else 'YES' end as nullable
      from pragma_table_list as tables, pragma_table_info(tables.name) as columns
      where tables.schema = 'main' and tables.name not like 'sqlite%' and tables.name <> 'schema_migration'`.execute(
      db,
    )
    return rows
  } finally {
    connection.close()
    rmSync(folder, { recursive: true })
  }
}

function sorted(rows: readonly { column: string; kind: string; nullable: string }[]): string[] {
  return rows.map((row) => `${row.column} ${row.kind} ${row.nullable}`).sort()
}

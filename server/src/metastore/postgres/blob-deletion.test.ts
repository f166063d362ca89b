// @needs postgres
import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { waitFor } from '../../../../test/support/process.ts'
import { startPostgres } from '../../../../test/support/servers/postgres.ts'
import { commitBlob, deleteBlob, mountBlob } from '../queries/blob.ts'
import { clearCopies } from '../queries/cache-eviction.ts'
import { collectBlob, listDueGcTasks } from '../queries/gc.ts'
import { openPostgresDatabase } from './database.ts'

const SCHEMA = 'berth_region_deletion'
const CLEARING_SCHEMA = 'berth_region_clearing'
const NOW = 1_700_000_000_000
const DIGEST = `sha256:${'a'.repeat(64)}`

test('a blob that is deleted from its last repository while garbage collection looks at it is not forgotten', async (t) => {
  const cleanup = new AsyncDisposableStack()
  t.after(() => cleanup.disposeAsync())
  const server = await startPostgres({ shared: true })
  cleanup.defer(() => server.stop())
  const url = await server.createDatabase()
  const db = await openPostgresDatabase('region', { url, schema: SCHEMA, allowUnsafeDurability: true })
  cleanup.defer(() => db.close())
  const other = new pg.Client({ connectionString: url })
  await other.connect()
  cleanup.defer(() => other.end())
  await other.query(`set search_path to ${SCHEMA}`)
  await other.query(
    `insert into access_project (id, namespace, public_repositories, allow_sparse_indexes) values ('p', 'p', '[]', 0)`,
  )

  const context = { guard: null, projectId: 'p', actor: 'operator', requestId: 'test', nowMs: NOW }
  const blob = { ...context, digest: DIGEST, leaseMs: 60_000 }
  await db.run(commitBlob, { ...blob, path: 'a', sizeBytes: 1, storageKey: null, content: Buffer.from('x') })
  await db.run(mountBlob, { ...blob, path: 'b', sourcePath: 'a' })
  await db.run(deleteBlob, { ...blob, path: 'a' })
  const [task] = await listDueGcTasks(db.reader, NOW, 10)
  assert.equal(task?.kind, 'blob')

  // The deletion stops before its audit event; the collector then comes as far as it can.
  await other.query('begin')
  await other.query('lock table audit_event in share row exclusive mode')
  const deleted = db.run(deleteBlob, { ...blob, path: 'b' })
  await waitFor('the deletion to wait', async () => (await countWaiting(other)) === 1, 10_000)
  const looked = db.run(collectBlob, { task, times: { nowMs: NOW, trashMs: 1000 } })
  await waitFor('the collector to wait', async () => (await countWaiting(other)) === 2, 10_000)
  await other.query('commit')
  assert.equal((await deleted).ok, true)
  await looked

  const row = await db.reader.selectFrom('blob').select('state').executeTakeFirstOrThrow()
  const queued = (await listDueGcTasks(db.reader, NOW, 10)).filter(({ kind }) => kind === 'blob')
  assert.ok(row.state === 'trashed' || queued.length === 1, 'live, in no repository, and not queued')
})

test('a blob that is cleared out of its last repository while garbage collection looks at it is not forgotten', async (t) => {
  const cleanup = new AsyncDisposableStack()
  t.after(() => cleanup.disposeAsync())
  const server = await startPostgres({ shared: true })
  cleanup.defer(() => server.stop())
  const url = await server.createDatabase()
  const db = await openPostgresDatabase('region', {
    url,
    schema: CLEARING_SCHEMA,
    allowUnsafeDurability: true,
  })
  cleanup.defer(() => db.close())
  const other = new pg.Client({ connectionString: url })
  await other.connect()
  cleanup.defer(() => other.end())
  await other.query(`set search_path to ${CLEARING_SCHEMA}`)
  await other.query(
    `insert into access_project (id, namespace, public_repositories, allow_sparse_indexes) values ('p', 'p', '[]', 0)`,
  )

  const context = { guard: null, projectId: 'p', actor: 'operator', requestId: 'test', nowMs: NOW }
  const blob = { ...context, digest: DIGEST, leaseMs: 60_000 }
  await db.run(commitBlob, { ...blob, path: 'a', sizeBytes: 1, storageKey: null, content: Buffer.from('x') })
  await db.run(mountBlob, { ...blob, path: 'b', sourcePath: 'a' })
  await db.run(deleteBlob, { ...blob, path: 'a' })
  const [task] = await listDueGcTasks(db.reader, NOW, 10)
  assert.equal(task?.kind, 'blob')

  // A second blob, at which the clearing stops; the collector then comes as far as it can.
  const second = { ...blob, digest: `sha256:${'b'.repeat(64)}` }
  await db.run(commitBlob, {
    ...second,
    path: 'b',
    sizeBytes: 1,
    storageKey: null,
    content: Buffer.from('y'),
  })
  await other.query(`update repository set cached_from = 'gone' where path = 'b'`)
  const { id: repositoryId } = await db.reader
    .selectFrom('repository')
    .select('id')
    .where('path', '=', 'b')
    .executeTakeFirstOrThrow()
  await other.query('begin')
  await other.query('select 1 from repository_blob where digest = $1 for update', [second.digest])
  const cleared = db.run(clearCopies, { repositoryId, nowMs: NOW })
  await waitFor('the clearing to wait', async () => (await countWaiting(other)) === 1, 10_000)
  const looked = db.run(collectBlob, { task, times: { nowMs: NOW, trashMs: 1000 } })
  await waitFor('the collector to wait', async () => (await countWaiting(other)) === 2, 10_000)
  await other.query('commit')
  assert.equal(await cleared, 'more')
  await looked

  const row = await db.reader
    .selectFrom('blob')
    .select(['id', 'state'])
    .where('digest', '=', DIGEST)
    .executeTakeFirstOrThrow()
  const queued = (await listDueGcTasks(db.reader, NOW, 10)).filter(
    ({ kind, blob_id }) => kind === 'blob' && blob_id === row.id,
  )
  assert.ok(row.state === 'trashed' || queued.length === 1, 'live, in no repository, and not queued')
})

async function countWaiting(client: pg.Client): Promise<number> {
  // Inside a transaction the view stays as it was first seen.
  await client.query('select pg_stat_clear_snapshot()')
  const text = `select count(*)::int as waiting from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`
  return (await client.query<{ waiting: number }>(text)).rows[0]?.waiting ?? 0
}

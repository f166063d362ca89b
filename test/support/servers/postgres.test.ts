// @needs postgres
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import pg from 'pg'
import { portAnswers } from '../process.ts'
import { startPostgres } from './postgres.ts'

test('a cluster answers, keeps committed rows over a crash, and leaves nothing', async () => {
  const server = await startPostgres({ fsync: true })
  const url = await server.createDatabase()
  assert.notEqual(await server.createDatabase(), url)
  await query(url, 'CREATE TABLE things (name text)')
  await query(url, "INSERT INTO things VALUES ('anchor')")
  await server.kill9()
  assert.equal(await portAnswers(server.port), false)
  await server.start()
  assert.deepEqual(await query(url, 'SELECT name FROM things'), [{ name: 'anchor' }])
  const bySocket = new URL(url).pathname.slice(1)
  assert.deepEqual(
    await query(
      `postgres://postgres@/${bySocket}?host=${server.socketFolder}&port=${server.port}`,
      'SELECT 1 AS one',
    ),
    [{ one: 1 }],
  )
  await server.stop()
  assert.equal(await portAnswers(server.port), false)
  assert.equal(existsSync(server.socketFolder), false)
})

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

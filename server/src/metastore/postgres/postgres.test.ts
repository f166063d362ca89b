// @needs postgres
import { after, before } from 'node:test'
import pg from 'pg'
import { waitFor } from '../../../../test/support/process.ts'
import { type Postgres, startPostgres } from '../../../../test/support/servers/postgres.ts'
import { describeDatabase } from '../contract.ts'
import { describeSessionStore } from '../session-contract.ts'
import { openPostgresDatabase } from './database.ts'
import { createPostgresSessionStore } from './session-store.ts'

let server: Postgres
let url: string
before(async () => {
  server = await startPostgres({ settings: { deadlock_timeout: '20ms' } })
  url = await createLocalizedDatabase()
})
after(async () => {
  await server.stop()
})

describeDatabase('postgres', async () => {
  return {
    open: () =>
      openPostgresDatabase('region', { url, schema: 'berth_region_contract-1', allowUnsafeDurability: true }),
    dispose: () => assertNoConnections(),
  }
})

describeSessionStore('postgres', async () => {
  const db = await openPostgresDatabase('region', {
    url,
    schema: 'berth_region_sessions',
    allowUnsafeDurability: true,
  })
  return {
    store: createPostgresSessionStore(db),
    reopen: async () => createPostgresSessionStore(db),
    async dispose() {
      await db.close()
      await assertNoConnections()
    },
  }
})

/** A database whose own order of text is not that of bytes: the order must come from the columns. */
async function createLocalizedDatabase(): Promise<string> {
  await onServer(
    `create database localized template template0 locale_provider icu icu_locale 'en-US' locale 'C.UTF-8' encoding 'UTF8'`,
  )
  return server.url('localized')
}

async function assertNoConnections(): Promise<void> {
  const text = "select pid, query from pg_stat_activity where application_name = 'berth'"
  // The server's side of a connection ends a little after ours.
  await waitFor('connections to end', async () => (await onServer(text)).length === 0, 10_000)
}

async function onServer(text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: server.url('postgres') })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

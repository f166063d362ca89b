import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeDatabase } from '../contract.ts'
import { describeSessionStore } from '../session-contract.ts'
import { openSqliteDatabase } from './database.ts'
import { openSqliteSessionStore } from './session-store.ts'
import { startSqliteWriter } from './writer.ts'

const commandsModule = new URL('../contract-commands.ts', import.meta.url)

describeDatabase('sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-metastore-'))
  const writer = startSqliteWriter({ commandsModule })
  const path = join(folder, 'region.db')
  return {
    open: () => openSqliteDatabase('region', { path, writer }),
    async dispose() {
      // The last connection to close removes the write-ahead log, so an open one would leave it.
      assert.deepEqual(readdirSync(folder), ['region.db'])
      await writer.close()
      rmSync(folder, { recursive: true })
    },
  }
})

describeSessionStore('sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-metastore-'))
  const writer = startSqliteWriter({ commandsModule })
  const path = join(folder, 'sessions.db')
  const open = () => openSqliteSessionStore({ path })
  return {
    store: await open(),
    reopen: open,
    async dispose() {
      assert.deepEqual(readdirSync(folder), ['sessions.db'])
      await writer.close()
      rmSync(folder, { recursive: true })
    },
  }
})

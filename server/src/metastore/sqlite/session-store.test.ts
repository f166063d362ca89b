import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { DatabaseUnavailableError } from '../database.ts'
import type { UploadSessionRow } from '../session-store.ts'
import { openBootGuard } from './boot-guard.ts'
import { SESSION_CHECKPOINT_PAGES } from './limits.ts'
import { openSqliteSessionStore } from './session-store.ts'

const LIMITS = { quotaLeftBytes: null, maxPerCredential: 1_000_000 }

describe('the file of upload sessions', () => {
  let folder: string
  let path: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'berth-sessions-'))
    path = join(folder, 'sessions.db')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('sessions survive kill -9', async () => {
    const script = join(folder, 'create.ts')
    writeFileSync(
      script,
      `import { openSqliteSessionStore } from ${JSON.stringify(import.meta.resolve('./session-store.ts'))}
       const store = await openSqliteSessionStore({ path: process.argv[2] })
       for (let index = 0; index < 1000; index += 1) {
         await store.create({ ...${JSON.stringify(makeRow('id'))}, id: String(index) }, ${JSON.stringify(LIMITS)})
       }
       process.kill(process.pid, 'SIGKILL')`,
    )
    const child = spawn(process.execPath, [script, path], { stdio: 'inherit' })
    assert.deepEqual(await once(child, 'close'), [null, 'SIGKILL'])
    const store = await openSqliteSessionStore({ path })
    assert.equal(await store.count(), 1000)
    await store.close()
  })

  test('after the machine went down, the file starts empty; after a clean end it does not', async () => {
    let store = await openSqliteSessionStore({ path })
    await store.create(makeRow('1'), LIMITS)
    await store.close()
    // Whatever the boot was: nothing is noted after a clean end.
    assert.ok(!existsSync(`${path}-boot`))
    openBootGuard(path, 'another boot').closeCleanly()
    store = await openSqliteSessionStore({ path })
    assert.equal(await store.count(), 1)
    await store.close()

    openBootGuard(path, 'another boot')
    store = await openSqliteSessionStore({ path })
    assert.equal(await store.count(), 0)
    await store.close()
  })

  test('a torn file of another boot does not hinder the start', async () => {
    writeFileSync(path, 'half of this was never written')
    writeFileSync(`${path}-wal`, 'nor this')
    openBootGuard(join(folder, 'other.db'), 'another boot')
    writeFileSync(`${path}-boot`, 'another boot')
    const store = await openSqliteSessionStore({ path })
    assert.equal(await store.count(), 0)
    await store.close()
  })

  test('a boot without a name trusts only a clean end', () => {
    writeFileSync(path, 'rows')
    openBootGuard(path, null).closeCleanly()
    assert.ok(existsSync(path))
    openBootGuard(path, null)
    assert.ok(existsSync(path))
    openBootGuard(path, null)
    assert.ok(!existsSync(path))
  })

  test('a second opener is refused', async () => {
    const store = await openSqliteSessionStore({ path })
    await store.create(makeRow('1'), LIMITS)
    await assert.rejects(
      openSqliteSessionStore({ path }),
      (error: unknown) => error instanceof DatabaseUnavailableError && error.reason === 'connection',
    )
    assert.equal(await store.count(), 1)
    await store.close()
  })

  test('the write-ahead log stays short however much is written', async () => {
    const store = await openSqliteSessionStore({ path })
    for (let index = 0; index < 3000; index += 1) {
      await store.create({ ...makeRow(String(index)), pending: new Uint8Array(2000) }, LIMITS)
      await store.remove(String(index))
    }
    assert.ok(statSync(`${path}-wal`).size < 2 * SESSION_CHECKPOINT_PAGES * 4096)
    await store.close()
    assert.deepEqual(readdirSync(folder), ['sessions.db'])
  })
})

function makeRow(id: string): UploadSessionRow {
  return {
    id,
    project_id: 'project',
    repository_path: 'app',
    credential_id: 'credential',
    algorithm: 'sha256',
    offset_bytes: 0,
    digest_so_far: null,
    pending: null,
    storage_state: null,
    reserved_bytes: 0,
    claimed_by: null,
    claimed_until: null,
    created_at: 1,
    expires_at: 60_000,
  }
}

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pino } from 'pino'
import type { UploadState } from '../blobstore/blobstore.ts'
import type { UploadSessionRow, UploadSessionStore } from '../metastore/session-store.ts'
import { openSqliteSessionStore } from '../metastore/sqlite/session-store.ts'
import { openTestRegion, type TestRegion } from './test-region.ts'
import { expireUploads } from './upload-expiry.ts'

const NO_LIMITS = { quotaLeftBytes: null, maxPerCredential: 1000 }
const CLAIM_MS = 60_000

async function openSessions(t: TestContext): Promise<UploadSessionStore> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-sessions-'))
  const sessions = await openSqliteSessionStore({ path: join(folder, 'sessions.db') })
  t.after(async () => {
    await sessions.close()
    await rm(folder, { recursive: true })
  })
  return sessions
}

/** A session of one chunk, whose bytes are in the blob store. */
async function startUpload(
  region: TestRegion,
  sessions: UploadSessionStore,
  { expiresAt }: { expiresAt: number },
): Promise<UploadSessionRow> {
  const id = randomUUID()
  const writer = await region.blobs.openWriter(await region.blobs.createUpload(id), 0)
  await writer.append(Buffer.from('a chunk'))
  const row: UploadSessionRow = {
    id,
    project_id: 'test-project',
    repository_path: 'app',
    credential_id: 'key',
    algorithm: 'sha256',
    offset_bytes: 7,
    digest_so_far: null,
    pending: null,
    storage_state: await writer.close(),
    reserved_bytes: 1000,
    claimed_by: null,
    claimed_until: null,
    created_at: region.nowMs,
    expires_at: expiresAt,
  }
  assert.equal(await sessions.create(row, NO_LIMITS), 'created')
  return row
}

function expire(region: TestRegion, sessions: UploadSessionStore): Promise<number> {
  const { db, blobs } = region
  const options = { regionId: 'test', db, blobs, sessions, orphanAgeMs: 0, log: pino({ enabled: false }) }
  return expireUploads(options, new AbortController().signal)
}

function hasBytes(region: TestRegion, { storage_state: state, offset_bytes: sizeBytes }: UploadSessionRow) {
  return region.blobs.openUpload(state as UploadState, sizeBytes).then(async (source) => {
    await source?.close()
    return source !== null
  })
}

test('an expired upload is collected with its bytes and its reservation, and a running one is not', async (t) => {
  const region = await openTestRegion(t)
  const sessions = await openSessions(t)
  const expired = await startUpload(region, sessions, { expiresAt: region.nowMs })
  const running = await startUpload(region, sessions, { expiresAt: region.nowMs + 1 })
  assert.equal(await expire(region, sessions), 1)
  assert.equal(await sessions.load(expired.id), null)
  assert.equal(await hasBytes(region, expired), false)
  assert.notEqual(await sessions.load(running.id), null)
  assert.equal(await hasBytes(region, running), true)
  assert.equal(await sessions.reservedBytes('test-project'), running.reserved_bytes)
})

test('an expired upload that a request still writes to is left alone until that ends', async (t) => {
  const region = await openTestRegion(t)
  const sessions = await openSessions(t)
  const upload = await startUpload(region, sessions, { expiresAt: region.nowMs + 1 })
  const { nowMs } = region
  await sessions.claim(upload.id, { owner: 'w', nowMs, untilMs: nowMs + CLAIM_MS, expectedOffsetBytes: null })
  region.advance(1)
  assert.equal(await expire(region, sessions), 0)
  assert.equal(await hasBytes(region, upload), true)
  region.advance(CLAIM_MS)
  assert.equal(await expire(region, sessions), 1)
})

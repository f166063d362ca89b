import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { UploadSessionRow, UploadSessionStore } from './session-store.ts'

/** A store under test. */
export interface SessionStoreFixture {
  readonly store: UploadSessionStore
  /** Opens the same sessions again, as the next start of the process does. The first store is closed then. */
  reopen(): Promise<UploadSessionStore>
  dispose(): Promise<void>
}

const NO_LIMITS = { quotaLeftBytes: null, maxPerCredential: 1000 }

/** What every driver of the session store must do alike. */
export function describeSessionStore(name: string, make: () => Promise<SessionStoreFixture>): void {
  describe(`${name}: upload sessions`, () => {
    let fixture: SessionStoreFixture
    let store: UploadSessionStore
    before(async () => {
      fixture = await make()
      store = fixture.store
    })
    after(async () => {
      await store.close()
      await fixture.dispose()
    })

    describeRows(() => store)
    describeClaims(() => store)
    describeReservations(() => store)
    describeLists(() => store)

    test('sessions outlive the store', async () => {
      const row = makeRow({ pending: Buffer.from('pending'), storage_state: '{}' })
      await store.create(row, NO_LIMITS)
      await store.close()
      store = await fixture.reopen()
      assertSameRow(await store.load(row.id), row)
    })
  })
}

function describeRows(use: () => UploadSessionStore): void {
  test('a created session is loaded as it was, and is gone after its removal', async () => {
    const countBefore = await use().count()
    const row = makeRow({
      digest_so_far: 'sha256:abc',
      pending: Buffer.from('more than this').subarray(0, 4),
      storage_state: '{"upload":1}',
      offset_bytes: Number.MAX_SAFE_INTEGER,
    })
    assert.equal(await use().create(row, NO_LIMITS), 'created')
    assertSameRow(await use().load(row.id), row)
    assert.equal(await use().count(), countBefore + 1)
    await use().remove(row.id)
    await use().remove(row.id)
    assert.equal(await use().load(row.id), null)
    assert.equal(await use().count(), countBefore)
  })

  test('an id is never given twice', async () => {
    const row = makeRow()
    await use().create(row, NO_LIMITS)
    await assert.rejects(use().create(row, NO_LIMITS))
  })

  test('what is not there is null or false', async () => {
    const id = randomUUID()
    assert.equal(await use().load(id), null)
    assert.equal(await use().claim(id, claimOf('writer')), null)
    assert.equal(await use().renewClaim(id, 'writer', 1), false)
    assert.equal(await use().saveProgress(id, 'writer', progressTo(1)), false)
    assert.equal(await use().reserve(id, 1, null), false)
    assert.equal(await use().reserve(id, 1, 1000), false)
    await use().release(id, 'writer')
  })
}

function describeClaims(use: () => UploadSessionStore): void {
  test('one of many simultaneous claims wins, and the others find it taken', async () => {
    const row = makeRow()
    await use().create(row, NO_LIMITS)
    const claims = await Promise.all(
      Array.from({ length: 20 }, (_, index) => use().claim(row.id, claimOf(`writer ${index}`))),
    )
    const winners = claims.filter((claimed) => claimed !== null)
    assert.equal(winners.length, 1)
    assert.match(winners[0]?.claimed_by ?? '', /^writer \d+$/)
  })

  test('a held session is not given again, not even to its holder, until it is released or its time is over', async () => {
    const row = makeRow()
    await use().create(row, NO_LIMITS)
    assert.notEqual(await use().claim(row.id, claimOf('a', { nowMs: 1000, untilMs: 2000 })), null)
    assert.equal(await use().claim(row.id, claimOf('a', { nowMs: 1999, untilMs: 3000 })), null)
    assert.equal(await use().claim(row.id, claimOf('b', { nowMs: 1999, untilMs: 3000 })), null)
    assert.notEqual(await use().claim(row.id, claimOf('b', { nowMs: 2000, untilMs: 3000 })), null)
    await use().release(row.id, 'a')
    assert.equal(await use().claim(row.id, claimOf('c', { nowMs: 2500, untilMs: 3000 })), null)
    await use().release(row.id, 'b')
    assert.notEqual(await use().claim(row.id, claimOf('c', { nowMs: 2500, untilMs: 3000 })), null)
  })

  test('a claim can ask for an offset', async () => {
    const row = makeRow({ offset_bytes: 10 })
    await use().create(row, NO_LIMITS)
    assert.equal(await use().claim(row.id, { ...claimOf('a'), expectedOffsetBytes: 0 }), null)
    assert.equal(await use().claim(row.id, { ...claimOf('a'), expectedOffsetBytes: 11 }), null)
    const claimed = await use().claim(row.id, { ...claimOf('a'), expectedOffsetBytes: 10 })
    assert.equal(claimed?.offset_bytes, 10)
    assert.equal(claimed?.claimed_by, 'a')
  })

  test('an expired session cannot be claimed any more', async () => {
    const row = makeRow({ expires_at: 5000 })
    await use().create(row, NO_LIMITS)
    assert.equal(await use().claim(row.id, claimOf('a', { nowMs: 5000, untilMs: 6000 })), null)
    assert.notEqual(await use().claim(row.id, claimOf('a', { nowMs: 4999, untilMs: 6000 })), null)
  })

  test('whoever collects expired sessions can claim those alone, and none that is held', async () => {
    const row = makeRow({ expires_at: 5000 })
    await use().create(row, NO_LIMITS)
    const collect = (nowMs: number) =>
      use().claim(row.id, { ...claimOf('collector', { nowMs, untilMs: nowMs + 1000 }), expired: true })
    assert.equal(await collect(4999), null)
    await use().claim(row.id, claimOf('a', { nowMs: 4999, untilMs: 5500 }))
    assert.equal(await collect(5499), null)
    assert.notEqual(await collect(5500), null)
    assert.equal(await collect(5501), null)
  })

  test('a claim is renewed by its holder alone', async () => {
    const row = makeRow()
    await use().create(row, NO_LIMITS)
    await use().claim(row.id, claimOf('a', { nowMs: 1000, untilMs: 2000 }))
    assert.equal(await use().renewClaim(row.id, 'b', 9000), false)
    assert.equal(await use().renewClaim(row.id, 'a', 3000), true)
    assert.equal(await use().claim(row.id, claimOf('b', { nowMs: 2500, untilMs: 4000 })), null)
    assert.notEqual(await use().claim(row.id, claimOf('b', { nowMs: 3000, untilMs: 4000 })), null)
    assert.equal(await use().renewClaim(row.id, 'a', 9000), false)
  })

  test('progress is stored by the holder alone, and releases the claim', async () => {
    const row = makeRow()
    await use().create(row, NO_LIMITS)
    await use().claim(row.id, claimOf('a'))
    assert.equal(await use().saveProgress(row.id, 'b', progressTo(99)), false)
    assert.equal(await use().saveProgress(row.id, 'a', progressTo(42)), true)
    assertSameRow(await use().load(row.id), {
      ...row,
      offset_bytes: 42,
      digest_so_far: 'sha256:42',
      pending: Buffer.from('rest'),
      storage_state: '{"parts":1}',
      expires_at: 70_000,
    })
    assert.equal(await use().saveProgress(row.id, 'a', progressTo(43)), false)
  })
}

function describeReservations(use: () => UploadSessionStore): void {
  test('simultaneous sessions never reserve more than the quota', async () => {
    const projectId = randomUUID()
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        use().create(
          makeRow({ project_id: projectId, credential_id: `${projectId}/${index}`, reserved_bytes: 10 }),
          { quotaLeftBytes: 105, maxPerCredential: 1000 },
        ),
      ),
    )
    assert.equal(results.filter((result) => result === 'created').length, 10)
    assert.equal(results.filter((result) => result === 'over_quota').length, 20)
    assert.equal(await use().reservedBytes(projectId), 100)
  })

  test('simultaneous raises never reserve more than the quota', async () => {
    const projectId = randomUUID()
    const rows = Array.from({ length: 20 }, () => makeRow({ project_id: projectId, reserved_bytes: 1 }))
    for (const row of rows) await use().create(row, NO_LIMITS)
    const raised = await Promise.all(rows.map((row) => use().reserve(row.id, 11, 75)))
    assert.equal(raised.filter((result) => result).length, 5)
    assert.equal(await use().reservedBytes(projectId), 70)
  })

  test('a raise and a new session together never reserve more than the quota', async () => {
    const projectId = randomUUID()
    const row = makeRow({ project_id: projectId, reserved_bytes: 10 })
    await use().create(row, NO_LIMITS)
    await Promise.all([
      use().reserve(row.id, 60, 100),
      use().create(makeRow({ project_id: projectId, reserved_bytes: 50 }), {
        quotaLeftBytes: 100,
        maxPerCredential: 1000,
      }),
    ])
    assert.equal(await use().reservedBytes(projectId), 60)
  })

  test('a reservation is raised up to the quota and never lowered', async () => {
    const row = makeRow({ project_id: randomUUID(), reserved_bytes: 10 })
    await use().create(row, NO_LIMITS)
    assert.equal(await use().reserve(row.id, 101, 100), false)
    assert.equal(await use().reserve(row.id, 100, 100), true)
    assert.equal(await use().reserve(row.id, 50, 0), true)
    assert.equal(await use().reservedBytes(row.project_id), 100)
    assert.equal(await use().reserve(row.id, 5000, null), true)
    assert.equal(await use().reservedBytes(row.project_id), 5000)
    await use().remove(row.id)
    assert.equal(await use().reservedBytes(row.project_id), 0)
  })

  test('a quota that is used up refuses every byte, and lets pass what reserves none', async () => {
    const projectId = randomUUID()
    const limits = { quotaLeftBytes: 0, maxPerCredential: 1000 }
    assert.equal(
      await use().create(makeRow({ project_id: projectId, reserved_bytes: 1 }), limits),
      'over_quota',
    )
    assert.equal(await use().create(makeRow({ project_id: projectId, reserved_bytes: 0 }), limits), 'created')
  })

  test('simultaneous sessions of one credential never exceed their number', async () => {
    const credentialId = randomUUID()
    const results = await Promise.all(
      Array.from({ length: 30 }, () =>
        use().create(makeRow({ project_id: randomUUID(), credential_id: credentialId }), {
          quotaLeftBytes: 1000,
          maxPerCredential: 7,
        }),
      ),
    )
    assert.equal(results.filter((result) => result === 'created').length, 7)
    assert.equal(results.filter((result) => result === 'too_many').length, 23)
  })
}

function describeLists(use: () => UploadSessionStore): void {
  test('expired sessions are listed oldest first, without those that are held', async () => {
    // Times of their own, long before those of the other tests.
    const rows = [300, 100, 200, 400].map((expiresAt) => makeRow({ expires_at: -1000 + expiresAt }))
    for (const row of rows) await use().create(row, NO_LIMITS)
    const [third, first, second, live] = rows as [
      UploadSessionRow,
      UploadSessionRow,
      UploadSessionRow,
      UploadSessionRow,
    ]
    await use().claim(second.id, claimOf('a', { nowMs: -900, untilMs: -650 }))
    const listed = async (nowMs: number, limit: number) =>
      (await use().listExpired(nowMs, limit)).map((row) => row.id)
    assert.deepEqual(await listed(-700, 10), [first.id, third.id])
    assert.deepEqual(await listed(-650, 10), [first.id, second.id, third.id])
    assert.deepEqual(await listed(-650, 2), [first.id, second.id])
    assert.ok(!(await listed(-650, 10)).includes(live.id))
  })

  test('sessions are listed by project, by credential and in pages', async () => {
    const projectId = randomUUID()
    const credentialId = randomUUID()
    const rows = Array.from({ length: 5 }, (_, index) =>
      makeRow({
        project_id: index < 3 ? projectId : randomUUID(),
        credential_id: index >= 2 ? credentialId : randomUUID(),
      }),
    )
    for (const row of rows) await use().create(row, NO_LIMITS)
    const ids = (from: number, to: number) => rows.slice(from, to).map((row) => row.id)
    assert.deepEqual(idsOf(await use().list({ projectId }, 10)), ids(0, 3).sort())
    assert.deepEqual(idsOf(await use().list({ credentialId }, 10)), ids(2, 5).sort())
    assert.deepEqual(idsOf(await use().list({ projectId, credentialId }, 10)), ids(2, 3))
    const [first, ...rest] = ids(0, 3).sort() as [string, ...string[]]
    assert.deepEqual(idsOf(await use().list({ projectId }, 1)), [first])
    assert.deepEqual(idsOf(await use().list({ projectId, afterId: first }, 10)), rest)
    const all = idsOf(await use().list({}, 10_000))
    assert.equal(all.length, await use().count())
    assert.deepEqual(all, all.toSorted())
  })
}

function makeRow(changes: Partial<UploadSessionRow> = {}): UploadSessionRow {
  return {
    id: randomUUID(),
    project_id: 'project',
    repository_path: 'app/web',
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
    ...changes,
  }
}

function claimOf(owner: string, times = { nowMs: 1000, untilMs: 2000 }) {
  return { owner, ...times, expectedOffsetBytes: null }
}

function progressTo(offsetBytes: number) {
  return {
    offsetBytes,
    digestSoFar: `sha256:${offsetBytes}`,
    pending: Buffer.from('rest'),
    storageState: '{"parts":1}',
    expiresAt: 70_000,
  }
}

function idsOf(rows: readonly UploadSessionRow[]): string[] {
  return rows.map((row) => row.id)
}

/** Bytes are compared as bytes: one driver answers Buffers, the other plain Uint8Arrays. */
function assertSameRow(actual: UploadSessionRow | null, expected: UploadSessionRow): void {
  const plain = (row: UploadSessionRow | null) =>
    row === null
      ? null
      : { ...row, pending: row.pending === null ? null : Buffer.from(row.pending).toString('hex') }
  assert.deepEqual(plain(actual), plain(expected))
}

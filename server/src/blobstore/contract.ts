import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import type { BlobStore, ByteRange, ByteSink, StorageKey } from './blobstore.ts'
import { BlobStoreError } from './blobstore.ts'
import { assertSame, discard, eventually, slowCheckingSink, stallingSink } from './contract-sinks.ts'
import {
  appendAll,
  appendTo,
  commit,
  contentOf,
  opened,
  pumpInto,
  read,
  readAll,
  readUpload,
  upload,
} from './contract-transfers.ts'

const KIB = 1024
const MIB = 1024 * KIB
const HOUR_MS = 3_600_000

/** One driver over storage of its own, which starts out empty. */
export interface BlobStoreFixture {
  readonly store: BlobStore
  /** Another store over the same storage, as another replica or a restarted process opens it. */
  openReplica(): Promise<BlobStore>
  /** Moves the clock of all its stores forward. */
  advanceClock(ms: number): void
  /** Files or connections in use now for this storage. */
  openHandles(): number
  /** Bytes of shared buffers on loan now. */
  buffersInUse(): number
  close(): Promise<void>
}

/**
 * Everything that `BlobStore` promises, for each driver. `sizesBytes` adds sizes around the driver's own limits.
 * Each test must leave the storage empty of uploads, and no file, connection or buffer in use.
 */
export function describeBlobStore(
  name: string,
  make: () => Promise<BlobStoreFixture>,
  options: { sizesBytes?: readonly number[]; skip?: string | false } = {},
): void {
  describe(`blob store contract: ${name}`, { skip: options.skip ?? false }, () => {
    let fixture: BlobStoreFixture
    let handlesBefore = 0
    const context: Context = { fixture: () => fixture, store: () => fixture.store }

    before(async () => {
      fixture = await make()
      await fixture.store.ping()
    })
    after(() => fixture?.close())
    beforeEach(() => {
      handlesBefore = fixture.openHandles()
    })
    afterEach(async () => {
      for await (const blob of fixture.store.list()) {
        await fixture.store.delete(blob.key)
      }
      assert.deepEqual(await collect(fixture.store.list()), [], 'blobs are left')
      assert.deepEqual(await collect(fixture.store.listUploads(0)), [], 'uploads are left')
      await eventually(() => fixture.openHandles() <= handlesBefore, 'files or connections are left open')
      assert.equal(fixture.buffersInUse(), 0, 'buffers are left on loan')
    })

    describeRoundTrips(context, options.sizesBytes ?? [])
    describeResuming(context)
    describeEndings(context)
    describePumps(context)
    describeInventory(context)
  })
}

interface Context {
  fixture(): BlobStoreFixture
  store(): BlobStore
}

function describeRoundTrips({ store, fixture }: Context, sizesBytes: readonly number[]): void {
  const sizes = [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 7]
  for (const sizeBytes of new Set([...sizes, ...sizesBytes])) {
    it(`keeps ${sizeBytes} bytes exactly, whole and in ranges`, async () => {
      const content = contentOf(sizeBytes, `round trip ${sizeBytes}`)
      const key = await upload(store(), content)
      const stat = await store().stat(key)
      assert.equal(stat?.sizeBytes, sizeBytes)
      assert.equal(stat?.key, key)
      assert.ok(Math.abs((stat?.modifiedAt ?? 0) - Date.now()) < HOUR_MS)
      assertSame(await readAll(store(), key), content)
      for (const range of rangesOf(sizeBytes)) {
        assertSame(await read(store(), key, range), content.subarray(range.start, range.end + 1))
        assertSame(await read(store(), key, range, range), content.subarray(range.start, range.end + 1))
      }
    })
  }

  it('keeps many uploads at once apart', async () => {
    const contents = Array.from({ length: 48 }, (_, index) =>
      contentOf(300 * KIB + index, `at once ${index}`),
    )
    const keys = await Promise.all(contents.map((content) => upload(store(), content)))
    assert.equal(new Set(keys).size, contents.length)
    await Promise.all(
      keys.map(async (key, index) =>
        assertSame(await readAll(store(), key), contents[index] ?? Buffer.alloc(0)),
      ),
    )
  })

  it('gives the same content a key of its own each time', async () => {
    const content = contentOf(70_000, 'twice')
    const first = await upload(store(), content)
    const second = await upload(store(), content)
    assert.notEqual(first, second)
    await store().delete(first)
    assertSame(await readAll(store(), second), content)
  })

  it('accepts chunks of one byte and of several MiB', async () => {
    const content = contentOf(7 * MIB + 600, 'chunk sizes')
    const key = await upload(store(), content, [...Array.from({ length: 600 }, () => 1), 7 * MIB])
    assertSame(await readAll(store(), key), content)
  })

  it('shows a replica what another one committed', async () => {
    const replica = await fixture().openReplica()
    const content = contentOf(100_000, 'replica')
    const key = await upload(store(), content)
    assertSame(await readAll(replica, key), content)
    await replica.delete(key)
    assert.equal(await store().open(key), null)
    await replica.close()
  })
}

function describeResuming({ store, fixture }: Context): void {
  it('goes on from a stored state, on another replica each time', async () => {
    const replica = await fixture().openReplica()
    const parts = [10, 700_000, 6 * MIB, 3, 5 * MIB - 1, 1, 40_000].map((size, index) =>
      contentOf(size, `part ${index}`),
    )
    let state = await store().createUpload(randomUUID())
    let offsetBytes = 0
    for (const [index, part] of parts.entries()) {
      state = await appendAll(index % 2 === 0 ? store() : replica, state, offsetBytes, part)
      offsetBytes += part.byteLength
      assertSame(await readUpload(store(), state, offsetBytes), Buffer.concat(parts.slice(0, index + 1)))
    }
    const whole = Buffer.concat(parts)
    const key = await commit(replica, state, whole)
    // The store that did not commit may still hold the upload open: that must not endanger what is committed now.
    await store().cancelUpload(state)
    assertSame(await readAll(store(), key), whole)
    await replica.close()
  })

  it('cannot change bytes that another replica committed', async () => {
    const replica = await fixture().openReplica()
    const content = contentOf(2 * MIB, 'committed elsewhere')
    const state = await appendAll(store(), await store().createUpload(randomUUID()), 0, content)
    const key = await commit(replica, state, content)
    const writer = await store()
      .openWriter(state, 0)
      .catch(() => null)
    if (writer) {
      await appendTo(writer, contentOf(MIB, 'too late'))
      await writer.close().catch(() => {})
    }
    assertSame(await readAll(store(), key), content)
    await store().cancelUpload(state)
    assertSame(await readAll(replica, key), content)
    await replica.close()
  })

  for (const [title, lostBytes] of [
    ['a few bytes', 999],
    ['more than a part', 11 * MIB],
  ] as const) {
    it(`drops ${title} beyond the offset when a chunk is sent again`, async () => {
      const first = contentOf(2_000_001, 'kept')
      const second = contentOf(1_500_000, 'sent again')
      const uploadId = randomUUID()
      const state = await appendAll(store(), await store().createUpload(uploadId), 0, first)
      await appendAll(store(), state, first.byteLength, contentOf(lostBytes, 'lost')) // Its state is never stored.
      const resumed = await appendAll(store(), state, first.byteLength, second)
      const whole = Buffer.concat([first, second])
      const key = await commit(store(), resumed, whole)
      assertSame(await readAll(store(), key), whole)
      await sweep(store(), uploadId)
      assertSame(await readAll(store(), key), whole)
    })

    it(`drops ${title} beyond the size when committed`, async () => {
      const content = contentOf(3_000_000, 'committed')
      const uploadId = randomUUID()
      const state = await appendAll(store(), await store().createUpload(uploadId), 0, content)
      await appendAll(store(), state, content.byteLength, contentOf(lostBytes, 'lost'))
      const key = await commit(store(), state, content)
      assertSame(await readAll(store(), key), content)
      await sweep(store(), uploadId)
      assertSame(await readAll(store(), key), content)
    })

    it(`goes on from the state before an aborted writer that took ${title}`, async () => {
      const content = contentOf(1_234_567, 'before the abort')
      const state = await appendAll(store(), await store().createUpload(randomUUID()), 0, content)
      const writer = await store().openWriter(state, content.byteLength)
      await appendTo(writer, contentOf(lostBytes, 'aborted'))
      await writer.abort()
      await writer.abort()
      await assert.rejects(async () => writer.append(Buffer.from('x')), isStoreError('upload_lost'))
      const more = contentOf(10, 'after the abort')
      const resumed = await appendAll(store(), state, content.byteLength, more)
      const whole = Buffer.concat([content, more])
      assertSame(await readAll(store(), await commit(store(), resumed, whole)), whole)
    })
  }

  it('reports an upload that has fewer bytes than were accepted', async () => {
    const state = await store().createUpload(randomUUID())
    await assert.rejects(store().openWriter(state, 1), isStoreError('upload_lost'))
    const started = await appendAll(store(), state, 0, contentOf(100, 'short'))
    await assert.rejects(store().openWriter(started, 101), isStoreError('upload_lost'))
    await assert.rejects(store().openUpload(started, 101), isStoreError('upload_lost'))
    await assert.rejects(commit(store(), started, contentOf(101, 'short')), isStoreError('upload_lost'))
    await store().cancelUpload(started)
  })

  it('shuts out a writer when the upload is opened again', async () => {
    const state = await store().createUpload(randomUUID())
    const stale = await store().openWriter(state, 0)
    await appendTo(stale, contentOf(3 * MIB, 'stale'))
    const content = contentOf(2 * MIB, 'taken over')
    const resumed = await appendAll(store(), state, 0, content)
    await assert.rejects(
      async () => appendTo(stale, contentOf(3 * MIB, 'stale')),
      isStoreError('upload_lost'),
    )
    await assert.rejects(stale.close(), isStoreError('upload_lost'))
    const key = await commit(store(), resumed, content)
    await stale.abort()
    assertSame(await readAll(store(), key), content)
    await store().cancelUpload(state)
  })
}

function describeEndings({ store, fixture }: Context): void {
  it('leaves committed bytes alone when the upload is cancelled afterwards', async () => {
    for (const sizeBytes of [100_000, 6 * MIB]) {
      const content = contentOf(sizeBytes, 'committed, then cancelled')
      const fresh = await store().createUpload(randomUUID())
      const state = await appendAll(store(), fresh, 0, content)
      const key = await commit(store(), state, content)
      await store().cancelUpload(state)
      await store().cancelUpload(fresh)
      assertSame(await readAll(store(), key), content)
    }
  })

  it('forgets a cancelled upload, at any point and more than once', async () => {
    const untouched = await store().createUpload(randomUUID())
    await store().cancelUpload(untouched)
    for (const sizeBytes of [10, 100_000, 11 * MIB]) {
      const content = contentOf(sizeBytes, 'cancelled')
      const state = await appendAll(store(), await store().createUpload(randomUUID()), 0, content)
      await store().cancelUpload(state)
      await store().cancelUpload(state)
      assert.equal(await store().openUpload(state, sizeBytes), null)
      await assert.rejects(store().openWriter(state, sizeBytes), isStoreError('upload_lost'))
      await assert.rejects(commit(store(), state, content), isStoreError('upload_lost'))
    }
  })

  it('cancels under a writer that is still open', async () => {
    const state = await store().createUpload(randomUUID())
    const writer = await store().openWriter(state, 0)
    await appendTo(writer, contentOf(6 * MIB, 'open writer'))
    await store().cancelUpload(state)
    await assert.rejects(writer.close(), isStoreError('upload_lost'))
  })

  it('commits once, so that no two commits share a key', async () => {
    for (const sizeBytes of [100_000, 5 * MIB, 6 * MIB]) {
      const content = contentOf(sizeBytes, 'once')
      const state = await appendAll(store(), await store().createUpload(randomUUID()), 0, content)
      const commits = [commit(store(), state, content), commit(store(), state, content)] as const
      const [won, lost] = await Promise.allSettled(commits)
      assert.ok(
        won.status === 'fulfilled' && lost.status === 'rejected' && isStoreError('upload_lost')(lost.reason),
      )
      await assert.rejects(commit(store(), state, content), isStoreError('upload_lost'))
      const replica = await fixture().openReplica()
      await assert.rejects(commit(replica, state, content), isStoreError('upload_lost'))
      await replica.close()
      assertSame(await readAll(store(), won.value), content)
    }
  })
}

function describePumps({ store, fixture }: Context): void {
  it('stops at once when the signal is aborted while the sink is stalled', async () => {
    const key = await upload(store(), contentOf(6 * MIB, 'aborted pump'))
    const handles = fixture().openHandles()
    const source = await opened(store(), key)
    const abort = new AbortController()
    const stalled = stallingSink(2)
    const pump = source.pump(stalled.sink, { start: 0, end: 6 * MIB - 1 }, abort.signal)
    await stalled.reached
    abort.abort(new Error('the client went away'))
    await assert.rejects(pump, /the client went away/)
    await source.close()
    await eventually(() => fixture().buffersInUse() === 0, 'buffers are kept after an abort')
    await eventually(() => fixture().openHandles() <= handles, 'the blob stays open after an abort')
    await assert.rejects(source.pump(discard, { start: 0, end: 0 }, new AbortController().signal))
  })

  it('rejects when the signal is aborted already', async () => {
    const key = await upload(store(), contentOf(10, 'aborted before'))
    const source = await opened(store(), key)
    const signal = AbortSignal.abort(new Error('too late'))
    await assert.rejects(source.pump(discard, { start: 0, end: 9 }, signal), /too late/)
    await source.close()
  })

  it('stops when the source is closed while the sink is stalled', async () => {
    const key = await upload(store(), contentOf(6 * MIB, 'closed pump'))
    const source = await opened(store(), key)
    const stalled = stallingSink(2)
    const pump = source.pump(stalled.sink, { start: 0, end: 6 * MIB - 1 }, new AbortController().signal)
    const stopped = assert.rejects(pump, isStoreError('io'))
    await stalled.reached
    await source.close()
    await stopped
    assert.equal(fixture().buffersInUse(), 0)
  })

  it('passes on the failure of a sink, thrown or rejected', async () => {
    const key = await upload(store(), contentOf(4 * MIB, 'failing sink'))
    const throwing: ByteSink = {
      write() {
        throw new Error('broken pipe')
      },
    }
    for (const sink of [throwing, { write: () => Promise.reject(new Error('broken pipe')) }]) {
      const source = await opened(store(), key)
      const pump = source.pump(sink, { start: 0, end: 4 * MIB - 1 }, new AbortController().signal)
      await assert.rejects(pump, /broken pipe/)
      await source.close()
    }
  })

  it('writes nothing of a range that the bytes do not reach', async () => {
    const key = await upload(store(), contentOf(1000, 'out of range'))
    const source = await opened(store(), key)
    let written = 0
    const sink: ByteSink = {
      async write(chunk) {
        written += chunk.byteLength
      },
    }
    const pump = source.pump(sink, { start: 0, end: 1000 }, new AbortController().signal)
    await assert.rejects(pump, isStoreError('corrupt'))
    assert.equal(written, 0)
    await source.close()
  })

  it('never touches a chunk before its sink has resolved, over 20 pumps at once', async () => {
    const contents = Array.from({ length: 20 }, (_, index) => contentOf(3 * MIB + index, `parallel ${index}`))
    const keys = await Promise.all(contents.map((content) => upload(store(), content)))
    await Promise.all(
      keys.map(async (key, index) => {
        const content = contents[index] ?? Buffer.alloc(0)
        const sink = slowCheckingSink(content, 1 + (index % 7))
        await pumpInto(store(), key, sink, { start: 0, end: content.byteLength - 1 })
        assert.equal(sink.positionBytes, content.byteLength)
      }),
    )
  })

  it('keeps chunks apart when pumps are aborted among others that go on', async () => {
    const contents = Array.from({ length: 12 }, (_, index) => contentOf(4 * MIB + index, `mixed ${index}`))
    const keys = await Promise.all(contents.map((content) => upload(store(), content)))
    await Promise.all(
      keys.map(async (key, index) => {
        const content = contents[index] ?? Buffer.alloc(0)
        const range = { start: 0, end: content.byteLength - 1 }
        if (index % 3 !== 0) {
          await pumpInto(store(), key, slowCheckingSink(content, 3), range)
          return
        }
        const source = await opened(store(), key)
        const abort = new AbortController()
        const sink = slowCheckingSink(content, 40)
        const pump = source.pump(sink, range, abort.signal)
        await eventually(() => sink.writesBegun > 0, 'the pump does not begin')
        abort.abort(new Error('gone'))
        await assert.rejects(pump, /gone/)
        await source.close()
        // The sink still holds its chunk and compares it once more when it resolves.
        await sink.idle()
      }),
    )
  })
}

function describeInventory({ store, fixture }: Context): void {
  it('answers null for what is not there, and deletes it without complaint', async () => {
    const key = await upload(store(), contentOf(20_000, 'gone'))
    await store().delete(key)
    for (const missing of [key, 'no/such/key' as StorageKey, '../../etc/passwd' as StorageKey]) {
      assert.equal(await store().open(missing), null)
      assert.equal(await store().stat(missing), null)
      await store().delete(missing)
      await store().quarantine(missing)
    }
  })

  it('lists what is committed, and only that', async () => {
    const sizes = [17_000, 50_000, 1 * MIB]
    const keys = await Promise.all(sizes.map((size) => upload(store(), contentOf(size, 'listed'))))
    const unfinished = await store().createUpload(randomUUID())
    const state = await appendAll(store(), unfinished, 0, contentOf(6 * MIB + 5, 'unfinished'))
    const listed = await collect(store().list())
    assert.deepEqual(
      listed.map(({ key, sizeBytes }) => `${key} ${sizeBytes}`).sort(),
      keys.map((key, index) => `${key} ${sizes[index]}`).sort(),
    )
    assert.ok(listed.every(({ modifiedAt }) => Math.abs(modifiedAt - Date.now()) < HOUR_MS))
    for await (const _ of store().list()) {
      break // Leaving early must not leave a directory open.
    }
    await store().cancelUpload(state)
  })

  it('moves bytes out of reach into the quarantine', async () => {
    const key = await upload(store(), contentOf(90_000, 'suspect'))
    const other = await upload(store(), contentOf(90_001, 'innocent'))
    await store().quarantine(key)
    await store().quarantine(key)
    assert.equal(await store().open(key), null)
    assert.equal(await store().stat(key), null)
    assert.deepEqual(
      (await collect(store().list())).map((blob) => blob.key),
      [other],
    )
  })

  it('lists unfinished uploads by age, with a state that cancels them', async () => {
    const small = randomUUID()
    const large = randomUUID()
    await appendAll(store(), await store().createUpload(small), 0, contentOf(50_000, 'old'))
    await appendAll(store(), await store().createUpload(large), 0, contentOf(6 * MIB, 'old and large'))
    assert.deepEqual(await collect(store().listUploads(2 * HOUR_MS)), [])
    fixture().advanceClock(3 * HOUR_MS)
    const listed = await collect(store().listUploads(2 * HOUR_MS))
    assert.deepEqual([...new Set(listed.map((upload) => upload.uploadId))].sort(), [small, large].sort())
    for (const { state } of listed) {
      await store().cancelUpload(state)
    }
    assert.deepEqual(await collect(store().listUploads(0)), [])
  })

  it('tells free space or that it is unknown, and answers pings', async () => {
    const freeBytes = await store().freeBytes()
    assert.ok(freeBytes === null || (Number.isSafeInteger(freeBytes) && freeBytes > 0))
    await Promise.all([store().ping(), store().ping()])
  })

  it('has a file path, a URL, or neither, below its root', async () => {
    const key = await upload(store(), contentOf(30_000, 'delivered'))
    const path = store().filePath(key)
    assert.ok(path === null || (!path.startsWith('/') && !path.includes('..')))
    assert.equal(store().filePath('../../etc/passwd' as StorageKey), null)
    const url = await store().presign(key, { expiresSeconds: 60, fileName: 'blob' })
    assert.equal(url === null, store().driver !== 's3')
  })
}

function rangesOf(sizeBytes: number): ByteRange[] {
  if (sizeBytes === 0) {
    return []
  }
  const last = sizeBytes - 1
  const middle = Math.floor(sizeBytes / 2)
  return [
    { start: 0, end: 0 },
    { start: last, end: last },
    { start: middle, end: Math.min(last, middle + 99_999) },
    { start: Math.min(1, last), end: last },
  ]
}

function isStoreError(reason: BlobStoreError['reason']): (error: unknown) => boolean {
  return (error) => error instanceof BlobStoreError && error.reason === reason
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = []
  for await (const item of items) {
    collected.push(item)
  }
  return collected
}

/** What the sweeper does with one upload. */
async function sweep(store: BlobStore, uploadId: string): Promise<void> {
  for (const listed of await collect(store.listUploads(0))) {
    assert.equal(listed.uploadId, uploadId)
    await store.cancelUpload(listed.state)
  }
}

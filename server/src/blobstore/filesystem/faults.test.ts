import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { BlobStore, StorageKey } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { appendAll, commit, contentOf, readAll, upload } from '../contract-transfers.ts'
import { BufferPool } from './buffer-pool.ts'
import type { Fault } from './faulty-file-system.ts'
import { FaultyFileSystem } from './faulty-file-system.ts'
import { createFilesystemBlobStore } from './filesystem-blobstore.ts'

const MIB = 1024 * 1024
const FAULTS: readonly Fault[] = ['EIO', 'ENOSPC', 'short write']
const first = contentOf(2 * MIB + 11, 'first chunk')
const second = contentOf(MIB + 5, 'second chunk')
const whole = Buffer.concat([first, second])

interface Bench {
  readonly root: string
  readonly faulty: FaultyFileSystem
  readonly store: BlobStore
  readonly buffers: BufferPool
}

describe('filesystem faults', () => {
  for (const fault of FAULTS) {
    it(`never acknowledges a commit that is not durable when any operation fails with ${fault}`, async () => {
      const operations = await countOperations(uploadInTwoChunks)
      assert.ok(operations > 12, `${operations} operations`)
      for (let skip = 0; skip < operations; skip++) {
        await withBench(async (bench) => {
          bench.faulty.failAfter(skip, fault)
          const key = await uploadInTwoChunks(bench.store).catch(assertStoreError(fault))
          const failed = `operation ${skip}: ${bench.faulty.operations[skip]}`
          assert.ok(bench.faulty.failed, failed)
          if (key !== null) {
            assert.ok(bench.faulty.ledger.survivesPowerLoss(join(bench.root, key)), `not durable: ${failed}`)
            assert.ok((await readAll(bench.store, key)).equals(whole), failed)
          }
          await assertWorksOn(bench, key)
        })
      }
    })

    it(`reads exactly or not at all when any operation fails with ${fault}`, async () => {
      const read = async (store: BlobStore, key: StorageKey) => readAll(store, key)
      await withBench(async (bench) => {
        const key = await upload(bench.store, whole)
        const before = bench.faulty.operations.length
        await read(bench.store, key)
        const operations = bench.faulty.operations.length - before
        for (let skip = 0; skip < operations; skip++) {
          bench.faulty.failAfter(skip, fault)
          const bytes = await read(bench.store, key).catch(assertStoreError(fault))
          assert.ok(bench.faulty.failed)
          assert.ok(bytes === null || bytes.equals(whole))
          assert.equal(bench.buffers.usedBytes, 0)
        }
        await assertWorksOn(bench, key)
      })
    })
  }

  it('counts a commit as durable only after both fsyncs', async () => {
    await withBench(async ({ store, faulty, root }) => {
      const key = await upload(store, whole)
      const shape = faulty.operations.filter((operation) => /^(fsync|rename|write)/.test(operation))
      const directory = key.slice(0, key.lastIndexOf('/'))
      assert.match(shape.at(-3) ?? '', /^fsync blobs/)
      assert.match(shape.at(-2) ?? '', /^rename uploads/)
      assert.equal(shape.at(-1), `fsync ${directory}`)
      assert.ok(faulty.ledger.survivesPowerLoss(join(root, key)))
    })
  })

  it('tells a full disk from a broken one', async () => {
    for (const [fault, reason] of [
      ['ENOSPC', 'full'],
      ['EIO', 'io'],
    ] as const) {
      await withBench(async ({ store, faulty }) => {
        const state = await store.createUpload(randomUUID())
        const writer = await store.openWriter(state, 0)
        faulty.failAfter(0, fault)
        await assert.rejects(
          async () => {
            await writer.append(first)
            await writer.close()
          },
          (error) => error instanceof BlobStoreError && error.reason === reason,
        )
        await writer.abort()
        await store.cancelUpload(state)
      })
    }
  })

  it('reports a file that was cut short after it was opened', async () => {
    await withBench(async ({ store, root }) => {
      const key = await upload(store, whole)
      const source = await store.open(key)
      assert.ok(source)
      const { truncate } = await import('node:fs/promises')
      await truncate(join(root, key), MIB + 1)
      const sink = { async write() {} }
      const pump = source.pump(sink, { start: 0, end: whole.byteLength - 1 }, new AbortController().signal)
      await assert.rejects(pump, (error) => error instanceof BlobStoreError && error.reason === 'corrupt')
      await source.close()
    })
  })

  it('shares directory fsyncs between commits that wait, without losing one', async () => {
    await withBench(async ({ store, faulty, root }) => {
      const content = contentOf(20_000, 'same directory')
      const keys = await Promise.all(Array.from({ length: 40 }, () => upload(store, content)))
      for (const key of keys) {
        assert.ok(faulty.ledger.survivesPowerLoss(join(root, key)))
      }
      const directory = keys[0]?.slice(0, keys[0].lastIndexOf('/'))
      const syncs = faulty.operations.filter((operation) => operation === `fsync ${directory}`).length
      assert.ok(syncs < keys.length, `${syncs} fsyncs of one directory`)
    })
  })
})

async function uploadInTwoChunks(store: BlobStore): Promise<StorageKey> {
  const state = await store.createUpload(randomUUID())
  try {
    const resumed = await appendAll(store, state, 0, first)
    return await commit(store, await appendAll(store, resumed, first.byteLength, second), whole)
  } catch (error) {
    await store.cancelUpload(state).catch(() => {})
    throw error
  }
}

async function countOperations(act: (store: BlobStore) => Promise<unknown>): Promise<number> {
  let operations = 0
  await withBench(async ({ store, faulty }) => {
    const before = faulty.operations.length
    await act(store)
    operations = faulty.operations.length - before
  })
  return operations
}

/** The fault is over: the next upload works, and nothing of the failed one is left but what the sweeper finds. */
async function assertWorksOn({ store, root, buffers, faulty }: Bench, key: StorageKey | null): Promise<void> {
  const next = await upload(store, whole)
  assert.ok(faulty.ledger.survivesPowerLoss(join(root, next)))
  assert.ok((await readAll(store, next)).equals(whole))
  await store.delete(next)
  if (key !== null) {
    await store.delete(key)
  }
  for await (const { state } of store.listUploads(0)) {
    await store.cancelUpload(state)
  }
  const left: string[] = []
  for await (const blob of store.list()) {
    left.push(blob.key)
  }
  // Only when the very unlink after a failed fsync fails too may a file stay: that needs two faults.
  assert.deepEqual(left, [])
  assert.equal(openFilesBelow(root), 0)
  assert.equal(buffers.usedBytes, 0)
}

async function withBench(act: (bench: Bench) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'berth-faults-'))
  try {
    const faulty = new FaultyFileSystem(root)
    const buffers = new BufferPool()
    const store = await createFilesystemBlobStore({ root, buffers, fileSystem: faulty.fileSystem })
    faulty.operations.length = 0 // The sweep is about uploads, not about the start.
    await act({ root, faulty, store, buffers })
    await store.close()
  } finally {
    await rm(root, { recursive: true })
  }
}

function assertStoreError(fault: Fault): (error: unknown) => null {
  return (error) => {
    assert.ok(error instanceof BlobStoreError, String(error))
    assert.equal(error.reason, fault === 'ENOSPC' ? 'full' : 'io')
    return null
  }
}

function openFilesBelow(root: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(root)
    } catch {
      return false
    }
  }).length
}

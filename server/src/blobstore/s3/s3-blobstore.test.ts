// @needs versitygw
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { S3Server } from '../../../../test/support/servers/s3.ts'
import { startS3 } from '../../../../test/support/servers/s3.ts'
import type { BlobStore } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { ByteBudget } from '../byte-budget.ts'
import { describeBlobStore } from '../contract.ts'
import { appendAll, commit, contentOf, readAll, upload } from '../contract-transfers.ts'
import { blobStoreLimits } from '../limits.ts'
import { createS3BlobStore } from './s3-blobstore.ts'

const MIB = 1024 * 1024
const PART_BYTES = blobStoreLimits.s3PartMinBytes

describeBlobStore(
  's3',
  async () => {
    const server = await startS3()
    const bucket = await server.createBucket()
    const writeBudget = new ByteBudget(blobStoreLimits.s3WriteBudgetBytes)
    let offsetMs = 0
    const open = () =>
      createS3BlobStore({
        ...serverOptions(server, bucket),
        writeBudget,
        nowMs: () => Date.now() + offsetMs,
      })
    const store = await open()
    return {
      store,
      openReplica: open,
      advanceClock(ms) {
        offsetMs += ms
      },
      openHandles: busyConnections,
      buffersInUse: () => writeBudget.usedBytes,
      async close() {
        await store.close()
        await server.stop()
      },
    }
  },
  { sizesBytes: [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 4 * PART_BYTES, 6 * PART_BYTES + 77] },
)

describe('s3', () => {
  let server: S3Server
  let store: BlobStore
  before(async () => {
    server = await startS3()
    const bucket = await server.createBucket()
    store = await createS3BlobStore({ ...serverOptions(server, bucket), copyMaxBytes: PART_BYTES })
  })
  after(async () => {
    await store.close()
    await server.stop()
  })

  it('goes on with an upload after the object store itself crashed', async () => {
    const content = contentOf(14 * MIB, 'crash')
    const state = await appendAll(
      store,
      await store.createUpload(randomUUID()),
      0,
      content.subarray(0, 9 * MIB),
    )
    await server.kill9()
    await server.start()
    const resumed = await appendAll(store, state, 9 * MIB, content.subarray(9 * MIB))
    assert.ok((await readAll(store, await commit(store, resumed, content))).equals(content))
  })

  it('leaves nothing behind of an upload in many chunks', async () => {
    const chunks = [300_000, 6 * MIB, 5 * MIB, 10, 5 * MIB].map((size, index) =>
      contentOf(size, `chunk ${index}`),
    )
    let state = await store.createUpload(randomUUID())
    let offsetBytes = 0
    for (const chunk of chunks) {
      state = await appendAll(store, state, offsetBytes, chunk)
      offsetBytes += chunk.byteLength
    }
    const content = Buffer.concat(chunks)
    assert.ok((await readAll(store, await commit(store, state, content))).equals(content))
    assert.deepEqual(await unfinished(store), [])
  })

  it('goes on with an upload that was read in between, and leaves nothing of it', async () => {
    const content = contentOf(23 * MIB, 'sealed')
    const first = content.subarray(0, 12 * MIB)
    const uploadId = randomUUID()
    const state = await appendAll(store, await store.createUpload(uploadId), 0, first)
    for (let round = 0; round < 2; round++) {
      const source = await store.openUpload(state, first.byteLength)
      assert.equal(source?.sizeBytes, first.byteLength)
      await source?.close()
    }
    const resumed = await appendAll(store, state, first.byteLength, content.subarray(first.byteLength))
    assert.ok((await readAll(store, await commit(store, resumed, content))).equals(content))
    assert.deepEqual(await unfinished(store), [])
  })

  it('commits an upload that was read just before', async () => {
    for (const sizeBytes of [2 * PART_BYTES, 2 * PART_BYTES + 9]) {
      const content = contentOf(sizeBytes, 'read, then committed')
      const state = await appendAll(store, await store.createUpload(randomUUID()), 0, content)
      await (await store.openUpload(state, sizeBytes))?.close()
      assert.ok((await readAll(store, await commit(store, state, content))).equals(content))
      assert.deepEqual(await unfinished(store), [])
    }
  })

  it('keeps committed bytes when a lost session reads and goes on with the upload', async () => {
    const content = contentOf(2 * PART_BYTES, 'resurrected')
    const state = await appendAll(store, await store.createUpload(randomUUID()), 0, content)
    const key = await commit(store, state, content)
    await (await store.openUpload(state, content.byteLength))?.close()
    const writer = await store.openWriter(state, content.byteLength)
    await writer.append(contentOf(PART_BYTES, 'more'))
    await store.cancelUpload(await writer.close())
    assert.ok((await readAll(store, key)).equals(content))
  })

  it('moves objects that are too large for one copy into the quarantine', async () => {
    const content = contentOf(12 * MIB, 'large and suspect')
    const key = await upload(store, content)
    await store.quarantine(key)
    assert.equal(await store.open(key), null)
  })

  it('signs URLs that deliver an attachment of inert bytes', async () => {
    const content = contentOf(40_000, 'signed')
    const key = await upload(store, content)
    const url = await store.presign(key, { expiresSeconds: 3_600, fileName: 'a"b\n.tar' })
    assert.equal(url?.searchParams.get('X-Amz-Expires'), '60')
    const answer = await fetch(url ?? '')
    assert.equal(answer.headers.get('content-type'), 'application/octet-stream')
    assert.equal(answer.headers.get('content-disposition'), 'attachment; filename="a_b_.tar"')
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(content))
  })

  it('is unavailable, not empty, when the object store is down', async () => {
    const key = await upload(store, contentOf(40_000, 'down'))
    await server.kill9()
    for (const call of [() => store.open(key), () => store.stat(key), () => store.ping()]) {
      await assert.rejects(call, (error) => error instanceof BlobStoreError && error.reason === 'unavailable')
    }
    await server.start()
    await store.ping()
  })

  it('is unavailable, not empty, when the bucket does not exist or the key is wrong', async () => {
    const key = await upload(store, contentOf(40_000, 'elsewhere'))
    const wrong = [
      { ...serverOptions(server, 'no-such-bucket') },
      { ...serverOptions(server, 'no-such-bucket'), secretAccessKey: 'wrong' },
    ]
    for (const options of wrong) {
      const other = await createS3BlobStore(options)
      for (const call of [() => other.ping(), () => other.open(key)]) {
        await assert.rejects(
          call,
          (error) => error instanceof BlobStoreError && error.reason === 'unavailable',
        )
      }
      await other.close()
    }
  })
})

function serverOptions(server: S3Server, bucket: string) {
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  return {
    endpoint,
    region,
    accessKeyId,
    secretAccessKey,
    bucket,
    forcePathStyle: true,
    prefix: 'regions/test/',
    partBytes: PART_BYTES,
  }
}

async function unfinished(store: BlobStore): Promise<string[]> {
  const ids: string[] = []
  for await (const { uploadId } of store.listUploads(0)) {
    ids.push(uploadId)
  }
  return ids
}

/** Connections in use. Those that the client keeps for later do not keep the process alive, so they do not count. */
function busyConnections(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
}

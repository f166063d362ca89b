// @tier full
// @needs versitygw
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { S3Server } from '../../../../test/support/servers/s3.ts'
import { startS3 } from '../../../../test/support/servers/s3.ts'
import type { BlobStore, StorageKey, UploadState } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { ByteBudget } from '../byte-budget.ts'
import { appendAll, commit, contentOf, readAll, upload } from '../contract-transfers.ts'
import { blobStoreLimits } from '../limits.ts'
import { FaultyProxy } from './faulty-proxy.ts'
import { createS3BlobStore } from './s3-blobstore.ts'

const MIB = 1024 * 1024
const first = contentOf(5 * MIB + 9, 'first chunk')
const second = contentOf(1_000, 'second chunk')
const whole = Buffer.concat([first, second])
const small = contentOf(100_000, 'small')

describe('s3 faults', () => {
  let server: S3Server
  let proxy: FaultyProxy
  let impatient: BlobStore
  let patient: BlobStore
  const writeBudget = new ByteBudget(blobStoreLimits.s3WriteBudgetBytes)

  before(async () => {
    server = await startS3()
    proxy = new FaultyProxy(server.endpoint)
    const { region, accessKeyId, secretAccessKey } = server
    const options = {
      endpoint: await proxy.start(),
      region,
      accessKeyId,
      secretAccessKey,
      bucket: await server.createBucket(),
      forcePathStyle: true,
      prefix: '',
      partBytes: blobStoreLimits.s3PartMinBytes,
      writeBudget,
    }
    impatient = await createS3BlobStore({ ...options, attemptsMax: 1 })
    patient = await createS3BlobStore(options)
  })
  after(async () => {
    await impatient.close()
    await patient.close()
    await proxy.stop()
    await server.stop()
  })

  for (const fault of ['busy', 'answer lost'] as const) {
    for (const [title, parts] of [
      ['in parts', [first, second]],
      ['of one part', [small]],
    ] as const) {
      it(`never acknowledges wrong or missing bytes of an upload ${title}: ${fault}`, async () => {
        const requests = await countRequests(proxy, () => uploadParts(patient, parts))
        assert.ok(requests >= 3)
        for (let skip = 0; skip < requests; skip++) {
          proxy.failAfter(skip, fault)
          await checkUpload(impatient, parts, `request ${skip}`)
          assert.equal(writeBudget.usedBytes, 0)
        }
      })
    }
  }

  for (const [title, fault, parts] of [
    ['in parts', 'answer lost', [first, second]],
    ['of one part', 'busy', [small]],
  ] as const) {
    it(`hides one failed request from an upload ${title}: ${fault}`, async () => {
      const requests = await countRequests(proxy, () => uploadParts(patient, parts))
      for (let skip = 0; skip < requests; skip++) {
        proxy.failAfter(skip, fault)
        const key = await uploadParts(patient, parts)
        assert.ok((await readAll(patient, key)).equals(Buffer.concat(parts)), `request ${skip}`)
        await patient.delete(key)
      }
    })
  }

  it('rejects a body that breaks off', async () => {
    const key = await upload(impatient, whole)
    proxy.failAfter(0, 'body cut')
    await assert.rejects(readAll(impatient, key), isStoreError('unavailable'))
    assert.ok((await readAll(impatient, key)).equals(whole))
  })

  it('rejects a body that is complete but shorter than what was asked for', async () => {
    const key = await upload(impatient, whole)
    const source = await impatient.open(key, { start: 0, end: 0 })
    proxy.failAfter(0, 'body short')
    const range = { start: 1, end: whole.byteLength - 1 }
    const pump = source?.pump({ async write() {} }, range, new AbortController().signal) ?? Promise.resolve()
    await assert.rejects(pump, isStoreError('unavailable'))
    await source?.close()
  })

  it('reports a missing object as missing and a busy store as unavailable', async () => {
    const key = await upload(impatient, small)
    for (const call of [() => impatient.open(key), () => impatient.stat(key), () => impatient.delete(key)]) {
      proxy.failAfter(0, 'busy')
      await assert.rejects(call, isStoreError('unavailable'))
    }
    await impatient.delete(key)
    assert.equal(await impatient.open(key), null)
  })
})

async function uploadParts(store: BlobStore, parts: readonly Buffer[]): Promise<StorageKey> {
  let state = await store.createUpload(randomUUID())
  let offsetBytes = 0
  for (const part of parts) {
    state = await appendAll(store, state, offsetBytes, part)
    offsetBytes += part.byteLength
  }
  return commit(store, state, Buffer.concat(parts))
}

/**
 * As a client does it: each step is tried again once when the store was unavailable, and an upload that is lost begins
 * anew. Whatever is acknowledged is exact, and no key is given out twice.
 */
async function checkUpload(store: BlobStore, parts: readonly Buffer[], when: string): Promise<void> {
  const content = Buffer.concat(parts)
  const { state, key } = await uploadPatiently(store, parts).catch((error: unknown) => {
    assert.ok(isStoreError('upload_lost')(error), `${when}: ${String(error)}`)
    return uploadPatiently(store, parts)
  })
  assert.ok((await readAll(store, key)).equals(content), when)
  const again = await commit(store, state, content).catch((error: unknown) => error)
  assert.ok(isStoreError('upload_lost')(again) || (typeof again === 'string' && again !== key), when)
  if (typeof again === 'string') {
    await store.delete(again as StorageKey) // What the registry does with a copy that it does not need.
  }
  await store.cancelUpload(state)
  for await (const left of store.listUploads(0)) {
    await store.cancelUpload(left.state) // An upload that was begun anew under another id.
  }
  for await (const left of store.listUploads(0)) {
    assert.fail(`${left.uploadId} is left, ${when}`)
  }
  assert.ok((await readAll(store, key)).equals(content), when)
  await store.delete(key)
}

async function uploadPatiently(
  store: BlobStore,
  parts: readonly Buffer[],
): Promise<{ state: UploadState; key: StorageKey }> {
  let state: UploadState = await store.createUpload(randomUUID())
  let offsetBytes = 0
  for (const part of parts) {
    const before = { state, offsetBytes }
    state = await twice(() => appendAll(store, before.state, before.offsetBytes, part))
    offsetBytes += part.byteLength
  }
  return { state, key: await twice(() => commit(store, state, Buffer.concat(parts))) }
}

async function twice<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    assert.ok(isStoreError('unavailable')(error), String(error))
    return act()
  }
}

async function countRequests(proxy: FaultyProxy, act: () => Promise<unknown>): Promise<number> {
  const before = proxy.requests.length
  await act()
  return proxy.requests.length - before
}

function isStoreError(reason: BlobStoreError['reason']): (error: unknown) => boolean {
  return (error) => error instanceof BlobStoreError && error.reason === reason
}

import assert from 'node:assert/strict'
import { createCipheriv, createHash, randomUUID } from 'node:crypto'
import { digestOf } from '@berth/oci/digest'
import type { BlobSource, BlobStore, ByteRange, ByteSink, StorageKey, UploadState } from './blobstore.ts'

const CHUNK_MAX_BYTES = 200 * 1024

/** Bytes that differ at every position and for every label, so that nothing misplaced goes unnoticed. */
export function contentOf(sizeBytes: number, label: string): Buffer {
  const key = createHash('sha256').update(label).digest().subarray(0, 16)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes))
}

/** Uploads and commits, in chunks of the given sizes or of varying ones. */
export async function upload(
  store: BlobStore,
  content: Buffer,
  chunkSizes?: readonly number[],
): Promise<StorageKey> {
  const state = await store.createUpload(randomUUID())
  if (content.byteLength === 0) {
    return commit(store, state, content)
  }
  return commit(store, await appendAll(store, state, 0, content, chunkSizes), content)
}

/** Appends all of `content` with one writer. */
export async function appendAll(
  store: BlobStore,
  state: UploadState,
  offsetBytes: number,
  content: Buffer,
  chunkSizes?: readonly number[],
): Promise<UploadState> {
  const writer = await store.openWriter(state, offsetBytes)
  await appendTo(writer, content, chunkSizes)
  return writer.close()
}

/** Commits the upload as `content`. */
export function commit(store: BlobStore, state: UploadState, content: Buffer): Promise<StorageKey> {
  return store.commitUpload(state, { digest: digestOf('sha256', content), sizeBytes: content.byteLength })
}

/** Reads all bytes of a key that must be there. */
export async function readAll(store: BlobStore, key: StorageKey): Promise<Buffer> {
  const source = await opened(store, key)
  try {
    return await drain(source, { start: 0, end: source.sizeBytes - 1 })
  } finally {
    await source.close()
  }
}

/** Appends all of `content` to an open writer, in chunks of the given sizes or of varying ones. */
export async function appendTo(
  writer: { append(chunk: Uint8Array): Promise<void> | undefined },
  content: Buffer,
  chunkSizes?: readonly number[],
): Promise<void> {
  let position = 0
  for (let index = 0; position < content.byteLength; index++) {
    const size = chunkSizes?.[index] ?? 1 + ((index * 7_919 + 4_099) % CHUNK_MAX_BYTES)
    const chunk = Buffer.from(content.subarray(position, position + size))
    position += chunk.byteLength
    await writer.append(chunk)
  }
}

/** Opens a key that must be there. */
export async function opened(store: BlobStore, key: StorageKey, range?: ByteRange): Promise<BlobSource> {
  const source = await store.open(key, range)
  assert.ok(source, `${key} is missing`)
  return source
}

/** Reads one range, which `open` is told of before when `announced`. */
export async function read(
  store: BlobStore,
  key: StorageKey,
  range: ByteRange,
  announced?: ByteRange,
): Promise<Buffer> {
  const source = await opened(store, key, announced)
  try {
    return await drain(source, range)
  } finally {
    await source.close()
  }
}

/** Reads what an unfinished upload has. */
export async function readUpload(store: BlobStore, state: UploadState, offsetBytes: number): Promise<Buffer> {
  const source = await store.openUpload(state, offsetBytes)
  assert.ok(source)
  try {
    assert.equal(source.sizeBytes, offsetBytes)
    return await drain(source, { start: 0, end: offsetBytes - 1 })
  } finally {
    await source.close()
  }
}

/** Pumps a range into memory. */
export async function drain(source: BlobSource, range: ByteRange): Promise<Buffer> {
  const chunks: Buffer[] = []
  const sink: ByteSink = {
    async write(chunk) {
      chunks.push(Buffer.from(chunk))
    },
  }
  await source.pump(sink, range, new AbortController().signal)
  return Buffer.concat(chunks)
}

/** Opens a key, pumps a range into the sink, and closes it. */
export async function pumpInto(
  store: BlobStore,
  key: StorageKey,
  sink: ByteSink,
  range: ByteRange,
): Promise<void> {
  const source = await opened(store, key, range)
  try {
    await source.pump(sink, range, new AbortController().signal)
  } finally {
    await source.close()
  }
}

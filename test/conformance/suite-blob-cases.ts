import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { seededBytes } from '../support/images.ts'
import {
  type Blob,
  blobPath,
  pushChunked,
  pushPostOnly,
  pushPostPut,
  pushStream,
  putWhole,
  requestMount,
  startUpload,
  type Target,
} from './blob-push.ts'
import { type Client, locationOf } from './client.ts'
import { type Algorithm, digestOf } from './content.ts'
import { expectContent, expectDigestHeader, expectError, expectStatus } from './expect.ts'
import type { LeafRecorder } from './leaves.ts'
import { checkBlobDelete, checkBlobGet, checkBlobHead } from './pull-checks.ts'

type Leaf = (name: string, run: () => Promise<void>) => void

const smallBytes = 512
/** Three chunks of the least size, the last one shorter. */
const threeChunksBytes = 3 * 1024 - 5

/**
 * `sha256 blobs` and `sha512 blobs` of the official suite: each way to push, to pull and to refuse a blob. `basic` sends
 * the key itself, which a mount from nowhere in particular needs: no token says where one may look.
 */
export function defineBlobCases(
  recorder: LeafRecorder,
  target: Target,
  basic: Client,
  otherRepository: string,
  algorithm: Algorithm,
): void {
  const root = `${algorithm} blobs`
  const other = { ...target, repository: otherRepository }
  const blobOf = (seed: string, sizeBytes: number): Blob => {
    const content = seededBytes(`${root}/${seed}`, sizeBytes)
    return { digest: digestOf(algorithm, content), content }
  }
  const group = (name: string, define: (leaf: Leaf, name: string) => void): void => {
    describe(name, () => {
      define((leafName, run) => recorder.leaf(`${root}/${name}`, leafName, [null], run), name)
    })
  }
  const pushed = (
    name: string,
    sizeBytes: number,
    leafName: string,
    push: (blob: Blob) => Promise<void>,
  ): void =>
    group(name, (leaf) => {
      const blob = blobOf(name, sizeBytes)
      leaf(leafName, () => push(blob))
      readAndDelete(leaf, target, blob)
    })

  describe(root, () => {
    recorder.leaf(root, 'get-missing', [blobOf('never pushed', smallBytes)], async ({ digest }) => {
      expectStatus(await target.client.request('GET', blobPath(target.repository, digest)), 404)
    })
    pushed('post only', smallBytes, 'blob-post-only', (blob) => pushPostOnly(target, blob))
    pushed('post+put', smallBytes, 'blob-post-put', (blob) => pushPostPut(target, blob))
    pushed('chunked single', smallBytes, 'blob-patch-chunked', (blob) => pushChunked(target, blob))
    pushed('stream', smallBytes, 'blob-patch-stream', (blob) => pushStream(target, blob))
    group('mount', (leaf) => defineMount(leaf, target, other, blobOf('mount', smallBytes), other.repository))
    group('mount anonymous', (leaf) => {
      defineMount(leaf, { ...target, client: basic }, other, blobOf('mount anonymous', smallBytes), null)
    })
    group('mount missing', (leaf) =>
      defineMountMissing(leaf, target, other, blobOf('mount missing', smallBytes)),
    )
    if (target.isDev)
      group('post cancel', (leaf) => defineCancel(leaf, target, blobOf('post cancel', smallBytes)))
    for (const putLastChunk of [false, true]) {
      for (const outOfOrder of [false, true]) {
        const name = `chunked ${outOfOrder ? 'out-of-order' : 'multi'}${putLastChunk ? ' and put chunk' : ''}`
        const options = { putLastChunk, outOfOrder }
        pushed(name, threeChunksBytes, 'blob-patch-chunked', (blob) => pushChunked(target, blob, options))
      }
    }
    group('range requests', (leaf) => defineRanges(leaf, target, blobOf('range requests', 2048)))
    for (const [name, text] of Object.entries({ empty: '', emptyJSON: '{}' })) {
      const content = Buffer.from(text)
      group(name, (leaf) => {
        const blob = { digest: digestOf(algorithm, content), content }
        leaf('blob-post-put', () => pushPostPut(target, blob))
        readAndDelete(leaf, target, blob)
      })
    }
    defineBadDigests(group, target, (name) => {
      const { digest, content } = blobOf(name, threeChunksBytes)
      return { digest, content: Buffer.concat([content, Buffer.from('oh no')]) }
    })
  })
}

function readAndDelete(leaf: Leaf, target: Target, blob: Blob): void {
  leaf('blob-head', () => checkBlobHead(target, blob))
  leaf('blob-get', () => checkBlobGet(target, blob))
  leaf('blob-delete', () => checkBlobDelete(target, blob.digest))
}

function defineMount(leaf: Leaf, target: Target, other: Target, blob: Blob, from: string | null): void {
  leaf('blob-post-put', () => pushPostPut(other, blob))
  leaf(from === null ? 'blob-mount-anonymous' : 'blob-mount', async () => {
    const reply = await requestMount(target, blob.digest, from)
    expectStatus(reply, 201)
    expectDigestHeader(reply, blob.digest, false)
    const pulled = await target.client.request('GET', locationOf(reply))
    expectStatus(pulled, 200)
    expectContent(pulled, blob.content)
  })
  readAndDelete(leaf, target, blob)
  leaf('blob-delete', () => checkBlobDelete(other, blob.digest))
}

/** What cannot be mounted starts an upload, and the upload works. */
function defineMountMissing(leaf: Leaf, target: Target, other: Target, blob: Blob): void {
  leaf('blob-mount', async () => {
    const reply = await requestMount(target, blob.digest, other.repository)
    expectStatus(reply, 202)
    await putWhole(target, blob, locationOf(reply))
  })
  readAndDelete(leaf, target, blob)
}

function defineCancel(leaf: Leaf, target: Target, blob: Blob): void {
  const { client, repository } = target
  leaf('blob-post-cancel', async () => {
    const location = await startUpload(target)
    expectStatus(await client.request('DELETE', location), 204)
    expectError(await client.request('GET', location), 404, 'BLOB_UPLOAD_UNKNOWN')
  })
  leaf('blob-delete', async () => {
    expectStatus(await client.request('DELETE', blobPath(repository, blob.digest)), 404)
  })
}

function defineRanges(leaf: Leaf, target: Target, blob: Blob): void {
  const { client, repository } = target
  const { content } = blob
  const request = (range: string) =>
    client.request('GET', blobPath(repository, blob.digest), { headers: { range: `bytes=${range}` } })
  leaf('blob-post-put', () => pushPostPut(target, blob))
  const satisfiable: [range: string, start: number, end: number][] = [
    ['500-1499', 500, 1499],
    ['500-', 500, 2047],
    ['-500', 1548, 2047],
    ['2000-5000', 2000, 2047],
  ]
  for (const [range, start, end] of satisfiable) {
    leaf(`range ${range}`, async () => {
      const reply = await request(range)
      expectStatus(reply, 206)
      expectContent(reply, content.subarray(start, end + 1))
      assert.equal(reply.headers['content-range'], `bytes ${start}-${end}/${content.byteLength}`)
    })
  }
  for (const range of ['500-0', '5000-10000']) {
    leaf(`range ${range}`, async () => {
      const reply = await request(range)
      expectStatus(reply, 416)
      assert.equal(reply.headers['content-length'], String(reply.body.byteLength))
    })
  }
  leaf('blob-delete', () => checkBlobDelete(target, blob.digest))
}

function defineBadDigests(
  group: (name: string, define: (leaf: Leaf, name: string) => void) => void,
  target: Target,
  badBlob: (name: string) => Blob,
): void {
  group('bad digest post only', (leaf, name) =>
    leaf('blob-post-only', () => pushPostOnly(target, badBlob(name))),
  )
  group('bad digest post+put', (leaf, name) =>
    leaf('blob-post-put', () => pushPostPut(target, badBlob(name))),
  )
  for (const putLastChunk of [false, true]) {
    group(`bad digest chunked${putLastChunk ? ' and put chunk' : ''}`, (leaf, name) =>
      leaf('blob-patch-chunked', () => pushChunked(target, badBlob(name), { putLastChunk })),
    )
  }
  group('bad digest stream', (leaf, name) =>
    leaf('blob-patch-stream', () => pushStream(target, badBlob(name))),
  )
}

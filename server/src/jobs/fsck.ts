import { createDigester, digestAlgorithm, digestOf, parseDigest, type Digest } from '@berth/oci/digest'
import type { BlobStore, StorageKey } from '../blobstore/blobstore.ts'
import {
  listManifestsAfter,
  listLiveBlobsAfter,
  listDanglingTags,
  listBrokenReferences,
  storageKeyIsKnown,
  listUnqueuedBlobs,
} from '../metastore/queries/fsck.ts'
import type { Database } from '../metastore/database.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'

/** One thing that is not as it must be. */
export interface FsckProblem {
  readonly kind:
    | 'missing_bytes'
    | 'wrong_size'
    | 'wrong_digest'
    | 'wrong_manifest_digest'
    | 'dangling_tag'
    | 'broken_reference'
    | 'orphan_bytes'
    | 'unqueued_blob'
  readonly subject: string
  readonly detail: string
  /** What `--repair` did; null when nothing was or may be done. */
  readonly repaired: string | null
}

export interface FsckReport {
  readonly blobs: number
  readonly bytes: number
  readonly manifests: number
  readonly problems: readonly FsckProblem[]
  /** More problems than are listed. */
  readonly truncated: boolean
}

export interface FsckOptions {
  readonly db: Database<RegionSchema>
  readonly blobs: BlobStore
  /** Read and hash all bytes; otherwise sizes only. */
  readonly verifyDigests: boolean
  /** Move bytes that no row knows to the quarantine. Never deletes. */
  readonly repair: boolean
  /** Bytes younger than this are left alone: their row may be about to be committed. */
  readonly orphanAgeMs: number
  readonly onProgress: (progress: { stage: string; done: number }) => void
  readonly signal: AbortSignal
}

const LIMITS = { page: 500, problems: 10_000 } as const

/**
 * Checks that every row has its bytes and every tag its closure. Safe while the region is in use: it only reads, and
 * what it reports about a thing that changed meanwhile is looked at a second time before it is reported.
 */
export async function runFsck(options: FsckOptions): Promise<FsckReport> {
  const state = { blobs: 0, bytes: 0, manifests: 0, problems: [] as FsckProblem[], truncated: false }
  const report = (problem: FsckProblem) => {
    if (state.problems.length < LIMITS.problems) state.problems.push(problem)
    else state.truncated = true
  }
  await checkBlobs(options, state, report)
  await checkManifests(options, state, report)
  for (const row of await listBrokenReferences(options.db.reader, LIMITS.problems)) {
    report({
      kind: 'broken_reference',
      subject: `repository ${row.repository_id} ${row.manifest_digest}`,
      detail: `refers to the ${row.target_kind} ${row.target_digest}, which the repository does not have`,
      repaired: null,
    })
  }
  for (const row of await listDanglingTags(options.db.reader, LIMITS.problems)) {
    report({
      kind: 'dangling_tag',
      subject: `repository ${row.repository_id} tag ${row.name}`,
      detail: `points to ${row.digest}, which is not there`,
      repaired: null,
    })
  }
  for (const row of await listUnqueuedBlobs(options.db.reader, LIMITS.problems)) {
    report({
      kind: 'unqueued_blob',
      subject: `blob ${row.id} ${row.digest}`,
      detail: 'belongs to no repository and is not queued for garbage collection',
      repaired: null,
    })
  }
  await checkOrphans(options, report)
  return state
}

async function checkBlobs(
  options: FsckOptions,
  state: { blobs: number; bytes: number },
  report: (problem: FsckProblem) => void,
): Promise<void> {
  let afterId = 0
  for (;;) {
    const rows = await listLiveBlobsAfter(options.db.reader, afterId, LIMITS.page)
    if (rows.length === 0) return
    for (const row of rows) {
      options.signal.throwIfAborted()
      afterId = row.id
      state.blobs += 1
      state.bytes += row.size_bytes
      const problem = await checkBlob(options, row)
      if (problem !== null && (await stillLive(options.db, row.id))) report(problem)
    }
    options.onProgress({ stage: 'blobs', done: state.blobs })
  }
}

interface BlobToCheck {
  readonly id: number
  readonly digest: string
  readonly size_bytes: number
  readonly storage_key: string | null
  readonly content: Uint8Array | null
}

async function checkBlob(options: FsckOptions, row: BlobToCheck): Promise<FsckProblem | null> {
  const subject = `blob ${row.digest}`
  const digest = parseDigest(row.digest)
  if (digest === null)
    return { kind: 'wrong_digest', subject, detail: 'its digest is not one', repaired: null }
  if (row.content !== null) return checkInline(subject, digest, row.content, row.size_bytes)
  const key = (row.storage_key ?? '') as StorageKey
  const stored = await options.blobs.stat(key)
  if (stored === null)
    return { kind: 'missing_bytes', subject, detail: `nothing is stored under ${key}`, repaired: null }
  if (stored.sizeBytes !== row.size_bytes)
    return {
      kind: 'wrong_size',
      subject,
      detail: `${stored.sizeBytes} bytes are stored, ${row.size_bytes} were acknowledged`,
      repaired: null,
    }
  if (!options.verifyDigests) return null
  const actual = await hashStored(options, key, digest)
  return actual === digest
    ? null
    : {
        kind: 'wrong_digest',
        subject,
        detail: `the stored bytes have the digest ${actual ?? '(they cannot be read)'}`,
        repaired: null,
      }
}

function checkInline(
  subject: string,
  digest: Digest,
  content: Uint8Array,
  sizeBytes: number,
): FsckProblem | null {
  if (content.length !== sizeBytes)
    return {
      kind: 'wrong_size',
      subject,
      detail: `${content.length} bytes are stored, ${sizeBytes} were acknowledged`,
      repaired: null,
    }
  const actual = digestOf(digestAlgorithm(digest), content)
  return actual === digest
    ? null
    : { kind: 'wrong_digest', subject, detail: `the stored bytes have the digest ${actual}`, repaired: null }
}

async function hashStored(options: FsckOptions, key: StorageKey, digest: Digest): Promise<Digest | null> {
  const source = await options.blobs.open(key)
  if (source === null) return null
  const digester = createDigester(digestAlgorithm(digest))
  try {
    if (source.sizeBytes > 0) {
      const sink = {
        write: async (chunk: Uint8Array) => {
          digester.update(chunk)
        },
      }
      await source.pump(sink, { start: 0, end: source.sizeBytes - 1 }, options.signal)
    }
    return digester.digest()
  } finally {
    await source.close()
  }
}

async function stillLive(db: Database<RegionSchema>, blobId: number): Promise<boolean> {
  const row = await db.reader.selectFrom('blob').select('state').where('id', '=', blobId).executeTakeFirst()
  return row?.state === 'live'
}

async function checkManifests(
  options: FsckOptions,
  state: { manifests: number },
  report: (problem: FsckProblem) => void,
): Promise<void> {
  let after = { repositoryId: 0, digest: '' }
  for (;;) {
    const rows = await listManifestsAfter(options.db.reader, after, LIMITS.page)
    if (rows.length === 0) return
    for (const row of rows) {
      options.signal.throwIfAborted()
      after = { repositoryId: row.repository_id, digest: row.digest }
      state.manifests += 1
      const digest = parseDigest(row.digest)
      const actual = digest === null ? null : digestOf(digestAlgorithm(digest), row.content)
      if (actual !== row.digest) {
        report({
          kind: 'wrong_manifest_digest',
          subject: `repository ${row.repository_id} manifest ${row.digest}`,
          detail: `the stored bytes have the digest ${actual ?? '(none)'}`,
          repaired: null,
        })
      }
    }
    options.onProgress({ stage: 'manifests', done: state.manifests })
  }
}

async function checkOrphans(options: FsckOptions, report: (problem: FsckProblem) => void): Promise<void> {
  const nowMs = await options.db.nowMs()
  let done = 0
  for await (const stored of options.blobs.list()) {
    options.signal.throwIfAborted()
    done += 1
    if (done % LIMITS.page === 0) options.onProgress({ stage: 'stored objects', done })
    if (
      nowMs - stored.modifiedAt < options.orphanAgeMs ||
      (await storageKeyIsKnown(options.db.reader, stored.key))
    )
      continue
    if (options.repair) await options.blobs.quarantine(stored.key)
    report({
      kind: 'orphan_bytes',
      subject: stored.key,
      detail: `${stored.sizeBytes} bytes that no row knows`,
      repaired: options.repair ? 'moved to the quarantine' : null,
    })
  }
}

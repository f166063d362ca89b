import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestContext } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import { pino } from 'pino'
import type { BlobStore, StorageKey } from '../blobstore/blobstore.ts'
import { createFilesystemBlobStore } from '../blobstore/filesystem/filesystem-blobstore.ts'
import { dataDirLayout } from '../config/data-dir.ts'
import type { Database } from '../metastore/database.ts'
import { commitBlob, extendBlobLease, mountBlob } from '../metastore/queries/blob.ts'
import { listGcRuns } from '../metastore/queries/gc-run.ts'
import { deleteManifest } from '../metastore/queries/delete-manifest.ts'
import { pushManifest } from '../metastore/queries/manifest.ts'
import { undeleteManifest } from '../metastore/queries/undelete-manifest.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import { openSqliteDatabase } from '../metastore/sqlite/database.ts'
import { type SqliteWriter, startSqliteWriter } from '../metastore/sqlite/writer.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { GarbageCollector } from './gc.ts'
import { previewGc } from './gc-preview.ts'

/*
 * A region for the tests of jobs: real drivers in a temporary folder, content put there by the registry's own commands,
 * and a clock that the test moves.
 */

export interface TestBlob {
  readonly digest: string
  readonly sizeBytes: number
  readonly storageKey: StorageKey
}

const PROJECT = 'test-project'
const REPOSITORY = 'app'
const TRASH_MS = 7 * 24 * 3_600_000

/** One region in a temporary folder. */
export async function openTestRegion(t: TestContext): Promise<TestRegion> {
  const { folder, writer, cleanup } = await openFolder(t)
  return openRegionIn(folder, writer, cleanup)
}

/** A data folder with a control database and the region `local`. */
export async function openTestInstallation(t: TestContext): Promise<{ dataDir: string; region: TestRegion }> {
  const { folder, writer, cleanup } = await openFolder(t)
  const layout = dataDirLayout(folder)
  const control = await openSqliteDatabase('control', { path: layout.controlDatabase, writer })
  cleanup.defer(() => control.close())
  await mkdir(layout.region('local').folder, { recursive: true })
  return { dataDir: folder, region: await openRegionIn(layout.region('local').folder, writer, cleanup) }
}

async function openFolder(t: TestContext) {
  const cleanup = new AsyncDisposableStack()
  t.after(() => cleanup.disposeAsync())
  const folder = await mkdtemp(join(tmpdir(), 'berth-jobs-'))
  cleanup.defer(() => rm(folder, { recursive: true }))
  const writer = startSqliteWriter()
  cleanup.defer(() => writer.close())
  return { folder, writer, cleanup }
}

async function openRegionIn(
  folder: string,
  writer: SqliteWriter,
  cleanup: AsyncDisposableStack,
): Promise<TestRegion> {
  const real = await openSqliteDatabase('region', { path: join(folder, 'region.db'), writer })
  cleanup.defer(() => real.close())
  const files = await createFilesystemBlobStore({ root: folder })
  cleanup.defer(() => files.close())
  addProjects(join(folder, 'region.db'), [PROJECT, 'other-project'])
  return new TestRegion(real, files, folder)
}

export class TestRegion {
  nowMs = 1_700_000_000_000
  readonly folder: string
  readonly blobs: BlobStore
  readonly db: Database<RegionSchema>
  readonly #collector: GarbageCollector
  #failDelete = false

  constructor(real: Database<RegionSchema>, files: BlobStore, folder: string) {
    this.folder = folder
    this.db = new Proxy(real, {
      get: (target, name) => (name === 'nowMs' ? async () => this.nowMs : bound(target, name)),
    })
    this.blobs = new Proxy(files, {
      get: (target, name) =>
        name === 'delete' ? (key: StorageKey) => this.#delete(target, key) : bound(target, name),
    })
    this.#collector = new GarbageCollector({
      regionId: 'test',
      db: this.db,
      blobs: this.blobs,
      trashMs: TRASH_MS,
      maxSharePercent: 25,
      log: pino({ enabled: false }),
      metrics: createMetrics(),
    })
  }

  advance(ms: number): void {
    this.nowMs += ms
  }

  async cycle(options: { force?: boolean } = {}) {
    const result = await this.tryCycle(options)
    if (result === null) throw new Error('another cycle runs')
    return result
  }

  tryCycle(options: { force?: boolean } = {}) {
    return this.#collector.runCycle({ force: options.force ?? false, signal: new AbortController().signal })
  }

  preview() {
    return previewGc(this.db.reader, this.nowMs)
  }

  /** Commits random content of 100 bytes to the blob store and to repository `app` of the project. */
  async storeBlob(options: { leasedUntil: number; project?: string }): Promise<TestBlob> {
    const content = randomBytes(100)
    const digest = digestOf('sha256', content)
    const sizeBytes = content.byteLength
    const state = await this.blobs.createUpload(randomUUID())
    const writer = await this.blobs.openWriter(state, 0)
    await writer.append(content)
    const storageKey = await this.blobs.commitUpload(await writer.close(), { digest, sizeBytes })
    const context = this.#context(options.project ?? PROJECT)
    const leaseMs = options.leasedUntil - this.nowMs
    const result = await this.db.run(commitBlob, {
      ...context,
      path: REPOSITORY,
      digest,
      sizeBytes,
      storageKey,
      content: null,
      leaseMs,
    })
    if (!result.ok) throw new Error(result.reason)
    return { digest, sizeBytes, storageKey }
  }

  async mount(blob: TestBlob, path: string, options: { leasedUntil: number }): Promise<void> {
    const result = await this.db.run(mountBlob, {
      ...this.#context(),
      path,
      sourcePath: REPOSITORY,
      digest: blob.digest,
      leaseMs: options.leasedUntil - this.nowMs,
    })
    if (!result.ok) throw new Error(result.reason)
  }

  async renewLease(blob: TestBlob, leasedUntil: number): Promise<void> {
    const { id } = await this.db.reader
      .selectFrom('repository')
      .select('id')
      .where('path', '=', REPOSITORY)
      .executeTakeFirstOrThrow()
    await this.db.run(extendBlobLease, {
      projectId: PROJECT,
      repositoryId: id,
      digest: blob.digest,
      leasedUntil,
    })
  }

  /** Pushes a manifest that refers to the blobs, and answers its digest. */
  async storeManifest(blobs: readonly TestBlob[]): Promise<string> {
    const content = randomBytes(50)
    const digest = digestOf('sha256', content)
    const result = await this.db.run(pushManifest, {
      ...this.#context(),
      path: REPOSITORY,
      digest,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      kind: 'image',
      artifactType: null,
      subjectDigest: null,
      annotations: null,
      content,
      blobs,
      optionalBlobs: [],
      children: [],
      allowSparse: false,
      tags: ['latest'],
      immutable: [],
    })
    if (!result.ok) throw new Error(result.reason)
    return digest
  }

  async trashManifest(digest: string): Promise<void> {
    const result = await this.db.run(deleteManifest, {
      ...this.#context(),
      path: REPOSITORY,
      digest,
      trashMs: TRASH_MS,
      immutable: [],
      withParts: false,
    })
    if (!result.ok) throw new Error(result.reason)
  }

  async untrashManifest(digest: string): Promise<void> {
    const result = await this.db.run(undeleteManifest, {
      ...this.#context(),
      path: REPOSITORY,
      digest,
      tags: [],
      immutable: [],
    })
    if (!result.ok) throw new Error(result.reason)
  }

  /** As the access feed and the console leave a deleted project behind. */
  async deleteProject(): Promise<void> {
    this.sql('update access_project set deleted_at = ? where id = ?', this.nowMs, PROJECT)
    this.sql(
      `insert into gc_task (kind, target, project_id, due_at, reason) values ('project', ?, ?, ?, 'deleted')`,
      `project/${PROJECT}`,
      PROJECT,
      this.nowMs,
    )
  }

  /** Rows that only the access feed and the console write, and damage: through a connection of the test's own. */
  sql(statement: string, ...parameters: (string | number)[]): void {
    write(join(this.folder, 'region.db'), (database) => database.prepare(statement).run(...parameters))
  }

  /** Whether the blob could be pulled from the repository. */
  async isReadable(blob: TestBlob, path = REPOSITORY): Promise<boolean> {
    const row = await this.db.reader
      .selectFrom('repository_blob')
      .innerJoin('repository', 'repository.id', 'repository_blob.repository_id')
      .innerJoin('blob', 'blob.id', 'repository_blob.blob_id')
      .select('blob.id')
      .where('repository.path', '=', path)
      .where('repository_blob.digest', '=', blob.digest)
      .where('blob.state', '=', 'live')
      .executeTakeFirst()
    return row !== undefined
  }

  async hasBytes(blob: TestBlob): Promise<boolean> {
    return (await this.blobs.stat(blob.storageKey)) !== null
  }

  async usedBytes(): Promise<number> {
    const row = await this.db.reader
      .selectFrom('project_usage')
      .select('used_bytes')
      .where('project_id', '=', PROJECT)
      .executeTakeFirst()
    return row?.used_bytes ?? 0
  }

  async countRows(table: 'blob' | 'manifest' | 'gc_task'): Promise<number> {
    return (await this.db.reader.selectFrom(table).selectAll().execute()).length
  }

  #context(projectId = PROJECT) {
    return { guard: null, projectId, actor: 'operator', requestId: 'test', nowMs: this.nowMs }
  }

  async lastRun() {
    return (await listGcRuns(this.db.reader, 1))[0]
  }

  failNextDelete(): void {
    this.#failDelete = true
  }

  async #delete(store: BlobStore, key: StorageKey): Promise<void> {
    if (this.#failDelete) {
      this.#failDelete = false
      throw new Error('disk error of the test')
    }
    await store.delete(key)
  }
}

function addProjects(path: string, ids: readonly string[]): void {
  write(path, (database) => {
    for (const id of ids) {
      database
        .prepare(
          `insert into access_project (id, namespace, public_repositories, allow_sparse_indexes) values (?, ?, '[]', 0)`,
        )
        .run(id, id)
    }
  })
}

function write(path: string, act: (database: DatabaseSync) => unknown): void {
  const database = new DatabaseSync(path, { timeout: 5000 })
  try {
    act(database)
  } finally {
    database.close()
  }
}

function bound(target: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(target, name)
  return typeof value === 'function' ? value.bind(target) : value
}

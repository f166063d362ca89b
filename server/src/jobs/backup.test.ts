import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import { createFilesystemBlobStore } from '../blobstore/filesystem/filesystem-blobstore.ts'
import { dataDirLayout } from '../config/data-dir.ts'
import { openSqliteDatabase } from '../metastore/sqlite/database.ts'
import { startSqliteWriter } from '../metastore/sqlite/writer.ts'
import { backUp, BackupError, restore } from './backup.ts'
import { runFsck } from './fsck.ts'
import { openTestInstallation } from './test-region.ts'

async function folders(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), 'berth-backup-'))
  t.after(() => rm(root, { recursive: true }))
  return { root, target: join(root, 'backup'), restored: join(root, 'restored') }
}

function optionsFor(dataDir: string, target: string) {
  return {
    dataDir,
    target,
    rootKeyFile: join(dataDir, 'root.key'),
    includeRootKey: false,
    version: 'test',
    onProgress: () => {},
  }
}

test('a copy made while pushes go on restores to a sound region', async (t) => {
  const { target, restored } = await folders(t)
  const { dataDir, region } = await openTestInstallation(t)
  const before = await region.storeBlob({ leasedUntil: region.nowMs })
  await region.storeManifest([before])

  let pushing = true
  const pushes = (async () => {
    while (pushing) await region.storeManifest([await region.storeBlob({ leasedUntil: region.nowMs })])
  })()
  const summary = await backUp(optionsFor(dataDir, target))
  pushing = false
  await pushes
  assert.ok((summary.regions[0]?.blobs ?? 0) >= 1)
  await restore({ source: target, dataDir: restored, onProgress: () => {} })

  const writer = startSqliteWriter()
  const paths = dataDirLayout(restored).region('local')
  const db = await openSqliteDatabase('region', { path: paths.database, writer })
  const blobs = await createFilesystemBlobStore({ root: paths.folder })
  t.after(async () => {
    await blobs.close()
    await db.close()
    await writer.close()
  })
  const report = await runFsck({
    db,
    blobs,
    verifyDigests: true,
    repair: false,
    orphanAgeMs: -1,
    onProgress: () => {},
    signal: new AbortController().signal,
  })
  assert.deepEqual(report.problems, [])
  assert.equal(report.blobs, summary.regions[0]?.blobs)
  const content = await readFile(join(paths.folder, before.storageKey))
  assert.equal(digestOf('sha256', content), before.digest)
})

test('the root key is copied only on request', async (t) => {
  const { root, target } = await folders(t)
  const { dataDir } = await openTestInstallation(t)
  await writeFile(join(dataDir, 'root.key'), 'canary of the root key')
  await backUp(optionsFor(dataDir, target))
  await assert.rejects(readFile(join(target, 'root.key')))
  await backUp({ ...optionsFor(dataDir, join(root, 'with-key')), includeRootKey: true })
  assert.equal(await readFile(join(root, 'with-key', 'root.key'), 'utf8'), 'canary of the root key')
})

test('nobody but the owner reads the databases of a backup, whoever may read its folder', async (t) => {
  const { target } = await folders(t)
  await mkdir(target, { mode: 0o755 })
  const { dataDir } = await openTestInstallation(t)
  await backUp(optionsFor(dataDir, target))
  const { controlDatabase, region } = dataDirLayout(target)
  for (const file of [controlDatabase, region('local').database]) {
    assert.equal((await stat(file)).mode & 0o777, 0o600)
  }
})

test('a damaged blob stops the backup instead of being copied', async (t) => {
  const { target } = await folders(t)
  const { dataDir, region } = await openTestInstallation(t)
  const blob = await region.storeBlob({ leasedUntil: region.nowMs })
  await writeFile(join(region.folder, blob.storageKey), 'short')
  await assert.rejects(backUp(optionsFor(dataDir, target)), /Run "berth fsck"/)
})

test('folders that are in use, and backups that were not finished, are refused', async (t) => {
  const { root, target, restored } = await folders(t)
  const { dataDir } = await openTestInstallation(t)
  await writeFile(join(root, 'somebody-elses-file'), '')
  await assert.rejects(backUp(optionsFor(dataDir, root)), /is not empty/)
  await assert.rejects(backUp(optionsFor(join(root, 'nothing'), target)), BackupError)
  await assert.rejects(
    restore({ source: root, dataDir: restored, onProgress: () => {} }),
    /not a finished backup/,
  )
  await backUp(optionsFor(dataDir, join(root, 'good')))
  await assert.rejects(restore({ source: join(root, 'good'), dataDir, onProgress: () => {} }), /is not empty/)
})

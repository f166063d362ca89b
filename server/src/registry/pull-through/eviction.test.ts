// @needs docker-registry, htpasswd
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  clearCopies,
  evictCopy,
  forgetRetiredSlugs,
  listStaleCopies,
  listUnusedCopies,
} from '../../metastore/queries/cache-eviction.ts'
import { listBrokenReferences } from '../../metastore/queries/fsck.ts'
import { holdImage, releaseImage } from '../../metastore/queries/image-hold.ts'
import { loadUsage } from '../../metastore/queries/usage.ts'
import { imageIndex, pushImage } from '../test-content.ts'
import { openTestRegion, type TestRegion } from '../test-region.ts'
import { startTestUpstream, type TestUpstream } from './test-upstream.ts'

/* How copies leave: what nobody pulls, and what is left of registries that are not connected any more. */

const DAY_MS = 86_400_000

let upstream: TestUpstream
let region: TestRegion

before(async () => {
  upstream = await startTestUpstream()
  region = await openTestRegion({ outgoingAllow: `http://${upstream.host}` })
})
after(async () => {
  await region?.close()
  await upstream?.close()
})

async function open(namespace: string): Promise<{ projectId: string; registryId: string }> {
  const projectId = await region.createProject(namespace)
  await region.createKey(namespace)
  return { projectId, registryId: await connect(namespace, 'up') }
}

function connect(namespace: string, slug: string, id?: string, host = upstream.host): Promise<string> {
  const more = id === undefined ? {} : { id }
  return region.connectRegistry(namespace, { slug, host, login: upstream.login, ...more })
}

async function pull(path: string): Promise<number> {
  return (await region.call('GET', `/v2/${path}`)).status
}

async function evict(unusedForMs: number): Promise<string[]> {
  const { db, clock, lastPulls } = region.runtime
  await lastPulls.flush()
  const nowMs = clock.nowMs()
  const usedBefore = nowMs - unusedForMs
  const unused = await listUnusedCopies(db.reader, usedBefore, 100)
  for (const copy of unused) assert.ok(await db.run(evictCopy, { ...copy, usedBefore, nowMs }))
  return unused.map(({ digest }) => digest)
}

async function clear(): Promise<number> {
  const { db, clock } = region.runtime
  const stale = await listStaleCopies(db.reader, 100)
  for (const repositoryId of stale) {
    while ((await db.run(clearCopies, { repositoryId, nowMs: clock.nowMs() })) === 'more');
  }
  await db.run(forgetRetiredSlugs, null)
  return stale.length
}

test('a copy that is pulled stays, one that is not goes, an index before what it lists', async () => {
  const { projectId } = await open('evicts')
  const used = await upstream.pushImage('keep/used', '1')
  const idle = await upstream.pushImage('keep/idle', '1')
  const index = imageIndex([idle.manifest])
  await upstream.pushManifest('keep/idle', 'all', index)
  await pushImage(region, 'evicts/own', '1')
  assert.equal(await pull('evicts/up/keep/used/manifests/1'), 200)
  assert.equal(await pull('evicts/up/keep/idle/manifests/all'), 200)
  assert.equal(await pull(`evicts/up/keep/idle/manifests/${idle.manifest.digest}`), 200)
  const before = (await loadUsage(region.runtime.db.reader, projectId))?.usedBytes ?? 0
  region.advance(20 * DAY_MS)
  assert.equal(await pull('evicts/up/keep/used/manifests/1'), 200)
  region.advance(20 * DAY_MS)
  assert.deepEqual(await evict(30 * DAY_MS), [index.digest])
  assert.deepEqual(await evict(30 * DAY_MS), [idle.manifest.digest])
  assert.deepEqual(await evict(30 * DAY_MS), [])
  const gone = index.content.byteLength + idle.manifest.content.byteLength
  assert.equal((await loadUsage(region.runtime.db.reader, projectId))?.usedBytes, before - gone)
  upstream.takeRequests()
  assert.equal(await pull(`evicts/up/keep/used/manifests/${used.manifest.digest}`), 200)
  assert.deepEqual(upstream.takeRequests(), [])
  assert.equal(await pull('evicts/up/keep/idle/manifests/all'), 200)
  assert.notDeepEqual(upstream.takeRequests(), [])
})

test('a copy that was pulled again, or whose index was, after it was listed stays', async () => {
  await open('races')
  const image = await upstream.pushImage('races/app', '1')
  const part = await upstream.pushImage('races/multi', '1')
  const index = imageIndex([part.manifest])
  await upstream.pushManifest('races/multi', 'all', index)
  assert.equal(await pull('races/up/races/app/manifests/1'), 200)
  assert.equal(await pull(`races/up/races/multi/manifests/${part.manifest.digest}`), 200)
  region.advance(40 * DAY_MS)
  const { db, clock, lastPulls } = region.runtime
  await lastPulls.flush()
  const nowMs = clock.nowMs()
  const usedBefore = nowMs - 30 * DAY_MS
  const listed = await listUnusedCopies(db.reader, usedBefore, 100)
  const races = listed.filter(({ path }) => path.startsWith('up/races/'))
  assert.deepEqual(
    races.map(({ digest }) => digest).toSorted(),
    [image.manifest.digest, part.manifest.digest].toSorted(),
  )
  assert.equal(await pull('races/up/races/app/manifests/1'), 200)
  assert.equal(await pull('races/up/races/multi/manifests/all'), 200)
  await lastPulls.flush()
  for (const copy of races) assert.equal(await db.run(evictCopy, { ...copy, usedBefore, nowMs }), false)
})

test('of a disconnected registry’s copies what is held stays with what it needs, until the hold ends', async () => {
  const { projectId, registryId } = await open('holds')
  const held = await upstream.pushImage('holds/app', 'held')
  const other = await upstream.pushImage('holds/app', 'other')
  const index = imageIndex([held.manifest])
  await upstream.pushManifest('holds/app', 'all', index)
  for (const reference of ['all', held.manifest.digest, 'other']) {
    assert.equal(await pull(`holds/up/holds/app/manifests/${reference}`), 200)
  }
  for (const { config } of [held, other]) {
    assert.equal(await pull(`holds/up/holds/app/blobs/${config.digest}`), 200)
  }
  const { db } = region.runtime
  const ofProject = () =>
    db.reader.selectFrom('repository').where('project_id', '=', projectId).where('path', '=', 'up/holds/app')
  const { id: repositoryId } = await ofProject().select('id').executeTakeFirstOrThrow()
  const hold = { repositoryId, digest: index.digest, reason: 'release 1 of app' }
  assert.equal(await db.run(holdImage, { ...hold, nowMs: 1 }), 'held')
  await region.disconnectRegistry(registryId)
  await clear()
  const left = async (table: 'manifest' | 'repository_blob') =>
    (await db.reader.selectFrom(table).select('digest').where('repository_id', '=', repositoryId).execute())
      .map(({ digest }) => digest)
      .toSorted()
  assert.deepEqual(await left('manifest'), [index.digest, held.manifest.digest].toSorted())
  assert.deepEqual(await left('repository_blob'), [held.config.digest])
  assert.equal(await pull(`holds/up/holds/app/manifests/${index.digest}`), 404, 'kept, and not shown')
  assert.equal(await db.run(releaseImage, hold), 'released')
  await clear()
  assert.deepEqual([await left('manifest'), await left('repository_blob')], [[], []])
  const { cached_from } = await ofProject().select('cached_from').executeTakeFirstOrThrow()
  assert.equal(cached_from, null)
})

test('manifests of copies whose parts were never asked for are no damage to fsck', async () => {
  await open('parts')
  await upstream.pushImage('parts/app', '1')
  assert.equal(await pull('parts/up/parts/app/manifests/1'), 200)
  assert.deepEqual(await listBrokenReferences(region.runtime.db.reader, 10), [])
})

test('copies of a disconnected registry are not shown, and its slug can be used again when they are cleared', async () => {
  const { projectId, registryId } = await open('leaves')
  const image = await upstream.pushImage('leaves/app', '1')
  assert.equal(await pull('leaves/up/leaves/app/manifests/1'), 200)
  assert.equal(await pull(`leaves/up/leaves/app/blobs/${image.config.digest}`), 200)
  assert.ok(((await loadUsage(region.runtime.db.reader, projectId))?.usedBytes ?? 0) > 0)
  await region.disconnectRegistry(registryId)
  assert.equal(await pull('leaves/up/leaves/app/manifests/1'), 404)
  assert.equal(await pull(`leaves/up/leaves/app/blobs/${image.config.digest}`), 404)
  await connect('leaves', 'up')
  assert.equal(
    await pull('leaves/up/leaves/app/manifests/1'),
    503,
    'copies of the other record are still there',
  )
  assert.equal(await clear(), 1)
  assert.equal(await pull('leaves/up/leaves/app/manifests/1'), 200)
  assert.equal(await clear(), 0)
})

test('after the clearing a push may use the path, and nothing of the copies can be undeleted', async () => {
  const { registryId } = await open('reuses')
  await upstream.pushImage('reuses/app', '1')
  assert.equal(await pull('reuses/up/reuses/app/manifests/1'), 200)
  await region.disconnectRegistry(registryId)
  const refused = await region.call('POST', '/v2/reuses/up/reuses/app/blobs/uploads/', { body: '' })
  assert.equal(refused.status, 503)
  await clear()
  const { db } = region.runtime
  const left = await db.reader
    .selectFrom('manifest')
    .innerJoin('repository', 'repository.id', 'manifest.repository_id')
    .select('manifest.digest')
    .where('repository.path', '=', 'up/reuses/app')
    .execute()
  assert.deepEqual(left, [])
  await pushImage(region, 'reuses/up/reuses/app', '1')
  assert.equal(await pull('reuses/up/reuses/app/manifests/1'), 200)
})

test('another host behind the same record has none of the copies of the one before', async () => {
  const { registryId } = await open('moves')
  await upstream.pushImage('moves/app', '1')
  assert.equal(await pull('moves/up/moves/app/manifests/1'), 200)
  await connect('moves', 'up', registryId, 'localhost:5999')
  assert.equal(await pull('moves/up/moves/app/manifests/1'), 503)
  await clear()
  const answer = await region.call('GET', '/v2/moves/up/moves/app/manifests/1')
  assert.equal(answer.status, 502, 'asked, and not allowed to call that host')
})

test('nothing of the secret is in the region’s copy after the registry or the project was deleted', async () => {
  const { projectId, registryId } = await open('forgets')
  const rows = () =>
    region.runtime.db.reader
      .selectFrom('access_registry')
      .selectAll()
      .where('project_id', '=', projectId)
      .execute()
  assert.ok((await rows())[0]?.sealed_password)
  await region.disconnectRegistry(registryId)
  assert.deepEqual(await rows(), [])
  await connect('forgets', 'again')
  assert.equal((await rows()).length, 1)
  await region.updateProject('forgets', { deletedAt: region.runtime.clock.nowMs() })
  assert.deepEqual(await rows(), [])
})

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import { holdImage, releaseImage } from '../metastore/queries/image-hold.ts'
import { loadUsage } from '../metastore/queries/usage.ts'
import { imageIndex, imageManifest, pushBlob, pushImage, putManifest } from './test-content.ts'
import { openTestRegion, type TestRegion } from './test-region.ts'

const HOUR_MS = 3_600_000
const PUSHES = 8

let region: TestRegion
before(async () => {
  region = await openTestRegion()
})
after(() => region.close())

let projects = 0
async function createProject(settings: Parameters<TestRegion['createProject']>[1]) {
  const namespace = `house-${++projects}`
  const id = await region.createProject(namespace, settings)
  await region.createKey(namespace, { actions: ['pull', 'push', 'delete'] })
  return { namespace, id }
}

async function repositoryId(projectId: string, path: string): Promise<number> {
  const row = await region.runtime.db.reader
    .selectFrom('repository')
    .select('id')
    .where('project_id', '=', projectId)
    .where('path', '=', path)
    .executeTakeFirstOrThrow()
  return row.id
}

describe('an immutable tag', () => {
  const immutableTags = [{ repositories: ['web', 'team/**'], tags: ['v*', '!v0*'] }]

  it('stays where it was pushed first; the same content again is fine', async () => {
    const { namespace } = await createProject({ immutableTags })
    const web = `${namespace}/web`
    const first = await pushImage(region, web, 'v1')
    assert.equal((await putManifest(region, web, 'v1', first)).status, 201)
    const second = imageManifest(await pushBlob(region, web), [])
    const refused = await putManifest(region, web, 'v1', second)
    assert.equal(refused.status, 403)
    assert.equal(refused.code(), 'DENIED')
    assert.match(refused.body.toString(), /the tag \\"v1\\" is immutable/)
    assert.ok(refused.body.toString().includes(first.digest))
    const byDigest = await putManifest(region, web, `${second.digest}?tag=other&tag=v1`, second)
    assert.equal(byDigest.status, 403)
    assert.equal((await region.call('HEAD', `/v2/${web}/manifests/other`)).status, 404, 'all or nothing')
    assert.equal((await region.call('HEAD', `/v2/${web}/manifests/${second.digest}`)).status, 404)
  })

  it('is only what the rule means', async () => {
    const { namespace } = await createProject({ immutableTags })
    for (const [path, tag, status] of [
      ['web', 'v0.1', 201],
      ['web', 'latest', 201],
      ['web', `sha256-${'0'.repeat(64)}.sig`, 201],
      ['other', 'v1', 201],
      ['team/api', 'v1', 403],
    ] as const) {
      const repository = `${namespace}/${path}`
      await pushImage(region, repository, tag)
      const again = await putManifest(
        region,
        repository,
        tag,
        imageManifest(await pushBlob(region, repository), []),
      )
      assert.equal(again.status, status, `${path}:${tag}`)
    }
  })

  it('is not deleted, alone or with its manifest', async () => {
    const { namespace } = await createProject({ immutableTags })
    const image = await pushImage(region, `${namespace}/web`, 'v1')
    for (const reference of ['v1', image.digest]) {
      const answer = await region.call('DELETE', `/v2/${namespace}/web/manifests/${reference}`)
      assert.deepEqual([answer.status, answer.code()], [403, 'DENIED'], answer.body.toString())
    }
    assert.equal((await region.call('HEAD', `/v2/${namespace}/web/manifests/v1`)).status, 200)
  })

  it('is won by exactly one of many pushes at once', async () => {
    const { namespace } = await createProject({ immutableTags })
    const web = `${namespace}/web`
    const images = []
    for (let i = 0; i < PUSHES; i++) images.push(imageManifest(await pushBlob(region, web), []))
    const answers = await Promise.all(images.map((image) => putManifest(region, web, 'v1', image)))
    const winners = images.filter((_image, i) => answers[i]?.status === 201)
    assert.equal(winners.length, 1)
    assert.ok(answers.every(({ status }) => status === 201 || status === 403))
    const head = await region.call('HEAD', `/v2/${web}/manifests/v1`)
    assert.equal(head.headers['docker-content-digest'], winners[0]?.digest)
  })
})

describe('an image in use', () => {
  it('is not deleted, by its digest or through an index, until it is released', async () => {
    const { namespace, id } = await createProject({})
    const web = `${namespace}/web`
    const image = await pushImage(region, web, 'v1')
    const index = imageIndex([image])
    assert.equal((await putManifest(region, web, 'multi', index)).status, 201)
    const { db } = region.runtime
    const hold = {
      repositoryId: await repositoryId(id, 'web'),
      digest: index.digest,
      reason: 'release 3 of web',
    }
    assert.equal(await db.run(holdImage, { ...hold, nowMs: 1 }), 'held')
    assert.equal(await db.run(holdImage, { ...hold, nowMs: 2 }), 'held')
    const refused = await region.call('DELETE', `/v2/${web}/manifests/${index.digest}`)
    assert.deepEqual([refused.status, refused.code()], [403, 'DENIED'])
    assert.match(refused.body.toString(), /release 3 of web/)
    assert.equal((await region.call('DELETE', `/v2/${web}/manifests/${image.digest}`)).status, 403)
    assert.equal((await region.call('DELETE', `/v2/${web}/manifests/multi`)).status, 202, 'a tag may go')
    assert.equal(await db.run(releaseImage, hold), 'released')
    assert.equal(await db.run(releaseImage, hold), 'not_held')
    assert.equal((await region.call('DELETE', `/v2/${web}/manifests/${index.digest}`)).status, 202)
    assert.equal(await db.run(holdImage, { ...hold, nowMs: 3 }), 'no_manifest')
  })
})

describe('the last pull', () => {
  it('is noted by tag and by digest, to the hour, and only for what is there', async () => {
    const { namespace, id } = await createProject({})
    const web = `${namespace}/web`
    const image = await pushImage(region, web, 'v1')
    const { db, lastPulls, clock } = region.runtime
    const pulls = async () => {
      await lastPulls.flush()
      const rows = await db.reader
        .selectFrom('last_pull')
        .select(['reference', 'pulled_at'])
        .where('repository_id', '=', await repositoryId(id, 'web'))
        .execute()
      return new Map(rows.map((row) => [row.reference, row.pulled_at]))
    }
    const hour = () => clock.nowMs() - (clock.nowMs() % HOUR_MS)
    assert.equal((await pulls()).size, 0)
    const first = hour()
    await region.call('GET', `/v2/${web}/manifests/${image.digest}`)
    await region.call('GET', `/v2/${web}/manifests/nothing`)
    assert.deepEqual([...(await pulls())], [[image.digest, first]])
    region.advance(HOUR_MS)
    await region.call('HEAD', `/v2/${web}/manifests/v1`)
    const later = await pulls()
    assert.deepEqual([later.get('v1'), later.get(image.digest)], [hour(), hour()])
    // What was deleted between the pull and the writing leaves nothing behind.
    const gone = await pushImage(region, web, 'gone')
    await region.call('GET', `/v2/${web}/manifests/gone`)
    await region.call('DELETE', `/v2/${web}/manifests/gone`)
    assert.equal((await pulls()).has('gone'), false)
    assert.equal((await pulls()).has(gone.digest), true)
  })
})

describe('the trash', () => {
  it('gives quota back at once, and is full at the quota again', async () => {
    const blob = 4_000
    const quotaBytes = 10_000
    const { namespace, id } = await createProject({ quotaBytes })
    const web = `${namespace}/web`
    const used = async () => loadUsage(region.runtime.db.reader, id)
    let statuses: number[] = []
    for (let i = 0; i < 8 && !statuses.includes(403); i++) {
      const content = Buffer.alloc(blob, i + 1)
      const answer = await region.call(
        'POST',
        `/v2/${web}/blobs/uploads/?digest=${digestOf('sha256', content)}`,
        { body: content },
      )
      statuses = [...statuses, answer.status]
      if (answer.status !== 201) {
        assert.equal(answer.code(), 'DENIED')
        assert.match(answer.body.toString(), /trash is full/)
        break
      }
      const layer = { mediaType: 'application/octet-stream', digest: digestOf('sha256', content), size: blob }
      const image = imageManifest(
        { content, digest: layer.digest, mediaType: layer.mediaType, descriptor: layer },
        [],
      )
      const put = await putManifest(region, web, 'v1', image)
      assert.equal(put.status, 201, put.body.toString())
      const full = await used()
      assert.equal((await region.call('DELETE', `/v2/${web}/manifests/${image.digest}`)).status, 202)
      const freed = await used()
      assert.equal((full?.usedBytes ?? 0) - (freed?.usedBytes ?? 0), blob + image.content.byteLength)
      assert.equal((freed?.trashedBytes ?? 0) - (full?.trashedBytes ?? 0), blob + image.content.byteLength)
    }
    assert.deepEqual(statuses, [201, 201, 201, 201, 403])
    const usage = await used()
    assert.ok((usage?.usedBytes ?? 0) + (usage?.trashedBytes ?? 0) <= 2 * quotaBytes)
    // What is there already needs no room.
    assert.equal(
      (await region.call('HEAD', `/v2/${web}/blobs/${digestOf('sha256', Buffer.alloc(blob, 1))}`)).status,
      200,
    )
  })
})

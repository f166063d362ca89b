import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { OCI_IMAGE_MANIFEST } from '@berth/oci/media-type'
import { loadRepository } from '../metastore/queries/browse.ts'
import { restoreTag } from '../metastore/queries/restore-tag.ts'
import { pushImage, pushIndex } from '../../../test/support/console/content.ts'
import type { TestConsole } from '../../../test/support/console/stack.ts'

/** What a region holds, through the console: the same on every metadata database. */
export function describeContent(name: string, open: () => Promise<TestConsole>): void {
  describe(`content on ${name}`, () => {
    let opened: TestConsole
    let projectId: string

    before(async () => {
      opened = await open()
      const body = { name: 'Content', namespace: 'content', publicRepositories: ['open/*'] }
      projectId = (await opened.client.call('projects.create', { body })).id
      await opened.client.call('projects.create', { body: { name: 'Stranger', namespace: 'stranger' } })
    })
    after(() => opened.close())

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code)
        return true
      }
    }

    function near(path: string) {
      return { region: opened.near.control, projectId, path }
    }

    function far(path: string) {
      return { region: opened.far.control, projectId, path }
    }

    const IN_PROJECT = { project: 'content' }

    function at(repository: string) {
      return { ...IN_PROJECT, repository }
    }

    test('repositories are listed over all regions, page by page, each exactly once', async () => {
      for (const path of ['list/b', 'list/a', 'list/c/deep']) await pushImage(near(path))
      for (const path of ['list/a', 'list/z']) await pushImage(far(path))
      const seen: string[] = []
      let cursor: string | null = null
      do {
        const query: { prefix: string; limit: number; cursor?: string } = {
          prefix: 'list/',
          limit: 2,
          ...(cursor === null ? {} : { cursor }),
        }
        const page = await opened.client.call('repositories.list', { params: IN_PROJECT, query })
        OPERATIONS['repositories.list'].response.parse(page)
        seen.push(...page.items.map(({ region, name }) => `${region} ${name}`))
        cursor = page.nextCursor
      } while (cursor !== null)
      assert.deepEqual(seen, ['near list/a', 'near list/b', 'near list/c/deep', 'far list/a', 'far list/z'])
      const query = { region: 'far', prefix: 'list/' }
      const { items } = await opened.client.call('repositories.list', { params: IN_PROJECT, query })
      assert.deepEqual(
        items.map(({ address }) => address),
        ['far.example/content/list/a', 'far.example/content/list/z'],
      )
    })

    test('a repository is found in its only region; in several it must be said which', async () => {
      await pushImage(far('only-far'), { tags: ['latest', 'v1'] })
      const found = await opened.client.call('repositories.show', { params: at('only-far') })
      OPERATIONS['repositories.show'].response.parse(found)
      assert.equal(found.region, 'far')
      assert.deepEqual([found.tagCount, found.manifestCount, found.public], [2, 1, false])
      await pushImage(near('both'))
      await pushImage(far('both'))
      const params = at('both')
      await assert.rejects(opened.client.call('repositories.show', { params }), fails('region_ambiguous'))
      await assert.rejects(opened.client.call('repositories.delete', { params }), fails('region_ambiguous'))
      const named = await opened.client.call('repositories.show', { params, query: { region: 'near' } })
      assert.equal(named.region, 'near')
      const unknown = { params, query: { region: 'moon' } }
      await assert.rejects(opened.client.call('repositories.show', unknown), fails('region_not_found'))
      await pushImage(near('open/web'))
      assert.equal((await opened.client.call('repositories.show', { params: at('open/web') })).public, true)
    })

    test("another project's content does not exist", async () => {
      const { digest } = await pushImage(near('private'), { tags: ['latest'] })
      const params = { project: 'stranger', repository: 'private', tag: 'latest', reference: digest }
      const { project, repository } = params
      const calls = [
        () => opened.client.call('repositories.show', { params: { project, repository } }),
        () => opened.client.call('tags.list', { params: { project, repository } }),
        () => opened.client.call('tags.show', { params: { project, repository, tag: 'latest' } }),
        () => opened.client.call('manifests.show', { params: { project, repository, reference: digest } }),
        () => opened.client.call('manifests.delete', { params: { project, repository, reference: digest } }),
        () => opened.client.call('usage.repository', { params: { project, repository } }),
      ]
      for (const call of calls) await assert.rejects(call(), fails('repository_not_found'))
      const none = await opened.client.call('repositories.list', { params: { project } })
      assert.deepEqual(none.items, [])
    })

    test('tags are listed by name, shown, deleted, and told of in their history', async () => {
      const first = await pushImage(near('tagged'), { tags: ['b', 'a', 'rc-1', 'rc-2'] })
      const second = await pushImage(near('tagged'), { tags: ['a'] })
      const params = at('tagged')
      const page = await opened.client.call('tags.list', { params, query: { limit: 3 } })
      OPERATIONS['tags.list'].response.parse(page)
      assert.deepEqual(
        page.items.map(({ name, digest, version }) => [name, digest, version]),
        [
          ['a', second.digest, 2],
          ['b', first.digest, 1],
          ['rc-1', first.digest, 1],
        ],
      )
      const rest = await opened.client.call('tags.list', { params, query: { cursor: page.nextCursor ?? '' } })
      assert.deepEqual(
        rest.items.map(({ name }) => name),
        ['rc-2'],
      )
      const candidates = await opened.client.call('tags.list', { params, query: { prefix: 'rc-' } })
      assert.equal(candidates.items.length, 2)

      const tag = { ...params, tag: 'a' }
      assert.equal(
        (await opened.client.call('tags.show', { params: tag })).address,
        'near.example:5000/content/tagged:a',
      )
      const deleted = await opened.client.call('tags.delete', { params: tag })
      assert.deepEqual([deleted.digest, deleted.version], [second.digest, 3])
      await assert.rejects(opened.client.call('tags.show', { params: tag }), fails('tag_not_found'))
      await assert.rejects(opened.client.call('tags.delete', { params: tag }), fails('tag_not_found'))
      const history = await opened.client.call('tags.history', { params: tag })
      assert.deepEqual(
        history.items.map(({ version, digest, manifest, actor }) => [version, digest, manifest, actor]),
        [
          [3, null, null, 'operator'],
          [2, second.digest, 'live', 'key-of-a-test'],
          [1, first.digest, 'live', 'key-of-a-test'],
        ],
      )
      const never = { params: { ...params, tag: 'never' } }
      await assert.rejects(opened.client.call('tags.history', never), fails('tag_not_found'))
    })

    test('a deleted tag comes back, and a live one can be moved back to an earlier version', async () => {
      const first = await pushImage(near('restored'), { tags: ['a'] })
      const second = await pushImage(near('restored'), { tags: ['a'] })
      const params = { ...at('restored'), tag: 'a' }
      const undelete = (body: { version?: number }) => opened.client.call('tags.undelete', { params, body })
      await assert.rejects(undelete({}), fails('not_in_trash'))
      const moved = await undelete({ version: 1 })
      assert.deepEqual([moved.digest, moved.version], [first.digest, 3])
      await opened.client.call('tags.delete', { params })
      const back = await undelete({})
      assert.deepEqual([back.digest, back.version], [first.digest, 5])
      await assert.rejects(undelete({ version: 4 }), fails('not_in_trash'))
      await assert.rejects(undelete({ version: 9 }), fails('tag_not_found'))
      const never = { params: { ...params, tag: 'never' }, body: {} }
      await assert.rejects(opened.client.call('tags.undelete', never), fails('tag_not_found'))

      // The tag goes with its manifest, and brings it back.
      const bySecond = await undelete({ version: 2 })
      assert.equal(bySecond.digest, second.digest)
      const reference = { ...at('restored'), reference: second.digest }
      await opened.client.call('manifests.delete', { params: reference })
      await assert.rejects(opened.client.call('tags.show', { params }), fails('tag_not_found'))
      assert.equal((await undelete({})).digest, second.digest)
      assert.equal((await opened.client.call('manifests.show', { params: reference })).deletedAt, null)
    })

    test('a tag that was pushed again while it is restored is left alone', async () => {
      const first = await pushImage(near('raced'), { tags: ['a'] })
      const second = await pushImage(near('raced'), { tags: ['a'] })
      const { db } = opened.near.control
      const repository = await loadRepository(db.reader, projectId, 'raced')
      const origin = { projectId, actor: 'operator', requestId: 'r', nowMs: Date.now() }
      const target = { repositoryId: repository?.id ?? 0, path: 'raced', tag: 'a', digest: first.digest }
      const outcome = await db.run(restoreTag, {
        ...origin,
        ...target,
        fromVersion: 1,
        onlyIfDeleted: true,
        immutable: [],
      })
      assert.deepEqual(outcome, { ok: false, reason: 'not_deleted' })
      const tag = await opened.client.call('tags.show', { params: { ...at('raced'), tag: 'a' } })
      assert.equal(tag.digest, second.digest)
    })

    test('a manifest is shown with its parts, its configuration and what refers to it', async () => {
      const image = await pushImage(near('shown'), { tags: ['latest'], annotations: { title: 'Web' } })
      const subject = { ...image, mediaType: OCI_IMAGE_MANIFEST }
      const artifactType = 'application/vnd.example.sbom'
      for (let i = 0; i < 3; i++) {
        await pushImage(near('shown'), { subject, artifactType, annotations: { n: String(i) } })
      }
      const params = { ...at('shown'), reference: 'latest' }
      const shown = await opened.client.call('manifests.show', { params })
      OPERATIONS['manifests.show'].response.parse(shown)
      assert.equal(shown.digest, image.digest)
      assert.deepEqual(shown.tags, ['latest'])
      assert.deepEqual(shown.annotations, { title: 'Web' })
      assert.deepEqual(
        shown.layers.map(({ digest }) => digest),
        image.layerDigests,
      )
      assert.equal(shown.totalBytes, shown.manifestBytes + (shown.config?.sizeBytes ?? 0) + 300)
      assert.deepEqual(shown.imageConfig?.entrypoint, ['/bin/web'])
      assert.equal(shown.imageConfig?.platform.architecture, 'amd64')
      assert.deepEqual(shown.imageConfig?.exposedPorts, ['80/tcp'])
      assert.equal(shown.referrers.items.length, 3)
      assert.equal(shown.referrers.items[0]?.artifactType, artifactType)
      const byDigest = { ...at('shown'), reference: image.digest }
      const query = { limit: 2 }
      const page = await opened.client.call('manifests.referrers', { params: byDigest, query })
      assert.equal(page.items.length, 2)
      assert.notEqual(page.nextCursor, null)
      const wrong = { params: { ...at('shown'), reference: 'nothing' } }
      await assert.rejects(opened.client.call('manifests.show', wrong), fails('manifest_not_found'))
    })

    test('an index is shown with its platforms, and keeps what it lists from being deleted', async () => {
      const images = [await pushImage(near('multi')), await pushImage(near('multi'))]
      const index = await pushIndex(near('multi'), images, ['latest'])
      const shown = await opened.client.call('manifests.show', {
        params: { ...at('multi'), reference: 'latest' },
      })
      assert.equal(shown.kind, 'index')
      assert.deepEqual(
        shown.manifests.map(({ platform }) => platform?.architecture),
        ['amd64', 'arm64'],
      )
      const child = { params: { ...at('multi'), reference: images[0]?.digest ?? '' } }
      await assert.rejects(opened.client.call('manifests.delete', child), fails('manifest_in_use'))
      await opened.client.call('manifests.delete', { params: { ...at('multi'), reference: index.digest } })
      await opened.client.call('manifests.delete', child)
      // What the index lists comes back with it.
      const restore = { params: { ...at('multi'), reference: index.digest } }
      const restored = await opened.client.call('manifests.undelete', restore)
      assert.deepEqual(restored.tags, ['latest'])
      assert.equal((await opened.client.call('manifests.show', child)).deletedAt, null)
    })

    test('a deleted manifest is in the trash, can be seen there, and restored', async () => {
      const image = await pushImage(near('trash'), { tags: ['x', 'y'] })
      const params = { ...at('trash'), reference: image.digest }
      const deleted = await opened.client.call('manifests.delete', { params })
      assert.deepEqual([...deleted.deletedTags].sort(), ['x', 'y'])
      const trashed = await opened.client.call('manifests.list', {
        params: at('trash'),
        query: { state: 'trashed' },
      })
      assert.deepEqual(
        trashed.items.map(({ digest, purgeAt }) => [digest, purgeAt]),
        [[image.digest, deleted.purgeAt]],
      )
      assert.deepEqual((await opened.client.call('manifests.list', { params: at('trash') })).items, [])
      await assert.rejects(opened.client.call('manifests.delete', { params }), fails('manifest_not_found'))
      const restored = await opened.client.call('manifests.undelete', { params })
      assert.equal(restored.deletedAt, null)
      await assert.rejects(opened.client.call('manifests.undelete', { params }), fails('not_in_trash'))
      const byTag = { params: { ...at('trash'), reference: 'x' } }
      await assert.rejects(opened.client.call('manifests.delete', byTag), fails('validation_failed'))
    })

    test('a deleted repository is empty and off the list, and its tags come back one by one', async () => {
      const usedBefore = await used()
      await pushImage(near('deleted'), { tags: ['a', 'b'] })
      await pushImage(near('deleted'), { tags: ['c'] })
      const params = at('deleted')
      const deleted = await opened.client.call('repositories.delete', { params })
      OPERATIONS['repositories.delete'].response.parse(deleted)
      assert.deepEqual([deleted.deletedTags, deleted.trashedManifests], [3, 2])
      const names = async (query: object) =>
        (await opened.client.call('repositories.list', { params: IN_PROJECT, query })).items.map(
          ({ name }) => name,
        )
      assert.deepEqual(await names({ prefix: 'deleted' }), [])
      assert.deepEqual(await names({ prefix: 'deleted', state: 'all' }), ['deleted'])
      const tasks = await opened.near.control.db.reader
        .selectFrom('gc_task')
        .selectAll()
        .where('kind', '=', 'purge_manifest')
        .where('due_at', '=', Date.parse(deleted.purgeAt))
        .execute()
      assert.equal(tasks.length, 2)
      // Everything stays until its time is over, and counts as trash from now on.
      assert.equal(await used(), usedBefore)
      const tag = await opened.client.call('tags.undelete', { params: { ...params, tag: 'a' }, body: {} })
      assert.equal(tag.version, 3)
      assert.deepEqual(await names({ prefix: 'deleted' }), ['deleted'])
    })

    async function used(): Promise<number> {
      const { regions } = await opened.client.call('usage.project', { params: IN_PROJECT })
      return regions.find(({ region }) => region === 'near')?.usedBytes ?? 0
    }

    test('usage tells what a repository holds alone, and what it shares', async () => {
      const shared = randomBytes(1000)
      const usedBefore = await used()
      const one = await pushImage(near('usage/one'), { layers: [shared, randomBytes(50)] })
      const two = await pushImage(near('usage/two'), { layers: [shared, randomBytes(70)] })
      const usage = await opened.client.call('usage.repository', { params: at('usage/one') })
      OPERATIONS['usage.repository'].response.parse(usage)
      assert.equal(usage.uniqueBytes, 50 + one.sizeBytes)
      const configBytes = usage.sharedBytes - 1000
      assert.ok(configBytes > 0)
      assert.equal(await used(), usedBefore + 1000 + 50 + 70 + one.sizeBytes + two.sizeBytes)
      const { items } = await opened.client.call('usage.repositories', {
        params: IN_PROJECT,
        query: { limit: 500 },
      })
      const second = items.find(({ name }) => name === 'usage/two')
      assert.deepEqual([second?.uniqueBytes, second?.sharedBytes], [70 + two.sizeBytes, 1000 + configBytes])
    })

    test('what a push and the console changed is in one audit log, newest first, page by page', async () => {
      await pushImage(near('audit'), { tags: ['a'] })
      await pushImage(far('audit'), { tags: ['a'] })
      const query = { region: 'near' }
      await opened.client.call('tags.delete', { params: { ...at('audit'), tag: 'a' }, query })
      await opened.client.call('projects.update', { params: IN_PROJECT, body: { name: 'Audited' } })
      const all: { id: string; at: string; source: string; action: string }[] = []
      let cursor: string | null = null
      do {
        const page: { items: typeof all; nextCursor: string | null } = await opened.client.call(
          'auditEvents.list',
          {
            params: IN_PROJECT,
            query: { limit: 7, ...(cursor === null ? {} : { cursor }) },
          },
        )
        all.push(...page.items)
        cursor = page.nextCursor
      } while (cursor !== null)
      assert.equal(new Set(all.map(({ id }) => id)).size, all.length)
      assert.deepEqual(
        all.map(({ at: moment }) => moment),
        all
          .map(({ at: moment }) => moment)
          .sort()
          .reverse(),
      )
      assert.deepEqual([...new Set(all.map(({ source }) => source))].sort(), ['control', 'far', 'near'])
      const tags = await opened.client.call('auditEvents.list', {
        params: IN_PROJECT,
        query: { action: 'tag' },
      })
      assert.deepEqual([...new Set(tags.items.map(({ action }) => action))].sort(), [
        'tag.delete',
        'tag.undelete',
      ])
      const fromFar = await opened.client.call('auditEvents.list', {
        params: IN_PROJECT,
        query: { source: 'far' },
      })
      assert.ok(fromFar.items.every(({ source }) => source === 'far'))
      assert.ok(fromFar.items.length > 0)
    })

    test('garbage collection is shown, previewed and run through the console', async () => {
      const status = await opened.client.call('gc.status', {})
      OPERATIONS['gc.status'].response.parse(status)
      assert.deepEqual(
        status.regions.map(({ region }) => region),
        ['near', 'far'],
      )
      assert.ok((status.regions[0]?.waitingTasks ?? 0) > 0)
      const preview = await opened.client.call('gc.run', { body: { dryRun: true } })
      OPERATIONS['gc.run'].response.parse(preview)
      assert.deepEqual([opened.near.collector.calls.length, opened.far.collector.calls.length], [0, 0])
      const report = await opened.client.call('gc.run', { body: { region: 'far', force: true } })
      assert.equal(report.regions[0]?.result?.trashedBlobs, 1)
      assert.deepEqual([opened.near.collector.calls, opened.far.collector.calls], [[], [{ force: true }]])
      opened.near.collector.isBusy = true
      await assert.rejects(opened.client.call('gc.run', { body: { region: 'near' } }), fails('gc_running'))
    })
  })
}

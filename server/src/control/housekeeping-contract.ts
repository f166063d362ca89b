import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import type { policiesUpdate, RetentionVerdict } from '@berth/api/policies'
import { OCI_IMAGE_MANIFEST } from '@berth/oci/media-type'
import type { z } from 'zod'
import { pushImage, pushIndex } from '../../../test/support/console/content.ts'
import type { TestConsole } from '../../../test/support/console/stack.ts'
import { loadRepository } from '../metastore/queries/browse.ts'
import { holdImage } from '../metastore/queries/image-hold.ts'
import { recordPulls } from '../metastore/queries/last-pull.ts'

const DAY_MS = 24 * 3_600_000

/** What a project keeps of its images, through the console: the same on every metadata database. */
export function describeHousekeeping(name: string, open: () => Promise<TestConsole>): void {
  describe(`housekeeping on ${name}`, () => {
    let opened: TestConsole
    let projectId: string
    const params = { project: 'house' }

    before(async () => {
      opened = await open()
      const body = { name: 'House', namespace: 'house' }
      projectId = (await opened.client.call('projects.create', { body })).id
    })
    after(() => opened.close())

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code, error.message)
        return true
      }
    }

    /** A repository, as it was so many days ago. */
    function near(path: string, daysAgo = 0) {
      const { control } = opened.near
      const nowMs = async () => Date.now() - daysAgo * DAY_MS
      const db = new Proxy(control.db, {
        get(target, key) {
          if (key === 'nowMs') return nowMs
          const value: unknown = Reflect.get(target, key)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
      return { region: { ...control, db }, projectId, path }
    }

    const at = (repository: string) => ({ ...params, repository })

    async function repositoryId(path: string): Promise<number> {
      return (await loadRepository(opened.near.control.db.reader, projectId, path))?.id ?? 0
    }

    async function bytes() {
      const { regions } = await opened.client.call('usage.project', { params })
      const region = regions.find((each) => each.region === 'near')
      return { used: region?.usedBytes ?? 0, trash: region?.trashBytes ?? 0 }
    }

    async function pull(path: string, reference: string, daysAgo: number): Promise<void> {
      const pulledAt = Date.now() - daysAgo * DAY_MS
      const pulls = [{ repositoryId: await repositoryId(path), reference, pulledAt }]
      await opened.near.control.db.run(recordPulls, { pulls })
    }

    const setPolicies = (body: z.input<typeof policiesUpdate>) =>
      opened.client.call('policies.update', { params, body })

    test('rules about images are empty at first, change one by one, and are checked', async () => {
      const none = await opened.client.call('policies.show', { params })
      assert.deepEqual(none, { immutableTags: [], retention: null })
      await setPolicies({ retention: { rules: [{ name: 'Ten', keepLast: 10 }] } })
      const changed = await setPolicies({ immutableTags: [{ tags: ['v*'] }] })
      OPERATIONS['policies.update'].response.parse(changed)
      assert.deepEqual(changed.immutableTags, [{ repositories: ['**'], tags: ['v*'] }])
      assert.equal(changed.retention?.rules[0]?.keepLast, 10)
      const known = await opened.far.access.projectByNamespace('house')
      assert.deepEqual(known?.immutableIn('any/thing'), [['v*']])
      for (const body of [
        {},
        { immutableTags: [{ tags: ['!v*'] }] },
        { immutableTags: [{ tags: ['a b'] }] },
        { immutableTags: [{ repositories: ['../*'], tags: ['*'] }] },
        { retention: { rules: [{ name: 'Keeps nothing' }] } },
        { retention: { untagged: [{ afterDays: 0 }] } },
      ])
        await assert.rejects(setPolicies(body as never), fails('validation_failed'), JSON.stringify(body))
      const cleared = await setPolicies({ immutableTags: [], retention: null })
      assert.deepEqual(cleared, none)
    })

    test('an immutable tag is neither moved nor deleted, in whatever way, until the rule changes', async () => {
      const first = await pushImage(near('fixed'), { tags: ['v1'] })
      const second = await pushImage(near('fixed'), { tags: ['v1', 'latest'] })
      const { client } = opened
      await setPolicies({ immutableTags: [{ repositories: ['fixed'], tags: ['v*'] }] })
      const tag = { params: { ...at('fixed'), tag: 'v1' } }
      assert.equal((await client.call('tags.show', tag)).immutable, true)
      const byDigest = { params: { ...at('fixed'), reference: second.digest } }
      await assert.rejects(client.call('tags.delete', tag), fails('tag_immutable'))
      await assert.rejects(client.call('manifests.delete', byDigest), fails('tag_immutable'))
      await assert.rejects(
        client.call('repositories.delete', { params: at('fixed') }),
        fails('tag_immutable'),
      )
      const back = { ...tag, body: { version: 1 } }
      await assert.rejects(client.call('tags.undelete', back), fails('tag_immutable'))
      await client.call('tags.delete', { params: { ...at('fixed'), tag: 'latest' } })
      assert.equal((await client.call('tags.show', tag)).version, 2)
      await setPolicies({ immutableTags: [] })
      assert.equal((await client.call('tags.undelete', back)).digest, first.digest)
      await client.call('repositories.delete', { params: at('fixed') })
    })

    test('an image in use is not deleted, and says who needs it', async () => {
      const image = await pushImage(near('held'), { tags: ['a'] })
      const hold = { repositoryId: await repositoryId('held'), digest: image.digest }
      await opened.near.control.db.run(holdImage, { ...hold, reason: 'release 7 of app web', nowMs: 1 })
      const byDigest = { params: { ...at('held'), reference: image.digest } }
      assert.deepEqual((await opened.client.call('manifests.show', byDigest)).heldBy, [
        'release 7 of app web',
      ])
      await assert.rejects(opened.client.call('manifests.delete', byDigest), (error: unknown) => {
        assert.match(String(error), /release 7 of app web/)
        return fails('image_in_use')(error)
      })
      const repository = { params: at('held') }
      await assert.rejects(opened.client.call('repositories.delete', repository), fails('image_in_use'))
    })

    test('the last pull is shown for tags and manifests', async () => {
      const image = await pushImage(near('pulled'), { tags: ['a', 'b'] })
      await pull('pulled', 'a', 1)
      await pull('pulled', image.digest, 0)
      await pull('pulled', image.digest, 3)
      const { items } = await opened.client.call('tags.list', { params: at('pulled') })
      OPERATIONS['tags.list'].response.parse({ items, nextCursor: null })
      assert.notEqual(items[0]?.lastPulledAt, null)
      assert.equal(items[1]?.lastPulledAt, null)
      const shown = await opened.client.call('manifests.show', {
        params: { ...at('pulled'), reference: 'b' },
      })
      assert.ok(Date.now() - Date.parse(shown.lastPulledAt ?? '') < DAY_MS, 'the later one counts')
    })

    test('what a deletion would free is what it does free', async () => {
      const { client } = opened
      const shared = randomBytes(5_000)
      const one = await pushImage(near('frees/one'), { layers: [shared, randomBytes(300)], tags: ['a', 'b'] })
      const two = await pushImage(near('frees/one'), { layers: [shared, randomBytes(40)] })
      const index = await pushIndex(near('frees/one'), [one, two], ['multi'])
      const subject = { ...index, mediaType: OCI_IMAGE_MANIFEST }
      await pushImage(near('frees/one'), { subject, layers: [randomBytes(17)] })
      await pushImage(near('frees/two'), { layers: [shared, randomBytes(8)], tags: ['x'] })
      const show = (reference: string) =>
        client.call('manifests.show', { params: { ...at('frees/one'), reference } })

      const { frees } = await show(index.digest)
      // The first image has tags of its own, so the second and the referrer are what only the index needs.
      assert.equal(frees.parts, 2)
      assert.equal(frees.bytes, index.sizeBytes)
      const tag = { params: { ...at('frees/one'), tag: 'multi' } }
      const shownTag = await client.call('tags.show', tag)
      assert.deepEqual([shownTag.freedBytes, shownTag.keptBy], [frees.withPartsBytes, null])
      const twoTags = await client.call('tags.show', { params: { ...at('frees/one'), tag: 'a' } })
      assert.equal(twoTags.freedBytes, 0)
      assert.notEqual(twoTags.keptBy, null)
      const before = await bytes()
      const deleted = await client.call('manifests.delete', {
        params: { ...at('frees/one'), reference: index.digest },
        query: { parts: 'delete' },
      })
      OPERATIONS['manifests.delete'].response.parse(deleted)
      assert.equal(deleted.deletedParts.length, 2)
      const after = await bytes()
      assert.equal(before.used - after.used, frees.withPartsBytes)
      assert.equal(after.trash - before.trash, frees.withPartsBytes)
      assert.equal((await show(two.digest)).frees.bytes, 0, 'it is in the trash already')

      const usage = await client.call('usage.repository', { params: at('frees/one') })
      assert.equal(
        (await client.call('repositories.show', { params: at('frees/one') })).freedBytes,
        usage.freedBytes,
      )
      await client.call('repositories.delete', { params: at('frees/one') })
      assert.equal(after.used - (await bytes()).used, usage.freedBytes)
      const last = await client.call('usage.repository', { params: at('frees/two') })
      assert.ok(last.freedBytes > 5_000, 'what both had is only here now')

      // Everything that went together comes back together, with its tags.
      await client.call('manifests.undelete', { params: { ...at('frees/one'), reference: index.digest } })
      assert.equal((await client.call('tags.show', tag)).digest, index.digest)
      const { items } = await client.call('manifests.referrers', {
        params: { ...at('frees/one'), reference: index.digest },
      })
      assert.equal(items.length, 1)
    })

    test('the trash lists what can be restored, with the tags that it had', async () => {
      const image = await pushImage(near('bin'), { tags: ['b', 'a'] })
      await opened.client.call('manifests.delete', { params: { ...at('bin'), reference: image.digest } })
      const page = await opened.client.call('trash.list', { params: at('bin') })
      OPERATIONS['trash.list'].response.parse(page)
      assert.deepEqual(
        page.items.map(({ digest, tags }) => [digest, tags]),
        [[image.digest, ['a', 'b']]],
      )
      await pushImage(near('bin'), { tags: ['b'] })
      const restored = await opened.client.call('manifests.undelete', {
        params: { ...at('bin'), reference: image.digest },
      })
      assert.deepEqual(restored.tags, ['a'], 'a tag that was pushed again is left alone')
      assert.deepEqual((await opened.client.call('trash.list', { params: at('bin') })).items, [])
      const wrong = { params, body: { confirm: 'other' } }
      await assert.rejects(opened.client.call('trash.purge', wrong), fails('confirmation_required'))
      const purged = await opened.client.call('trash.purge', {
        params,
        body: { confirm: 'house', region: 'far' },
      })
      OPERATIONS['trash.purge'].response.parse(purged)
    })

    async function preview(query: { limit?: number; repository?: string; show?: 'removed' | 'kept' }) {
      const all: RetentionVerdict[] = []
      let cursor: string | null = null
      do {
        const page: { items: RetentionVerdict[]; nextCursor: string | null } = await opened.client.call(
          'retention.preview',
          { params, query: { ...query, ...(cursor === null ? {} : { cursor }) } },
        )
        all.push(...page.items)
        cursor = page.nextCursor
      } while (cursor !== null)
      return all
    }

    test('retention removes what a rule is about and none keeps, says why, and it comes back', async () => {
      const images = new Map<string, { digest: string }>()
      const ages = { t1: 40, t2: 30, t3: 20, t4: 12, t5: 5, pulled: 50, v1: 60, dev: 70, held: 80 }
      for (const [tag, age] of Object.entries(ages))
        images.set(tag, await pushImage(near('kept/app', age), { tags: [tag] }))
      const digestOf = (tag: string) => images.get(tag)?.digest ?? ''
      await pushImage(near('kept/app', 45), { tags: [`sha256-${digestOf('t1').slice(7)}.sig`] })
      await pull('kept/app', digestOf('pulled'), 2)
      await pull('kept/app', digestOf('t2'), 20)
      const hold = { repositoryId: await repositoryId('kept/app'), digest: digestOf('held') }
      await opened.near.control.db.run(holdImage, { ...hold, reason: 'release 1 of app', nowMs: 1 })
      await setPolicies({
        immutableTags: [{ tags: ['v*'] }],
        retention: {
          rules: [
            {
              name: 'Two',
              repositories: ['kept/*'],
              tags: ['*', '!dev'],
              keepLast: 2,
              keepPulledWithinDays: 7,
            },
            { name: 'Third', repositories: ['kept/*'], tags: ['t3'], keepPushedWithinDays: 25 },
          ],
        },
      })
      const verdicts = await preview({ limit: 500 })
      assert.deepEqual(
        verdicts.map(({ tag, keep, rule, reason }) => [tag?.slice(0, 7), keep, rule, reason]),
        [
          ['dev', true, null, 'no rule is about it'],
          ['held', true, null, 'its image is in use: release 1 of app'],
          ['pulled', true, 'Two', 'pulled 2 days ago'],
          ['sha256-', true, null, `it belongs to ${digestOf('t1')} and goes with that`],
          ['t1', false, 'Two', 'not among the last 2, pushed 40 days ago, never pulled'],
          ['t2', false, 'Two', 'not among the last 2, pushed 30 days ago, pulled 20 days ago'],
          ['t3', true, 'Third', 'pushed 20 days ago'],
          ['t4', true, 'Two', 'among the last 2'],
          ['t5', true, 'Two', 'among the last 2'],
          ['v1', true, null, 'it is immutable by a rule of the project'],
        ],
      )
      assert.deepEqual(await preview({ limit: 1 }), verdicts)
      const removed = await preview({ limit: 1, show: 'removed', repository: 'kept/app' })
      assert.deepEqual(
        removed.map(({ tag }) => tag),
        ['t1', 't2'],
      )
      const run = (dryRun: boolean) =>
        opened.client.call('retention.run', { params, body: { region: 'near', dryRun } })
      const forecast = (await run(true)).regions[0]?.forecast
      const before = await bytes()
      const report = await run(false)
      OPERATIONS['retention.run'].response.parse(report)
      assert.deepEqual(report.regions[0]?.result, { removedTags: 2, removedManifests: 3, detail: null })
      assert.deepEqual([forecast?.removedTags, forecast?.removedManifests, forecast?.keptTags], [2, 3, 8])
      assert.equal(before.used - (await bytes()).used, forecast?.freedBytes)
      const left = await opened.client.call('tags.list', { params: at('kept/app') })
      assert.deepEqual(
        left.items.map((each) => each.name),
        ['dev', 'held', 'pulled', 't3', 't4', 't5', 'v1'],
      )
      const status = await opened.client.call('retention.status', { params })
      assert.deepEqual([status.regions[0]?.outcome, status.regions[0]?.removedTags], ['done', 2])
      const events = await opened.client.call('auditEvents.list', { params, query: { action: 'tag.delete' } })
      assert.deepEqual(
        events.items.filter(({ actor }) => actor === 'retention').map(({ target }) => target),
        ['kept/app:t2', 'kept/app:t1'],
      )
      await opened.client.call('tags.undelete', { params: { ...at('kept/app'), tag: 't1' }, body: {} })
      const signature = `sha256-${digestOf('t1').slice(7)}.sig`
      await opened.client.call('tags.show', { params: { ...at('kept/app'), tag: signature } })
    })

    test('retention removes untagged manifests that nothing needs', async () => {
      const old = await pushImage(near('loose', 40))
      const recent = await pushImage(near('loose', 3))
      const child = await pushImage(near('loose', 40))
      const index = await pushIndex(near('loose', 40), [child], ['multi'])
      const subject = { ...index, mediaType: OCI_IMAGE_MANIFEST }
      const referrer = await pushImage(near('loose', 40), { subject })
      const moved = await pushImage(near('loose', 40), { tags: ['latest'] })
      await pushImage(near('loose', 1), { tags: ['latest'] })
      const pulled = await pushImage(near('loose', 40))
      await pull('loose', pulled.digest, 5)
      await setPolicies({
        retention: { rules: [], untagged: [{ repositories: ['loose'], afterDays: 30 }] },
      })
      const verdicts = await preview({ repository: 'loose' })
      const by = new Map(verdicts.map((verdict) => [verdict.digest, verdict]))
      assert.equal(by.size, 6)
      assert.deepEqual(
        [old, recent, child, referrer, moved, pulled].map(({ digest }) => by.get(digest)?.keep),
        [false, true, true, true, true, true],
      )
      assert.equal(by.get(child.digest)?.reason, `needed by the index ${index.digest}`)
      assert.equal(by.get(referrer.digest)?.reason, `needed by its subject ${index.digest}`)
      assert.match(by.get(moved.digest)?.reason ?? '', /for 1 day$/, 'since it lost its tag')
      const report = await opened.client.call('retention.run', { params, body: { region: 'near' } })
      assert.deepEqual(report.regions[0]?.result, { removedTags: 0, removedManifests: 1, detail: null })
      const trash = await opened.client.call('trash.list', { params: at('loose') })
      assert.deepEqual(
        trash.items.map(({ digest }) => digest),
        [old.digest],
      )
    })
  })
}

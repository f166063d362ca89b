import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApiError } from '@berth/api/errors'
import { pushImage } from '../../../../test/support/console/content.ts'
import { collectGarbage } from '../../../../test/support/console/garbage.ts'
import { addPerson, callAs } from '../../../../test/support/console/members.ts'
import {
  NAMESPACE_RESERVATION_MS,
  OPERATOR_TOKEN,
  type TestConsole,
} from '../../../../test/support/console/stack.ts'
import { createConsole } from '../console.ts'

/** Namespaces, who has them and when they come free: the same on every metadata database. */
export function describeNamespaces(name: string, open: () => Promise<TestConsole>): void {
  describe(`namespaces on ${name}`, () => {
    let opened: TestConsole

    before(async () => {
      opened = await open()
    })
    after(() => opened.close())

    async function check(namespace: string) {
      const { available, reason } = await opened.client.call('namespaces.check', { params: { namespace } })
      return available ? 'available' : reason
    }

    async function create(namespace: string, more: object = {}) {
      return opened.client.call('projects.create', { body: { name: namespace, namespace, ...more } })
    }

    async function remove(namespace: string) {
      const params = { project: namespace }
      return opened.client.call('projects.delete', { params, query: { confirm: namespace } })
    }

    function isTaken(error: unknown): boolean {
      return error instanceof ApiError && error.code === 'namespace_taken'
    }

    test('a namespace is checked while somebody types, with no more than taken or not', async () => {
      assert.equal(await check('free-one'), 'available')
      const { id } = await create('mine-now')
      assert.equal(await check('mine-now'), 'taken')
      assert.equal(await check(id), 'taken')
      assert.equal(await check('v2'), 'reserved')
      for (const typed of ['x', 'Upper', 'a--b', 'a/b', '-', 'with space', 'a'.repeat(64)]) {
        assert.equal(await check(typed), 'invalid', typed)
      }
      const person = await addPerson(opened, 'Typist')
      const mine = await callAs(opened, person, 'namespaces.check', { params: { namespace: 'mine-now' } })
      assert.deepEqual([mine.available, mine.reason], [false, 'taken'])
    })

    test('the namespace of a deleted project is reserved, then free, and is another project then', async () => {
      const old = await create('comes-back')
      const key = await opened.client.call('apiKeys.create', {
        params: { project: 'comes-back' },
        body: { name: 'old' },
      })
      await remove('comes-back')
      assert.equal(await check('comes-back'), 'taken')
      opened.advance(NAMESPACE_RESERVATION_MS - 60_000)
      assert.equal(await check('comes-back'), 'taken')
      await assert.rejects(create('comes-back'), isTaken)
      opened.advance(120_000)
      assert.equal(await check('comes-back'), 'available')
      const fresh = await create('comes-back')
      assert.notEqual(fresh.id, old.id)
      for (const region of [opened.near, opened.far]) {
        assert.equal((await region.access.projectByNamespace('comes-back'))?.id, fresh.id)
        assert.equal(await region.access.project(old.id as never), null)
        // Whoever still has the old key gets nothing of the new owner's.
        const authorization = `Basic ${Buffer.from(`api:${key.key}`).toString('base64')}`
        const answer = await region.access.authenticate({ authorization, clientAddress: '192.0.2.1' })
        assert.equal(answer.ok, false)
      }
      await assert.rejects(
        opened.client.call('projects.show', { params: { project: old.id } }),
        (error) => error instanceof ApiError && error.code === 'project_not_found',
      )
      const { items } = await opened.client.call('auditEvents.listAll', {
        query: { action: 'project.release_namespace', limit: 500 },
      })
      assert.equal(items.filter(({ target }) => target === 'comes-back').length, 1)
      await remove('comes-back')
      assert.equal(await check('comes-back'), 'taken')
    })

    test('of many who want a namespace that came free exactly one gets it', async () => {
      await create('contested')
      await remove('contested')
      opened.advance(NAMESPACE_RESERVATION_MS + 1)
      const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => create('contested')))
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
      assert.equal(await check('contested'), 'taken')
    })

    test('a namespace that anyone could pull from is never given away', async () => {
      await create('was-open')
      const params = { project: 'was-open' }
      await opened.client.call('projects.update', { params, body: { publicRepositories: ['docs'] } })
      await opened.client.call('projects.update', { params, body: { publicRepositories: [] } })
      await create('opened-at-once', { publicRepositories: ['**'] })
      for (const namespace of ['was-open', 'opened-at-once']) await remove(namespace)
      opened.advance(10 * NAMESPACE_RESERVATION_MS)
      for (const namespace of ['was-open', 'opened-at-once']) {
        assert.equal(await check(namespace), 'taken')
        await assert.rejects(create(namespace), isTaken)
      }
    })

    test('a namespace is not given away while anything of its project is left in a region', async () => {
      const { id } = await create('leftovers')
      await pushImage({ region: opened.far.control, projectId: id, path: 'web' }, { tags: ['latest'] })
      await remove('leftovers')
      opened.advance(NAMESPACE_RESERVATION_MS + 1)
      assert.equal(await check('leftovers'), 'taken')
      await assert.rejects(create('leftovers'), isTaken)
      await collectGarbage(opened, opened.far.control)
      assert.equal(await check('leftovers'), 'available')
      const { id: newId } = await create('leftovers')
      const { items } = await opened.client.call('repositories.list', { params: { project: newId } })
      assert.deepEqual(items, [])
    })

    test('nor while a region is out of the configuration and cannot be asked', async () => {
      await create('unasked')
      await remove('unasked')
      opened.advance(NAMESPACE_RESERVATION_MS + 1)
      const app = await createConsole({
        ...opened.runtime,
        regions: new Map([['near', opened.near.control]]),
      })
      const response = await app.inject({
        url: '/api/v1/namespaces/unasked',
        headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
      })
      await app.close()
      assert.equal(response.json<{ reason: string }>().reason, 'taken')
      assert.equal(await check('unasked'), 'available')
    })
  })
}

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { DatabaseUnavailableError } from '../../metastore/database.ts'
import { noteKeyExpiry } from '../../metastore/queries/api-key-expiry.ts'
import { createConsole } from '../console.ts'
import { OPERATOR_TOKEN, type TestConsole } from '../../../../test/support/console/stack.ts'

/** API keys, through the console: the same on every metadata database. */
export function describeApiKeys(name: string, open: () => Promise<TestConsole>): void {
  describe(`API keys on ${name}`, () => {
    let opened: TestConsole
    const PROJECT = { project: 'keys' }

    before(async () => {
      opened = await open()
      await opened.client.call('projects.create', { body: { name: 'Keys', namespace: 'keys' } })
      await opened.client.call('projects.create', { body: { name: 'Other', namespace: 'other' } })
    })
    after(() => opened.close())

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code)
        return true
      }
    }

    /** Whether a region's replica takes the key as a Basic password. */
    async function works(key: string, region: 'near' | 'far' = 'near'): Promise<boolean> {
      const authorization = `Basic ${Buffer.from(`api:${key}`).toString('base64')}`
      const answer = await opened[region].access.authenticate({ authorization, clientAddress: '192.0.2.1' })
      return answer.ok
    }

    async function createKey(name: string, more: object = {}) {
      return opened.client.call('apiKeys.create', { params: PROJECT, body: { name, ...more } })
    }

    test('a key is shown once, works everywhere at once, and is nowhere in clear', async () => {
      const created = await createKey('ci')
      OPERATIONS['apiKeys.create'].response.parse(created)
      assert.match(created.key, /^brth_k_[0-9a-z]{12}_[0-9A-Za-z]{49}$/)
      assert.deepEqual(created.actions, ['pull', 'push'])
      assert.deepEqual(created.repositories, ['**'])
      assert.deepEqual(
        created.login.map(({ region, command }) => [region, command]),
        [
          ['near', 'docker login near.example:5000 -u api'],
          ['far', 'docker login far.example -u api'],
          [null, 'docker login registry.example -u api'],
        ],
      )
      assert.equal(await works(created.key, 'near'), true)
      assert.equal(await works(created.key, 'far'), true)

      const secret = created.key.split('_')[3] ?? ''
      const shown = await opened.client.call('apiKeys.show', { params: { ...PROJECT, key: created.id } })
      const listed = await opened.client.call('apiKeys.list', { params: PROJECT })
      const audited = await opened.client.call('auditEvents.listAll', { query: { limit: 500 } })
      const rows = await opened.runtime.db.reader.selectFrom('api_key').selectAll().execute()
      for (const text of [JSON.stringify([shown, listed, audited, rows]), opened.logged()]) {
        assert.equal(text.includes(secret), false)
        assert.equal(text.includes(OPERATOR_TOKEN), false)
      }
    })

    test('without a host for all regions there is no command for one', async () => {
      const app = await createConsole({ ...opened.runtime, sharedHost: null })
      const response = await app.inject({
        method: 'POST',
        url: '/api/v1/projects/keys/api-keys',
        headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
        payload: { name: 'no shared host' },
      })
      const { login } = OPERATIONS['apiKeys.create'].response.parse(response.json())
      assert.deepEqual(
        login.map(({ region }) => region),
        ['near', 'far'],
      )
      await app.close()
    })

    test('the scope of a key is checked and kept', async () => {
      const scope = {
        actions: ['pull', 'delete', 'pull'],
        repositories: ['web/**'],
        regions: ['far'],
        cidrs: ['10.0.0.0/8', '2001:db8::1'],
        expiresAt: '2100-01-01T01:00:00+01:00',
      }
      const created = await createKey('scoped', scope)
      assert.deepEqual(created.actions, ['pull', 'delete'])
      assert.equal(created.expiresAt, '2100-01-01T00:00:00.000Z')
      assert.deepEqual(
        created.login.map(({ region }) => region),
        ['far'],
      )
      await assert.rejects(createKey('x', { regions: ['moon'] }), fails('region_not_found'))
      for (const wrong of [
        { actions: [] },
        { actions: ['own'] },
        { repositories: [] },
        { repositories: ['a**'] },
        { cidrs: ['10.0.0.0/33'] },
        { cidrs: ['example.org'] },
        { expiresAt: '2001-01-01T00:00:00Z' },
        { expiresAt: 'tomorrow' },
      ]) {
        await assert.rejects(createKey('x', wrong), fails('validation_failed'), JSON.stringify(wrong))
      }
    })

    test('after a revocation no region takes the key, and repeating it is safe', async () => {
      const { key, id } = await createKey('to revoke')
      assert.equal(await works(key), true)
      const params = { ...PROJECT, key: id }
      const revoked = await opened.client.call('apiKeys.revoke', { params })
      assert.equal(await works(key, 'near'), false)
      assert.equal(await works(key, 'far'), false)
      assert.equal(revoked.state, 'revoked')
      assert.equal(revoked.propagation.replicas, 2)
      assert.ok(revoked.propagation.tookMs > 0)
      const again = await opened.client.call('apiKeys.revoke', { params })
      assert.equal(again.revokedAt, revoked.revokedAt)
      await assert.rejects(
        opened.client.call('apiKeys.rotate', { params, body: {} }),
        fails('api_key_inactive'),
      )
      const { items } = await opened.client.call('auditEvents.list', {
        params: PROJECT,
        query: { action: 'api_key.revoke' },
      })
      assert.equal(items.filter(({ target }) => target === id).length, 1)
    })

    test('a revocation that a region could not confirm is no success, and succeeds when repeated', async () => {
      const { key, id } = await createKey('revoked during an outage')
      const { runtime } = opened
      const app = await createConsole({
        ...runtime,
        revocation: { waitUntilApplied: async () => ({ replicas: 1, pendingRegions: ['far'] }) },
      })
      const response = await app.inject({
        method: 'DELETE',
        url: `/api/v1/projects/keys/api-keys/${id}`,
        headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
      })
      assert.equal(response.statusCode, 503)
      assert.equal(response.json<{ code: string }>().code, 'not_everywhere_yet')
      assert.match(response.body, /far/)
      await app.close()
      await opened.client.call('apiKeys.revoke', { params: { ...PROJECT, key: id } })
      assert.equal(await works(key, 'far'), false)
    })

    test('a rotation overlaps for as long as asked, and its end comes at once', async () => {
      const { key: first, id } = await createKey('to rotate')
      const params = { ...PROJECT, key: id }
      const second = await opened.client.call('apiKeys.rotate', { params, body: { overlapSeconds: 60 } })
      assert.equal(second.id, id)
      assert.equal(second.version, 2)
      assert.notEqual(second.key, first)
      assert.notEqual(second.overlapEndsAt, null)
      assert.deepEqual([await works(first), await works(second.key)], [true, true])

      const third = await opened.client.call('apiKeys.rotate', { params, body: {} })
      assert.deepEqual(
        [await works(first), await works(second.key), await works(third.key)],
        [false, true, true],
      )

      const ended = await opened.client.call('apiKeys.endOverlap', { params })
      assert.equal(ended.overlapEndsAt, null)
      assert.deepEqual([await works(second.key), await works(third.key)], [false, true])
      await opened.client.call('apiKeys.endOverlap', { params })

      const fourth = await opened.client.call('apiKeys.rotate', { params, body: { overlapSeconds: 0 } })
      assert.deepEqual([await works(third.key), await works(fourth.key)], [false, true])
    })

    test("another project's key does not exist", async () => {
      const { id, key } = await createKey('mine')
      const params = { project: 'other', key: id }
      for (const operation of ['apiKeys.show', 'apiKeys.revoke', 'apiKeys.endOverlap'] as const) {
        await assert.rejects(opened.client.call(operation, { params }), fails('api_key_not_found'))
      }
      await assert.rejects(
        opened.client.call('apiKeys.rotate', { params, body: {} }),
        fails('api_key_not_found'),
      )
      assert.equal(await works(key), true)
    })

    test('lists show active keys, newest first, or all of them', async () => {
      await opened.client.call('projects.create', { body: { name: 'Listed', namespace: 'listed' } })
      const params = { project: 'listed' }
      const ids: string[] = []
      for (const name of ['a', 'b', 'c']) {
        ids.push((await opened.client.call('apiKeys.create', { params, body: { name } })).id)
        opened.advance(1000)
      }
      const expiresAt = new Date(opened.runtime.clock.nowMs() + 60_000).toISOString()
      await opened.client.call('apiKeys.create', { params, body: { name: 'expired', expiresAt } })
      await opened.client.call('apiKeys.revoke', { params: { ...params, key: ids[0] ?? '' } })
      opened.advance(120_000)
      const names = async (query: object) =>
        (await opened.client.call('apiKeys.list', { params, query })).items.map(
          ({ name, state }) => `${name} ${state}`,
        )
      assert.deepEqual(await names({}), ['c active', 'b active'])
      assert.deepEqual(await names({ state: 'all' }), [
        'expired expired',
        'c active',
        'b active',
        'a revoked',
      ])
      const first = await opened.client.call('apiKeys.list', { params, query: { state: 'all', limit: 3 } })
      const cursor = first.nextCursor ?? ''
      assert.deepEqual(await names({ state: 'all', limit: 3, cursor }), ['a revoked'])
    })

    test('a database that is down is told as 503 with Retry-After, and changes nothing', async () => {
      const { runtime } = opened
      const app = await createConsole({
        ...runtime,
        db: {
          ...runtime.db,
          dialect: 'sqlite',
          reader: runtime.db.reader,
          run: () =>
            Promise.reject(new DatabaseUnavailableError('full', new Error('disk full at /secret/path'))),
          nowMs: () => runtime.db.nowMs(),
          subscribe: () => () => {},
          notify: async () => {},
          ping: async () => {},
          close: async () => {},
        },
      })
      const response = await app.inject({
        method: 'POST',
        url: '/api/v1/projects/keys/api-keys',
        headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
        payload: { name: 'x' },
      })
      assert.equal(response.statusCode, 503)
      assert.match(String(response.headers['retry-after']), /^\d+$/)
      assert.match(response.body, /disk of a database is full/)
      assert.doesNotMatch(response.body, /secret/)
      await app.close()
    })

    const DAY_MS = 24 * 3_600_000

    async function keyThatLives(days: number) {
      const expiresAt = new Date(opened.runtime.clock.nowMs() + days * DAY_MS).toISOString()
      return createKey(`lives ${days} days`, { expiresAt })
    }

    /** What the job of every process does. */
    async function tellOfExpiry(limit = 100): Promise<number> {
      const origin = { actor: 'system', requestId: 'job', nowMs: opened.runtime.clock.nowMs() }
      const scan = { warningMs: 7 * DAY_MS, limit, origin }
      return (await opened.runtime.db.run(noteKeyExpiry, scan)).noted
    }

    async function eventsOf(id: string): Promise<string[]> {
      const { items } = await opened.client.call('auditEvents.list', {
        params: PROJECT,
        query: { action: 'api_key', limit: 500 },
      })
      return items.filter(({ target }) => target === id).map(({ action, actor }) => `${action} ${actor}`)
    }

    test('a key says that it expires soon, and there is one event for that and one for the end', async () => {
      const [soon, later] = [await keyThatLives(8), await keyThatLives(30)]
      const forever = await createKey('for ever')
      assert.deepEqual([soon.expiresSoon, later.expiresSoon, forever.expiresSoon], [false, false, false])
      await tellOfExpiry()
      assert.deepEqual(await eventsOf(soon.id), ['api_key.create operator'])

      opened.advance(2 * DAY_MS)
      const shown = await opened.client.call('apiKeys.show', { params: { ...PROJECT, key: soon.id } })
      assert.deepEqual([shown.state, shown.expiresSoon], ['active', true])
      // Every replica tries, again and again.
      await Promise.all(Array.from({ length: 4 }, () => tellOfExpiry()))
      await tellOfExpiry()
      const told = ['api_key.expiring system', 'api_key.create operator']
      assert.deepEqual(await eventsOf(soon.id), told)

      opened.advance(7 * DAY_MS)
      const over = await opened.client.call('apiKeys.show', { params: { ...PROJECT, key: soon.id } })
      assert.deepEqual([over.state, over.expiresSoon], ['expired', false])
      await Promise.all(Array.from({ length: 4 }, () => tellOfExpiry()))
      await tellOfExpiry()
      assert.deepEqual(await eventsOf(soon.id), ['api_key.expired system', ...told])
      assert.deepEqual(await eventsOf(later.id), ['api_key.create operator'])
      assert.deepEqual(await eventsOf(forever.id), ['api_key.create operator'])
    })

    test('a key that was revoked is not told about, and a small batch leaves the rest for the next', async () => {
      const keys = [await keyThatLives(1), await keyThatLives(1), await keyThatLives(1)]
      const [revoked] = keys
      await opened.client.call('apiKeys.revoke', { params: { ...PROJECT, key: revoked?.id ?? '' } })
      assert.equal(await tellOfExpiry(1), 1)
      assert.equal(await tellOfExpiry(1), 1)
      assert.equal(await tellOfExpiry(1), 0)
      assert.equal(
        (await eventsOf(revoked?.id ?? '')).some((event) => event.includes('expir')),
        false,
      )
    })
  })
}

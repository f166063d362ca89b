import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Role } from '@berth/api/access'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { addMember, addPerson, callAs } from '../../../../test/support/console/members.ts'
import type { TestConsole } from '../../../../test/support/console/stack.ts'
import type { PersonPrincipal } from '../principal.ts'

/** Members of projects and their own keys, through the console: the same on every metadata database. */
export function describeMembers(name: string, open: () => Promise<TestConsole>): void {
  describe(`members on ${name}`, () => {
    let opened: TestConsole
    let olga: PersonPrincipal
    let adam: PersonPrincipal
    let dora: PersonPrincipal
    let vera: PersonPrincipal

    before(async () => {
      opened = await open()
      olga = await addPerson(opened, 'Olga')
      adam = await addPerson(opened, 'Adam')
      dora = await addPerson(opened, 'Dora')
      vera = await addPerson(opened, 'Vera')
    })
    after(() => opened.close())

    /** A project of Olga's with one member of each other role. */
    async function makeProject(namespace: string) {
      const project = await callAs(opened, olga, 'projects.create', { body: { name: namespace, namespace } })
      await addMember(opened, namespace, adam, 'admin')
      await addMember(opened, namespace, dora, 'developer')
      await addMember(opened, namespace, vera, 'viewer')
      return project
    }

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code, error.detail)
        return true
      }
    }

    async function setRole(as: PersonPrincipal, project: string, whom: PersonPrincipal, role: Role) {
      const params = { project, user: whom.userId }
      return callAs(opened, as, 'members.update', { params, body: { role } })
    }

    async function remove(as: PersonPrincipal, project: string, whom: PersonPrincipal) {
      return callAs(opened, as, 'members.remove', { params: { project, user: whom.userId } })
    }

    /** Whether a region's replica takes the key as a Basic password. */
    async function works(key: string, region: 'near' | 'far' = 'near'): Promise<boolean> {
      const authorization = `Basic ${Buffer.from(`api:${key}`).toString('base64')}`
      return (await opened[region].access.authenticate({ authorization, clientAddress: '192.0.2.1' })).ok
    }

    test('whoever creates a project is its owner; the operator token owns nothing', async () => {
      const project = await callAs(opened, olga, 'projects.create', { body: { name: 'Mine' } })
      assert.equal(project.role, 'owner')
      const { items } = await callAs(opened, olga, 'members.list', { params: { project: project.id } })
      OPERATIONS['members.list'].response.parse({ items, nextCursor: null })
      assert.deepEqual(
        items.map(({ userId, email, role }) => ({ userId, email, role })),
        [{ userId: olga.userId, email: 'olga@example.com', role: 'owner' }],
      )
      const other = await opened.client.call('projects.create', { body: { name: 'Nobodys' } })
      assert.equal(other.role, null)
      const none = await opened.client.call('members.list', { params: { project: other.id } })
      assert.deepEqual(none.items, [])
    })

    test('people see their own projects in their list, page by page, and operators all', async () => {
      const paula = await addPerson(opened, 'Paula')
      const mine = ['list-c', 'list-a', 'list-b']
      for (const namespace of mine) {
        await callAs(opened, paula, 'projects.create', { body: { name: namespace, namespace } })
      }
      const first = await callAs(opened, paula, 'projects.list', { query: { limit: 2 } })
      const cursor = first.nextCursor ?? ''
      const second = await callAs(opened, paula, 'projects.list', { query: { limit: 2, cursor } })
      const seen = [...first.items, ...second.items].map(({ namespace, role }) => `${namespace} ${role}`)
      assert.deepEqual(seen, ['list-a owner', 'list-b owner', 'list-c owner'])
      assert.equal(second.nextCursor, null)
      const operator = await addPerson(opened, 'Oscar', { isOperator: true })
      const all = await callAs(opened, operator, 'projects.list', { query: { limit: 500 } })
      assert.ok(mine.every((namespace) => all.items.some((item) => item.namespace === namespace)))
      assert.ok(all.items.every(({ role }) => role === null))
      const other = all.items.find(({ namespace }) => !mine.includes(namespace))?.id ?? ''
      await assert.rejects(
        callAs(opened, paula, 'projects.show', { params: { project: other } }),
        fails('project_not_found'),
      )
    })

    test('an admin manages members, but only an owner decides about owners', async () => {
      await makeProject('roles')
      const changed = await setRole(adam, 'roles', vera, 'developer')
      OPERATIONS['members.update'].response.parse(changed)
      assert.equal(changed.role, 'developer')
      await assert.rejects(setRole(adam, 'roles', vera, 'owner'), fails('forbidden'))
      await assert.rejects(setRole(adam, 'roles', olga, 'viewer'), fails('forbidden'))
      await assert.rejects(remove(adam, 'roles', olga), fails('forbidden'))
      await assert.rejects(setRole(dora, 'roles', vera, 'viewer'), fails('forbidden'))
      assert.equal((await setRole(olga, 'roles', adam, 'owner')).role, 'owner')
      assert.equal((await remove(adam, 'roles', olga)).userId, olga.userId)
      await assert.rejects(
        callAs(opened, olga, 'projects.show', { params: { project: 'roles' } }),
        fails('project_not_found'),
      )
    })

    test('the last owner stays: neither demoted, nor removed, nor gone by themselves', async () => {
      await makeProject('last-owner')
      const params = { project: 'last-owner' }
      await assert.rejects(setRole(olga, 'last-owner', olga, 'admin'), fails('last_owner'))
      await assert.rejects(remove(olga, 'last-owner', olga), fails('last_owner'))
      await assert.rejects(callAs(opened, olga, 'members.leave', { params }), fails('last_owner'))
      const user = olga.userId
      await assert.rejects(
        opened.client.call('members.remove', { params: { ...params, user } }),
        fails('last_owner'),
      )
      await setRole(olga, 'last-owner', adam, 'owner')
      await callAs(opened, olga, 'members.leave', { params })
      await assert.rejects(callAs(opened, adam, 'members.leave', { params }), fails('last_owner'))
    })

    test('of two owners who make each other leave at the same time one stays', async () => {
      await makeProject('duel')
      await setRole(olga, 'duel', adam, 'owner')
      const outcomes = await Promise.allSettled([remove(olga, 'duel', adam), remove(adam, 'duel', olga)])
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
      const { items } = await opened.client.call('members.list', { params: { project: 'duel' } })
      assert.equal(items.filter(({ role }) => role === 'owner').length, 1)
    })

    test('a member has keys of their own, within their role, and sees no others', async () => {
      await makeProject('own-keys')
      const params = { project: 'own-keys' }
      const ci = await callAs(opened, adam, 'apiKeys.create', { params, body: { name: 'ci' } })
      assert.equal(ci.userId, null)
      const hers = await callAs(opened, vera, 'apiKeys.create', { params, body: { name: 'laptop' } })
      assert.deepEqual(hers.actions, ['pull'])
      assert.equal(hers.userId, vera.userId)
      const pushes = await callAs(opened, dora, 'apiKeys.create', { params, body: { name: 'laptop' } })
      assert.deepEqual(pushes.actions, ['pull', 'push'])
      for (const [person, body] of [
        [vera, { name: 'x', actions: ['push'] }],
        [dora, { name: 'x', actions: ['pull', 'delete'] }],
        [dora, { name: 'x', own: false }],
      ] as const) {
        await assert.rejects(
          callAs(opened, person, 'apiKeys.create', { params, body: body as never }),
          fails('forbidden'),
        )
      }
      const seen = await callAs(opened, vera, 'apiKeys.list', { params })
      assert.deepEqual(
        seen.items.map(({ id }) => id),
        [hers.id],
      )
      const all = await callAs(opened, adam, 'apiKeys.list', { params })
      assert.equal(all.items.length, 3)
      for (const key of [ci.id, pushes.id]) {
        const target = { params: { ...params, key } }
        await assert.rejects(callAs(opened, vera, 'apiKeys.show', target), fails('api_key_not_found'))
        await assert.rejects(callAs(opened, vera, 'apiKeys.revoke', target), fails('api_key_not_found'))
        await assert.rejects(callAs(opened, vera, 'apiKeys.endOverlap', target), fails('api_key_not_found'))
        await assert.rejects(
          callAs(opened, vera, 'apiKeys.rotate', { ...target, body: {} }),
          fails('api_key_not_found'),
        )
      }
      // Her secret would make the admin her.
      for (const caller of [adam, olga]) {
        const target = { params: { ...params, key: hers.id }, body: {} }
        await assert.rejects(callAs(opened, caller, 'apiKeys.rotate', target), fails('forbidden'))
      }
      await assert.rejects(
        opened.client.call('apiKeys.rotate', { params: { ...params, key: hers.id }, body: {} }),
        fails('forbidden'),
      )
      assert.equal(await works(hers.key), true)
      await callAs(opened, adam, 'apiKeys.rotate', { params: { ...params, key: ci.id }, body: {} })
      await callAs(opened, adam, 'apiKeys.revoke', { params: { ...params, key: pushes.id } })
      assert.equal(await works(ci.key), true)
      const rotated = await callAs(opened, vera, 'apiKeys.rotate', {
        params: { ...params, key: hers.id },
        body: { overlapSeconds: 0 },
      })
      assert.equal(await works(rotated.key), true)
      await callAs(opened, vera, 'apiKeys.revoke', { params: { ...params, key: hers.id } })
      assert.equal(await works(rotated.key), false)
    })

    test('own keys end with the membership and with the role, everywhere, before the call returns', async () => {
      await makeProject('ending')
      const params = { project: 'ending' }
      const pull = { name: 'pull', actions: ['pull' as const] }
      const push = { name: 'push', actions: ['pull' as const, 'push' as const] }
      const pulls = await callAs(opened, dora, 'apiKeys.create', { params, body: pull })
      const pushes = await callAs(opened, dora, 'apiKeys.create', { params, body: push })
      const projects = await callAs(opened, adam, 'apiKeys.create', { params, body: push })
      const demoted = await setRole(adam, 'ending', dora, 'viewer')
      assert.deepEqual(demoted.revokedKeys, [pushes.id])
      assert.equal(demoted.propagation?.replicas, 2)
      assert.equal(await works(pushes.key, 'near'), false)
      assert.equal(await works(pushes.key, 'far'), false)
      assert.equal(await works(pulls.key), true)
      const removed = await remove(adam, 'ending', dora)
      OPERATIONS['members.remove'].response.parse(removed)
      assert.deepEqual(removed.revokedKeys, [pulls.id])
      assert.equal(await works(pulls.key, 'near'), false)
      assert.equal(await works(pulls.key, 'far'), false)
      assert.equal(await works(projects.key), true)
      // Repeated, because the first call may have broken off before it was true everywhere.
      const again = await remove(adam, 'ending', dora)
      assert.deepEqual(again.revokedKeys, [])
      assert.equal(again.propagation?.replicas, 2)
      await assert.rejects(remove(adam, 'ending', olga), fails('forbidden'))
      const stranger = await addPerson(opened, `Stranger-${name}`)
      await assert.rejects(remove(adam, 'ending', stranger), fails('member_not_found'))
    })

    test('each change has one audit event that names who made it', async () => {
      await makeProject('told')
      await setRole(adam, 'told', vera, 'developer')
      await setRole(adam, 'told', vera, 'developer')
      await remove(adam, 'told', vera)
      await callAs(opened, dora, 'members.leave', { params: { project: 'told' } })
      const { items } = await opened.client.call('auditEvents.list', {
        params: { project: 'told' },
        query: { action: 'member' },
      })
      assert.deepEqual(
        items.map(({ action, actor, target }) => [action, actor, target]),
        [
          ['member.leave', `person:${dora.userId}`, dora.userId],
          ['member.remove', `person:${adam.userId}`, vera.userId],
          ['member.update', `person:${adam.userId}`, vera.userId],
          ['member.add', `person:${vera.userId}`, vera.userId],
          ['member.add', `person:${dora.userId}`, dora.userId],
          ['member.add', `person:${adam.userId}`, adam.userId],
          ['member.add', `person:${olga.userId}`, olga.userId],
        ],
      )
    })

    test('a project that is deleted has no members any more', async () => {
      await makeProject('gone')
      const query = { confirm: 'gone' }
      await callAs(opened, olga, 'projects.delete', { params: { project: 'gone' }, query })
      const { items } = await callAs(opened, dora, 'projects.list', { query: { limit: 500 } })
      assert.equal(
        items.some(({ namespace }) => namespace === 'gone'),
        false,
      )
    })
  })
}

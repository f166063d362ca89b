import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import type { Refusal } from '@berth/api/refusals'
import { createRegionRefusalLog } from '../../access/refusal-log.ts'
import type { ConsolePrincipal, PersonPrincipal } from '../principal.ts'
import { addMember, addPerson, callAs, makeToken } from '../../../../test/support/console/members.ts'
import type { TestConsole } from '../../../../test/support/console/stack.ts'

/** Explanations of refusals through the console: the same on every metadata database. */
export function describeRefusals(name: string, open: () => Promise<TestConsole>): void {
  describe(`explanations on ${name}`, () => {
    let opened: TestConsole
    let projectId: string
    const people: Record<string, PersonPrincipal> = {}
    const operator: ConsolePrincipal = { kind: 'operator' }

    before(async () => {
      opened = await open()
      projectId = (await opened.client.call('projects.create', { body: { name: 'Mine', namespace: 'mine' } }))
        .id
      await opened.client.call('projects.create', { body: { name: 'Theirs', namespace: 'theirs' } })
      for (const [who, project, role] of [
        ['admin', 'mine', 'admin'],
        ['viewer', 'mine', 'viewer'],
        ['foreigner', 'theirs', 'owner'],
      ] as const) {
        people[who] = await addPerson(opened, who)
        await addMember(opened, project, people[who], role)
      }
    })
    after(() => opened.close())

    async function explain(principal: ConsolePrincipal, requestId: string): Promise<Refusal | null> {
      try {
        return await callAs(opened, principal, 'refusals.explain', { params: { requestId } })
      } catch (error) {
        assert.ok(error instanceof ApiError && error.code === ('refusal_not_found' satisfies ApiErrorCode))
        return null
      }
    }

    /** Who of all may see it. */
    async function seers(requestId: string): Promise<string[]> {
      const all: [string, ConsolePrincipal][] = [['operator', operator], ...Object.entries(people)]
      const seen = await Promise.all(
        all.map(async ([who, principal]) => ((await explain(principal, requestId)) === null ? [] : [who])),
      )
      return seen.flat()
    }

    test('of the registry are for those who read the audit log of the project of the credential', async () => {
      const log = createRegionRefusalLog(opened.near.control.db, {
        log: opened.runtime.log,
        nowMs: () => opened.runtime.clock.nowMs(),
      })
      const entry = {
        at: opened.runtime.clock.nowMs(),
        address: '192.0.2.1',
        operation: 'tag-list',
        resource: 'theirs/web',
        status: 404,
        code: 'NAME_UNKNOWN',
      }
      const detail = { namespace: 'theirs', ownNamespace: 'mine' }
      const own = { rule: 'not_here', detail, projectId, actor: 'key1' } as const
      log.note({ ...entry, requestId: 'aaaaaaaa-1', actor: 'key1', denial: own })
      const nobody = { rule: 'sign_in_needed', detail: { action: 'pull' }, projectId: null } as const
      log.note({ ...entry, requestId: 'aaaaaaaa-2', actor: 'anonymous', denial: nobody })
      await log.close()
      assert.deepEqual(await seers('aaaaaaaa-1'), ['operator', 'admin'])
      assert.deepEqual(await seers('aaaaaaaa-2'), ['operator'])
      const explained = await explain(operator, 'aaaaaaaa-1')
      assert.equal(explained?.source, 'near')
      assert.match(explained.explanation, /^The credential has no right in theirs: it belongs to mine\./)
      assert.notEqual(explained.remedy, null)
      assert.equal(await explain(operator, 'aaaaaaaa-3'), null)
    })

    test('of the console are for whoever asked, and for the project when it is about a role in it', async () => {
      const refused = async (
        path: string,
        authorization: string | null,
        method: 'GET' | 'DELETE' = 'GET',
      ) => {
        const response = await opened.app.inject({
          method,
          url: `/api/v1${path}`,
          headers: authorization === null ? {} : { authorization },
        })
        assert.ok([401, 403, 404].includes(response.statusCode), response.body)
        return String(response.headers['x-request-id'])
      }
      const wrong = await refused('/projects/mine', 'Bearer berth-operator-of-nobody')
      assert.deepEqual(await seers(wrong), ['operator'])
      assert.equal((await explain(operator, wrong))?.rule, 'credential_invalid')
      const silent = await refused('/projects/mine', null)
      assert.deepEqual(await seers(silent), [])

      const { viewer, foreigner } = people
      assert.ok(viewer !== undefined && foreigner !== undefined)
      const byRole = await refused('/projects/mine/audit-events', `Bearer ${await makeToken(opened, viewer)}`)
      assert.deepEqual(await seers(byRole), ['operator', 'admin', 'viewer'])
      const explained = await explain(viewer, byRole)
      assert.equal(explained?.rule, 'role')
      assert.deepEqual(explained.detail, {
        role: 'viewer',
        permission: 'audit.read',
        roles: ['owner', 'admin'],
      })
      const hidden = await refused('/projects/mine', `Bearer ${await makeToken(opened, foreigner)}`)
      assert.deepEqual(await seers(hidden), ['operator', 'foreigner'])
      const none = await refused('/projects/none', `Bearer ${await makeToken(opened, foreigner)}`)
      const both = await Promise.all([hidden, none].map((id) => explain(foreigner, id)))
      assert.deepEqual(
        both.map((each) => each?.explanation.replace(/mine|none/, 'it')),
        ['it', 'it'].map(
          (it) => `The credential has no right in ${it}. What is there, if anything, is not for it to know.`,
        ),
      )
    })
  })
}

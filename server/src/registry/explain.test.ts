import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { MintedKey } from '../access/key.ts'
import { auditTables } from '../metastore/queries/audit-chain.ts'
import { loadRefusal } from '../metastore/queries/refusal.ts'
import { basic, type CallAnswer, openTestRegion, type TestRegion } from './test-region.ts'

let region: TestRegion
let key: MintedKey
let ownId: string
let rivalId: string

before(async () => {
  region = await openTestRegion()
  ownId = await region.createProject('acme')
  rivalId = await region.createProject('rival')
  key = await region.createKey('acme', { actions: ['pull', 'push'], repositories: ['team/**'] })
})
after(() => region.close())

const reader = () => auditTables(region.runtime.db.reader)

/** What was noted of the refusal that this answer is. */
async function noted(answer: CallAnswer) {
  await region.runtime.refusals.flush()
  const row = await loadRefusal(reader(), String(answer.headers['x-request-id']))
  if (row === null) return null
  const { rule, detail } = JSON.parse(row.rule) as { rule: string; detail: Record<string, unknown> }
  return {
    rule,
    detail,
    projectId: row.project_id,
    actor: row.actor,
    status: row.status,
    resource: row.resource,
  }
}

describe('a refusal', () => {
  it('is noted with the rule that decided, for the project of the credential alone', async () => {
    const revoked = await region.createKey('acme')
    await region.revokeKey(revoked.id)
    const own = basic(key)
    const cases: [method: string, path: string, authorization: string | null, expected: object][] = [
      ['DELETE', '/v2/acme/team/x/manifests/v1', own, { rule: 'key_action', projectId: ownId, status: 403 }],
      ['GET', '/v2/acme/other/tags/list', own, { rule: 'key_repository', projectId: ownId, status: 403 }],
      ['GET', '/v2/rival/web/tags/list', own, { rule: 'not_here', projectId: ownId, status: 404 }],
      ['GET', '/v2/nobody/web/tags/list', own, { rule: 'not_here', projectId: ownId, status: 404 }],
      [
        'GET',
        '/v2/acme/team/x/manifests/v1',
        own,
        { rule: 'content_unknown', projectId: ownId, status: 404 },
      ],
      [
        'GET',
        '/v2/acme/team/x/tags/list',
        basic(revoked),
        { rule: 'key_revoked', projectId: ownId, status: 401 },
      ],
      [
        'GET',
        '/v2/acme/team/x/tags/list',
        basic('nonsense'),
        { rule: 'credential_malformed', projectId: '', status: 401 },
      ],
      ['GET', '/v2/acme/team/x/tags/list', 'Bearer x', { rule: 'token_invalid', projectId: '', status: 401 }],
      ['GET', '/v2/acme/team/x/tags/list', null, { rule: 'sign_in_needed', projectId: ownId, status: 401 }],
      ['GET', '/v2/rival/x/tags/list', null, { rule: 'sign_in_needed', projectId: rivalId, status: 401 }],
      ['GET', '/v2/nobody/x/tags/list', null, { rule: 'sign_in_needed', projectId: '', status: 401 }],
    ]
    for (const [method, path, authorization, expected] of cases) {
      const found = await noted(await region.call(method, path, { authorization }))
      assert.ok(found !== null, `${method} ${path}`)
      const { rule, projectId, status } = found
      assert.deepEqual({ rule, projectId, status }, expected, `${method} ${path}`)
    }
  })

  it('tells of another namespace no more than of none', async () => {
    const notes = []
    for (const namespace of ['rival', 'nobdy']) {
      const answer = await region.call('GET', `/v2/${namespace}/web/tags/list`, { authorization: basic(key) })
      notes.push(JSON.stringify(await noted(answer)).replaceAll(namespace, 'it'))
    }
    assert.equal(notes[0], notes[1])
  })

  it('is not noted where clients only ask how to sign in, or look for content', async () => {
    const digest = `sha256:${'0'.repeat(64)}`
    const answers = [
      await region.call('GET', '/v2/', { authorization: null }),
      await region.call('HEAD', `/v2/acme/team/x/blobs/${digest}`, { authorization: basic(key) }),
      await region.call('GET', '/v2/', { authorization: basic(key) }),
    ]
    for (const answer of answers) assert.equal(await noted(answer), null)
  })

  it('names its request in the body where a person will read it', async () => {
    const answer = await region.call('DELETE', '/v2/acme/team/x/manifests/v1', { authorization: basic(key) })
    const id = String(answer.headers['x-request-id'])
    const [error] = (answer.json() as { errors: { message: string; detail: { requestId: string } }[] }).errors
    assert.equal(error?.detail.requestId, id)
    assert.ok(error.message.endsWith(`(berth explain ${id})`))
  })
})

describe('a flood of refusals', () => {
  it('is counted, and leaves no more than a few rows', async () => {
    const count = async (table: 'refusal' | 'audit_event') =>
      (await reader().selectFrom(table).select('request_id').execute()).length
    await region.runtime.refusals.flush()
    const before = { refusals: await count('refusal'), events: await count('audit_event') }
    const flood = 600
    const authorization = basic(key)
    const calls = Array.from({ length: flood }, (_, i) =>
      region.call('GET', `/v2/acme/secret-${i}/tags/list`, { authorization }),
    )
    assert.ok((await Promise.all(calls)).every(({ status }) => status === 403))
    await region.runtime.refusals.flush()
    const refusals = (await count('refusal')) - before.refusals
    // How many flushes the timer did in between is not known; each writes so many at most.
    assert.ok(refusals < flood, `${refusals} rows`)
    await region.runtime.refusals.close()
    const events = await reader()
      .selectFrom('audit_event')
      .select(['actor', 'project_id', 'detail'])
      .where('action', '=', 'access.deny')
      .where('detail', 'like', '%key_repository%')
      .execute()
    assert.ok((await count('audit_event')) - before.events <= 12)
    const counted = events.map(({ detail }) => (JSON.parse(detail) as { count: number }).count)
    assert.equal(
      counted.reduce((sum, each) => sum + each, 0),
      flood + 1,
    )
    assert.ok(events.every(({ actor, project_id }) => actor === key.id && project_id === ownId))
  })
})

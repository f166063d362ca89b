import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { basic } from '../../../../test/support/access/stack.ts'
import { createTestIssuer, githubClaims, type TestIssuer } from '../../../../test/support/access/issuer.ts'
import { OPERATOR_TOKEN, type TestConsole } from '../../../../test/support/console/stack.ts'
import { MAX_TRUST_RULES_PER_PROJECT } from '../../metastore/queries/trust-rule.ts'
import { createConsole } from '../console.ts'
import { createDatabaseAccessSource } from '../../access/access-source.ts'
import { createRegionAccess, type RegionAccess } from '../../access/region-access.ts'

const GITHUB = 'https://token.actions.githubusercontent.com'
const CIRCLECI = 'https://oidc.circleci.com/org/0fa1c2d3-0000-4000-8000-000000000001'
const UUID = '0fa1c2d3-0000-4000-8000-000000000002'

/** Trust rules, through the console: the same on every metadata database. */
export function describeTrustRules(name: string, open: () => Promise<TestConsole>): void {
  describe(`trust rules on ${name}`, () => {
    let opened: TestConsole
    let issuer: TestIssuer
    let accesses: Record<'near' | 'far', RegionAccess>
    const PROJECT = { project: 'trusting' }

    before(async () => {
      issuer = await createTestIssuer(GITHUB)
      opened = await open()
      accesses = { near: await openAccess('near'), far: await openAccess('far') }
      await opened.client.call('projects.create', { body: { name: 'Trusting', namespace: 'trusting' } })
      await opened.client.call('projects.create', { body: { name: 'Other', namespace: 'other' } })
    })
    after(async () => {
      for (const access of Object.values(accesses)) await access.close()
      await opened.close()
    })

    /** A replica of a region that can ask the issuer. */
    async function openAccess(id: 'near' | 'far'): Promise<RegionAccess> {
      const { db, region } = opened[id].control
      const access = createRegionAccess({
        db,
        region,
        source: createDatabaseAccessSource(opened.runtime.db),
        replica: { id: randomUUID(), version: 'test' },
        rootSecret: new Uint8Array(32),
        peppers: new Map(),
        log: opened.runtime.log,
        fetchDocument: issuer.fetchDocument,
      })
      await access.refresh()
      return access
    }

    function fails(code: ApiErrorCode, ...paths: string[]): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code)
        const named = error.errors.map(({ path }) => path)
        for (const path of paths) assert.ok(named.includes(path), `${path} not in ${named.join()}`)
        return true
      }
    }

    const create = (body: object) =>
      opened.client.call('trustRules.create', { params: PROJECT, body: { name: 'ci', ...body } as never })
    const createGithub = (more: object = {}) =>
      create({ provider: 'github_actions', conditions: { repository_id: '4711' }, ...more })

    async function works(region: 'near' | 'far', audience: string, claims: object = {}): Promise<boolean> {
      const token = await issuer.key.sign(
        githubClaims(GITHUB, Date.now(), { aud: audience, ...claims } as Record<string, unknown>),
      )
      const authorization = basic(token, 'ci')
      return (await accesses[region].authenticate({ authorization, clientAddress: '192.0.2.1' })).ok
    }

    test('what is pasted into CI uses the host without a region unless a region is named', async () => {
      await opened.client.call('projects.create', {
        body: { name: 'Far', namespace: 'far-away', homeRegion: 'far' },
      })
      const params = { project: 'far-away' }
      const query = { provider: 'github', mode: 'keyless' } as const
      const shared = await opened.client.call('ci.snippet', { params, query })
      assert.deepEqual([shared.region, shared.host], ['far', 'registry.example'])
      assert.equal(shared.image, 'registry.example/far-away/app')
      assert.match(shared.content, /https:\/\/registry\.example\/auth\/token/)
      const near = await opened.client.call('ci.snippet', { params, query: { ...query, region: 'near' } })
      assert.deepEqual([near.region, near.host], ['near', 'near.example:5000'])
      const app = await createConsole({ ...opened.runtime, sharedHost: null })
      const response = await app.inject({
        url: '/api/v1/projects/far-away/ci/snippets?provider=github',
        headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
      })
      const without = OPERATIONS['ci.snippet'].response.parse(response.json())
      assert.deepEqual([without.region, without.host], ['near', 'near.example:5000'])
      await app.close()
    })

    test('a rule lets jobs in everywhere when it is made, and nowhere when it is removed', async () => {
      const rule = await createGithub()
      OPERATIONS['trustRules.create'].response.parse(rule)
      assert.match(rule.id, /^rule_[0-9a-z]{12}$/)
      assert.equal(rule.issuer, GITHUB)
      assert.equal(rule.audience, `${new URL(opened.runtime.consoleUrl).origin}/trusting`)
      assert.deepEqual(rule.actions, ['pull', 'push'])
      assert.deepEqual(rule.repositories, ['**'])
      assert.equal(rule.sessionSeconds, 900)
      assert.deepEqual([await works('near', rule.audience), await works('far', rule.audience)], [true, true])
      assert.equal(await works('near', 'https://other.example'), false)

      const params = { ...PROJECT, rule: rule.id }
      const removed = await opened.client.call('trustRules.remove', { params })
      assert.equal(removed.propagation.replicas, 4)
      assert.deepEqual(
        [await works('near', rule.audience), await works('far', rule.audience)],
        [false, false],
      )
      await opened.client.call('trustRules.remove', { params })
      await assert.rejects(opened.client.call('trustRules.show', { params }), fails('trust_rule_not_found'))
      const { items } = await opened.client.call('auditEvents.list', {
        params: PROJECT,
        query: { action: 'trust_rule' },
      })
      assert.deepEqual(
        items.filter(({ target }) => target === rule.id).map(({ action }) => action),
        ['trust_rule.remove', 'trust_rule.create'],
      )
      assert.deepEqual(items.at(-1)?.detail['conditions'], { repository_id: '4711' })
    })

    test('a change counts everywhere when it returns, and sends only what changes', async () => {
      const rule = await createGithub({ conditions: { repository_id: '4711', ref: 'refs/heads/main' } })
      const params = { ...PROJECT, rule: rule.id }
      const update = (body: object) => opened.client.call('trustRules.update', { params, body })
      assert.equal(await works('far', rule.audience), true)
      const off = await update({ enabled: false })
      assert.deepEqual([off.enabled, off.version], [false, 2])
      assert.equal(await works('far', rule.audience), false)
      const on = await update({ enabled: true, name: 'again' })
      assert.deepEqual([on.enabled, on.version, on.name, on.conditions], [true, 3, 'again', rule.conditions])
      assert.equal(await works('far', rule.audience), true)
      const other = await update({ conditions: { repository_id: '4711', ref: 'refs/tags/v*' } })
      assert.equal(other.version, 4)
      assert.equal(await works('near', rule.audience), false)
      assert.equal(await works('near', rule.audience, { ref: 'refs/tags/v1' }), true)
      const near = await update({ regions: ['near'], actions: ['pull'] })
      assert.deepEqual([near.version, near.actions], [4, ['pull']])
      assert.equal(await works('far', rule.audience, { ref: 'refs/tags/v1' }), false)
      await assert.rejects(update({ conditions: { ref: 'refs/heads/x' } }), fails('validation_failed'))
      await assert.rejects(update({ regions: ['moon'] }), fails('region_not_found'))
      await assert.rejects(update({ provider: 'custom' }), fails('validation_failed'))
      assert.equal((await opened.client.call('trustRules.show', { params })).version, 4)
      await opened.client.call('trustRules.remove', { params })
    })

    test('a change that a region could not confirm is no success', async () => {
      const rule = await createGithub()
      const app = await createConsole({
        ...opened.runtime,
        revocation: { waitUntilApplied: async () => ({ replicas: 1, pendingRegions: ['far'] }) },
      })
      for (const method of ['DELETE', 'PATCH'] as const) {
        const response = await app.inject({
          method,
          url: `/api/v1/projects/trusting/trust-rules/${rule.id}`,
          headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
          ...(method === 'PATCH' ? { payload: { enabled: false } } : {}),
        })
        assert.equal(
          response.json<{ code: string }>().code,
          method === 'PATCH' ? 'trust_rule_not_found' : 'not_everywhere_yet',
        )
      }
      await app.close()
      await opened.client.call('trustRules.remove', { params: { ...PROJECT, rule: rule.id } })
      assert.equal(await works('far', rule.audience), false)
    })

    test('rules that would let in others than they seem to are refused', async () => {
      const id = { repository_id: '4711' }
      const wrong: [string, object, ...string[]][] = [
        ['no condition', { provider: 'github_actions', conditions: {} }, 'body.conditions'],
        [
          'sub alone',
          { provider: 'github_actions', conditions: { sub: 'repo:octo/web:*' } },
          'body.conditions.sub',
        ],
        [
          'a name for an id',
          { provider: 'github_actions', conditions: { repository: 'octo/web' } },
          'body.conditions',
        ],
        [
          'only the owner',
          { provider: 'github_actions', conditions: { repository_owner_id: '1' } },
          'body.conditions',
        ],
        [
          'a wildcard for the id',
          { provider: 'github_actions', conditions: { repository_id: '47*' } },
          'body.conditions.repository_id',
        ],
        [
          'an id with a sign',
          { provider: 'github_actions', conditions: { repository_id: '+4711' } },
          'body.conditions.repository_id',
        ],
        ['any ref', { provider: 'github_actions', conditions: { ...id, ref: '**' } }, 'body.conditions.ref'],
        [
          'any kind of ref',
          { provider: 'github_actions', conditions: { ...id, ref: 'refs/**' } },
          'body.conditions.ref',
        ],
        [
          'a short ref',
          { provider: 'github_actions', conditions: { ...id, ref: 'main' } },
          'body.conditions.ref',
        ],
        [
          'two wildcards',
          { provider: 'github_actions', conditions: { ...id, ref: 'refs/heads/*/*' } },
          'body.conditions.ref',
        ],
        [
          'a wildcard elsewhere',
          { provider: 'github_actions', conditions: { ...id, environment: '*' } },
          'body.conditions.environment',
        ],
        [
          'an issuer of somebody',
          { provider: 'github_actions', issuer: 'https://evil.example', conditions: id },
          'body.issuer',
        ],
        [
          'an issuer over http',
          { provider: 'gitlab_ci', issuer: 'http://gitlab.example', conditions: { project_id: '1' } },
          'body.issuer',
        ],
        [
          'an issuer in another spelling',
          { provider: 'gitlab_ci', issuer: 'https://GitLab.example', conditions: { project_id: '1' } },
          'body.issuer',
        ],
        [
          'an issuer with a user',
          { provider: 'gitlab_ci', issuer: 'https://a@gitlab.example', conditions: { project_id: '1' } },
          'body.issuer',
        ],
        [
          'an issuer with a query',
          { provider: 'gitlab_ci', issuer: 'https://gitlab.example/?a', conditions: { project_id: '1' } },
          'body.issuer',
        ],
        [
          'a ref of any type',
          { provider: 'gitlab_ci', conditions: { project_id: '1', ref: 'main' } },
          'body.conditions',
        ],
        [
          'no issuer',
          { provider: 'circleci', conditions: { 'oidc.circleci.com/project-id': UUID } },
          'body.issuer',
        ],
        [
          'another path',
          {
            provider: 'circleci',
            issuer: 'https://oidc.circleci.com/org/x',
            conditions: { 'oidc.circleci.com/project-id': UUID },
          },
          'body.issuer',
        ],
        [
          'GitHub as custom',
          { provider: 'custom', issuer: GITHUB, conditions: { ref: 'refs/heads/main' } },
          'body.issuer',
        ],
        [
          'GitLab as custom',
          { provider: 'custom', issuer: 'https://gitlab.com', conditions: { ref: 'main' } },
          'body.issuer',
        ],
        [
          'CircleCI as custom',
          { provider: 'custom', issuer: CIRCLECI, conditions: { a: 'b' } },
          'body.issuer',
        ],
        [
          'custom with sub alone',
          { provider: 'custom', issuer: 'https://jenkins.example/oidc', conditions: { sub: 'x' } },
          'body.conditions',
        ],
        [
          'custom with claims of the token',
          { provider: 'custom', issuer: 'https://jenkins.example/oidc', conditions: { aud: 'x', job: 'y' } },
          'body.conditions.aud',
        ],
        [
          'an audience of spaces',
          { provider: 'github_actions', conditions: id, audience: ' ' },
          'body.audience',
        ],
        ['no action', { provider: 'github_actions', conditions: id, actions: [] }, 'body.actions'],
        [
          'a long session',
          { provider: 'github_actions', conditions: id, sessionSeconds: 86_400 },
          'body.sessionSeconds',
        ],
      ]
      for (const [what, body, ...paths] of wrong) {
        await assert.rejects(create(body), fails('validation_failed', ...paths), what)
      }
      const right = [
        {
          provider: 'github_actions',
          issuer: 'https://github.corp.example/_services/token',
          conditions: { ...id, ref: 'refs/heads/release/**', environment: 'production' },
        },
        {
          provider: 'gitlab_ci',
          conditions: { project_id: '1', ref: 'release/*', ref_type: 'branch', ref_protected: 'true' },
        },
        {
          provider: 'gitlab_ci',
          issuer: 'https://gitlab.corp.example:8443',
          conditions: { project_id: '1' },
        },
        { provider: 'circleci', issuer: CIRCLECI, conditions: { 'oidc.circleci.com/project-id': UUID } },
        {
          provider: 'custom',
          issuer: 'https://jenkins.example/oidc',
          conditions: { sub: 'x', berth_job: 'push' },
        },
      ]
      for (const body of right) {
        const { id: ruleId } = await create(body)
        await opened.client.call('trustRules.remove', { params: { ...PROJECT, rule: ruleId } })
      }
    })

    test("no rule has another project's audience", async () => {
      const { origin } = new URL(opened.runtime.consoleUrl)
      const rule = await createGithub({ audience: `${origin}/trusting` })
      const params = { ...PROJECT, rule: rule.id }
      for (const audience of [origin, `${origin}/`, `${origin}/other`, `${origin}/nobody`]) {
        await assert.rejects(
          createGithub({ audience }),
          fails('validation_failed', 'body.audience'),
          audience,
        )
        const update = opened.client.call('trustRules.update', { params, body: { audience } })
        await assert.rejects(update, fails('validation_failed', 'body.audience'), audience)
      }
      const foreign = await opened.client.call('trustRules.update', {
        params,
        body: { audience: 'urn:else' },
      })
      assert.equal(foreign.audience, 'urn:else')
      await opened.client.call('trustRules.remove', { params })
    })

    test("another project's rule does not exist", async () => {
      const rule = await createGithub()
      const params = { project: 'other', rule: rule.id }
      await assert.rejects(opened.client.call('trustRules.show', { params }), fails('trust_rule_not_found'))
      await assert.rejects(opened.client.call('trustRules.remove', { params }), fails('trust_rule_not_found'))
      await assert.rejects(
        opened.client.call('trustRules.update', { params, body: { enabled: false } }),
        fails('trust_rule_not_found'),
      )
      assert.deepEqual(
        (await opened.client.call('trustRules.list', { params: { project: 'other' } })).items,
        [],
      )
      assert.equal(await works('near', rule.audience), true)
      await opened.client.call('trustRules.remove', { params: { ...PROJECT, rule: rule.id } })
    })

    test('lists are paged, newest first, and a project has a bounded number of rules', async () => {
      await opened.client.call('projects.create', { body: { name: 'Full', namespace: 'full-of-rules' } })
      const params = { project: 'full-of-rules' }
      const ids: string[] = []
      const body = {
        name: 'x',
        provider: 'github_actions' as const,
        conditions: { repository_id: '1' },
        enabled: false,
      }
      for (let i = 0; i < MAX_TRUST_RULES_PER_PROJECT; i++) {
        ids.unshift((await opened.client.call('trustRules.create', { params, body })).id)
        opened.advance(1)
      }
      await assert.rejects(
        opened.client.call('trustRules.create', { params, body }),
        fails('trust_rule_limit_reached'),
      )
      const first = await opened.client.call('trustRules.list', { params, query: { limit: 60 } })
      const cursor = first.nextCursor ?? ''
      const second = await opened.client.call('trustRules.list', { params, query: { limit: 60, cursor } })
      assert.equal(second.nextCursor, null)
      assert.deepEqual(
        [...first.items, ...second.items].map(({ id: ruleId }) => ruleId),
        ids,
      )
    })

    test('a deleted project trusts nobody', async () => {
      await opened.client.call('projects.create', { body: { name: 'Gone', namespace: 'going' } })
      const params = { project: 'going' }
      const body = { name: 'x', provider: 'github_actions' as const, conditions: { repository_id: '55' } }
      const rule = await opened.client.call('trustRules.create', { params, body })
      assert.equal(await works('near', rule.audience, { repository_id: '55' }), true)
      await opened.client.call('projects.delete', { params, query: { confirm: 'going' } })
      assert.equal(await works('near', rule.audience, { repository_id: '55' }), false)
    })
  })
}
